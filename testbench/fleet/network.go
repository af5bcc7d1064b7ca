package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"itlagent/agent/fetch"
	"itlagent/agent/tftp"
)

// What a process needs of file descriptors.
const (
	spareFiles = 256 // all that is no phone's
	bootFiles  = 4   // one boot cycle, at most
)

// ErrFiles says that this process may not have the file descriptors that its phones need.
var ErrFiles = errors.New("too few file descriptors")

// errBackup is why a phone has no connection with its back-up.
var errBackup = errors.New("no file descriptor is left for a back-up")

// descriptors returns how many file descriptors this process may have.
func descriptors() int {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil && r.Cur < uint64(1<<30) {
		return int(r.Cur) // Go has raised it to the most that there may be
	}
	return 1 << 30
}

// connections counts those of all phones of a process. Each that is registered has one
// with its call manager; what is left after those is for back-ups.
type connections struct {
	backups atomic.Int64
	most    int64 // of back-ups
}

// budget reserves what so many phones need, of which each keeps so many descriptors.
func (c *connections) budget(phones, each, atOnce, limit int) error {
	need := spareFiles + atOnce*bootFiles + phones*each
	if c.most = int64(limit - need); c.most < 0 {
		return fmt.Errorf("%w: %d phones take %d, and this process may have %d; ulimit -n allows more", ErrFiles, phones, need, limit)
	}
	return nil
}

// link is the network of one phone.
type link struct {
	all    *connections
	local  netip.Addr // invalid: the machine's own choice
	tftp   *tftp.Client
	booted *atomic.Bool // it is in a boot cycle, whose connections end with it

	open atomic.Int32 // connections that stay
}

func newLink(all *connections, local netip.Addr, booting *atomic.Bool) *link {
	l := &link{all: all, local: local, booted: booting}
	if local.IsValid() {
		l.tftp = &tftp.Client{Ask: tftp.Phone(), Listen: func(ctx context.Context, network string) (net.PacketConn, error) {
			return new(net.ListenConfig).ListenPacket(ctx, network, netip.AddrPortFrom(local, 0).String())
		}}
	}
	return l
}

// get gets a file by TFTP.
func (l *link) get(ctx context.Context, address, name string, limit int) ([]byte, error) {
	if l.tftp == nil {
		return fetch.PlainTFTP(ctx, address, name, limit)
	}
	return l.tftp.Get(ctx, address, name, limit)
}

// dial connects the phone. Outside of its boot cycles it keeps what it opens: the first
// connection is always had, further ones as long as descriptors are left.
func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if l.local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.local, 0))
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.local, 0))
		}
	}
	if l.booted.Load() {
		return d.DialContext(ctx, network, address)
	}
	backup := l.open.Add(1) > 1
	if backup && l.all.backups.Add(1) > l.all.most {
		l.release(backup)
		return nil, errBackup
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		l.release(backup)
		return nil, err
	}
	return &kept{Conn: conn, release: func() { l.release(backup) }}, nil
}

func (l *link) release(backup bool) {
	l.open.Add(-1)
	if backup {
		l.all.backups.Add(-1)
	}
}

// kept is a connection that is counted until it is closed.
type kept struct {
	net.Conn
	once    sync.Once
	release func()
}

func (k *kept) Close() error {
	err := k.Conn.Close()
	k.once.Do(k.release)
	return err
}
