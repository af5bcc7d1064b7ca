package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Meet brings the programs of one user together that want the same line: the first
// starts its broker, by start, and serves it until that ends; the others, while it
// lives, get a connection to it. Either the broker or the connection is not nil. Sockets
// are in a folder that is this user's alone.
func Meet(ctx context.Context, dir, line string, start func() (*Broker, error)) (*Broker, net.Conn, error) {
	if err := private(dir); err != nil {
		return nil, nil, err
	}
	// A name that fits into a socket's address (108 bytes, unix(7)) whatever the line's.
	socket := filepath.Join(dir, fmt.Sprintf("%.8x.sock", sha256.Sum256([]byte(line))))
	for deadline := time.Now().Add(meeting); ; {
		owner, err := lockSocket(socket)
		if err != nil {
			return nil, nil, err
		}
		if owner != nil {
			b, err := host(socket, owner, start)
			return b, nil, err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return nil, conn, nil
		}
		if time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("the console that has %s does not answer: %w", line, err)
		}
		select { // it is just opening the line, or ending
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// meeting is how long a line's owner may take to open it.
const meeting = 15 * time.Second

// private makes a folder that is this user's alone, or says why it is not.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s is not a folder of this user alone (mode 0700)", dir)
	}
	return nil
}

// lockSocket returns a file that makes its holder the owner, or nil where there is one.
func lockSocket(socket string) (*os.File, error) {
	f, err := os.OpenFile(socket+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	return f, nil
}

// host starts the broker, and serves it while it lives.
func host(socket string, owner *os.File, start func() (*Broker, error)) (*Broker, error) {
	os.Remove(socket) // of an owner that was killed
	b, err := start()
	if err != nil {
		owner.Close()
		return nil, err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		b.Close()
		owner.Close()
		return nil, err
	}
	go func() {
		b.Serve(l) // ends with the broker, and removes the socket
		<-b.Done()
		owner.Close()
	}()
	return b, nil
}
