package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxFD is the highest number of a file that select(2) can wait for.
const maxFD = 1023

// maxFlush bounds what flush reads, in bytes: somebody may be typing on.
const maxFlush = 64 << 10

// input reads a file that may be a terminal, a pipe or a device, until its context
// ends. It waits in select(2): setting such a file not to block would set it for
// every program that shares it, the user's own shell among them.
type input struct {
	ctx   context.Context
	f     *os.File
	fd    int
	woken *os.File // readable once the wait has to end
	wake  *os.File
	stop  func() bool
	using sync.Mutex // woken
}

func newInput(ctx context.Context, f *os.File) (*input, error) {
	fd := int(f.Fd())
	woken, wake, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	i := &input{ctx: ctx, f: f, fd: fd, woken: woken, wake: wake}
	if fd > maxFD || int(woken.Fd()) > maxFD {
		i.woken.Close()
		i.wake.Close()
		return nil, errors.New("too many open files to wait for a terminal")
	}
	i.stop = context.AfterFunc(ctx, func() { wake.Close() })
	return i, nil
}

// close gives back what it took to wait.
func (i *input) close() {
	i.stop()
	i.wake.Close()
	i.using.Lock()
	defer i.using.Unlock()
	i.woken.Close()
}

// Read implements io.Reader. Its error is the context's once that has ended.
func (i *input) Read(b []byte) (int, error) {
	ready, err := i.wait(nil)
	if err != nil {
		return 0, err
	}
	if !ready {
		if err := i.ctx.Err(); err != nil {
			return 0, err
		}
		return 0, os.ErrClosed
	}
	n, err := unix.Read(i.fd, b)
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", i.f.Name(), err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// wait waits for input at most as long as timeout says, if it is not nil. It reports
// whether there is some.
func (i *input) wait(timeout *unix.Timeval) (bool, error) {
	i.using.Lock()
	defer i.using.Unlock()
	woken := int(i.woken.Fd())
	if woken < 0 {
		return false, nil // closed
	}
	for {
		var set unix.FdSet
		set.Set(i.fd)
		set.Set(woken)
		n, err := unix.Select(max(i.fd, woken)+1, &set, nil, nil, timeout)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false, fmt.Errorf("wait for %s: %w", i.f.Name(), err)
		default:
			return n > 0 && !set.IsSet(woken), nil
		}
	}
}

// flush reads away what waits to be read.
func (i *input) flush() {
	var buf [256]byte
	for range maxFlush / len(buf) {
		ready, err := i.wait(new(unix.Timeval))
		if err != nil || !ready {
			return
		}
		if n, err := unix.Read(i.fd, buf[:]); n <= 0 || err != nil {
			return
		}
	}
}
