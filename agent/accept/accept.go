// Package accept serves the connections of a TCP listener within limits: how many at
// once, how many of one address, and how long one may be silent at first.
//
//	s := accept.Serve(listener, accept.Limits{Conns: 1024, First: 10 * time.Second}, handle)
//	defer s.Close()
//
// A server that has its own loop, as net/http has, gets the same from Limit. Where a
// limit is reached, a new connection takes the place of the one that has waited longest
// for its peer: of the same address where that has too many, of the address with the
// most otherwise. Where none waits, the new one is closed. So whoever asks is answered,
// however many are silent; what a crowd can do is to make others wait for as long as it
// takes to accept it. A connection that Settle has been told of never makes room for
// another one. All of it is safe for concurrent use. The package makes no system
// call: the listener comes in. Time is that of the machine, as deadlines of connections
// are.
package accept

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound the connections of one listener.
type Limits struct {
	Conns int // at once
	// PerAddress bounds those of one IP address, so that the rest stays for others;
	// three quarters of Conns where 0.
	PerAddress int
	// First is how long a connection may take until its handler sets a deadline of its
	// own; 0 leaves that to the handler.
	First time.Duration
}

func (l Limits) perAddress() int {
	if l.PerAddress == 0 {
		return max(l.Conns*3/4, 1)
	}
	return l.PerAddress
}

// Listener is a net.Listener within limits.
type Listener struct {
	net.Listener
	limits Limits

	mu     sync.Mutex
	conns  map[*conn]bool
	by     map[string]int // connections of an address
	closed chan struct{}
}

// Limit puts limits on a listener. Accept returns connections until Close; errors such
// as a lack of file descriptors end nothing.
func Limit(l net.Listener, limits Limits) *Listener {
	return &Listener{Listener: l, limits: limits, conns: make(map[*conn]bool), by: make(map[string]int), closed: make(chan struct{})}
}

const (
	retry = 10 * time.Millisecond // the pause after an error of Accept
	// grace is how long a connection keeps its place in any case: its client may need a
	// moment to send. A crowd of one address that comes back as fast as it can is let in
	// at that address's places per grace.
	grace = 10 * time.Millisecond
)

// Accept returns the next connection, or net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil { // no file descriptor is left, most likely
			l.mu.Lock()
			l.evict(everybody)
			l.mu.Unlock()
			if !l.pause(retry) {
				return nil, net.ErrClosed
			}
			continue
		}
		c := &conn{Conn: raw, from: l, address: Peer(raw.RemoteAddr()), born: time.Now()}
		for {
			wait, ok := l.admit(c)
			if ok {
				return c, nil
			}
			if wait == 0 || !l.pause(wait) {
				break
			}
		}
		raw.Close()
	}
}

// pause reports false where the listener is closed before the time is over.
func (l *Listener) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.closed:
		return false
	case <-t.C:
		return true
	}
}

// admit finds a place for a connection. Where there is none, there may be one after a
// wait; there is no use in waiting where that is 0.
func (l *Listener) admit(c *conn) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return 0, false
	default:
	}
	ok = true
	switch {
	case l.by[c.address] >= l.limits.perAddress():
		wait, ok = l.evict(func(other *conn) bool { return other.address == c.address })
	case len(l.conns) >= l.limits.Conns:
		largest := c.address
		for address, n := range l.by {
			if n > l.by[largest] {
				largest = address
			}
		}
		if wait, ok = l.evict(func(other *conn) bool { return other.address == largest }); !ok && wait == 0 {
			wait, ok = l.evict(everybody)
		}
	}
	if !ok {
		return wait, false
	}
	if l.limits.First > 0 {
		c.SetDeadline(time.Now().Add(l.limits.First))
	}
	l.conns[c] = true
	l.by[c.address]++
	return 0, true
}

func everybody(*conn) bool { return true }

// evict closes the connection that has waited longest for its peer, of those that may be
// closed. Where only their grace protects them, it returns how long that still does. The
// caller holds mu.
func (l *Listener) evict(may func(*conn) bool) (wait time.Duration, ok bool) {
	var oldest *conn
	var since int64
	for c := range l.conns {
		if !may(c) || c.settled.Load() {
			continue
		}
		if left := grace - time.Since(c.born); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
		} else if at := c.last.Load(); c.pending.Load() > 0 && (oldest == nil || at < since) {
			oldest, since = c, at
		}
	}
	if oldest == nil {
		return wait, false
	}
	l.forget(oldest)
	oldest.Conn.Close()
	return 0, true
}

// forget gives the place of a connection back. The caller holds mu.
func (l *Listener) forget(c *conn) {
	if !l.conns[c] {
		return
	}
	delete(l.conns, c)
	if l.by[c.address]--; l.by[c.address] <= 0 {
		delete(l.by, c.address)
	}
}

// Peer names whom an address belongs to: an IPv4 address, or the /64 of an IPv6 one, of
// which one host has any number.
func Peer(a net.Addr) string {
	if a == nil {
		return ""
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return "" // a UNIX socket
	}
	const subnet = 64 // bits
	ip := p.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(subnet); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// Close closes the listener and every connection of it.
func (l *Listener) Close() error {
	l.mu.Lock()
	select {
	case <-l.closed:
		l.mu.Unlock()
		return net.ErrClosed
	default:
	}
	close(l.closed)
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	err := l.Listener.Close()
	for _, c := range conns {
		c.Close()
	}
	return err
}

// conn knows whether it waits for its peer.
type conn struct {
	net.Conn
	from    *Listener
	address string
	born    time.Time
	pending atomic.Int32 // reads and writes that wait
	last    atomic.Int64 // when one began or ended, in nanoseconds since 1970
	settled atomic.Bool
}

// Settle keeps a connection that a Listener has returned from making room for others,
// or, with false, ends that. Its peer has said who it is, and may be silent.
func Settle(c net.Conn, settled bool) {
	if c, ok := c.(*conn); ok {
		c.settled.Store(settled)
	}
}

func (c *conn) Read(b []byte) (int, error) {
	c.wait(1)
	defer c.wait(-1)
	return c.Conn.Read(b)
}

func (c *conn) Write(b []byte) (int, error) {
	c.wait(1)
	defer c.wait(-1)
	return c.Conn.Write(b)
}

func (c *conn) wait(more int32) {
	c.last.Store(time.Now().UnixNano())
	c.pending.Add(more)
}

func (c *conn) Close() error {
	c.from.mu.Lock()
	c.from.forget(c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends this side of the connection, where its kind can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Server serves the connections of a listener.
type Server struct {
	listener *Listener
	done     sync.WaitGroup
}

// Serve calls handle for every connection, each in a goroutine of its own, and closes
// the connection when handle returns.
func Serve(l net.Listener, limits Limits, handle func(net.Conn)) *Server {
	s := &Server{listener: Limit(l, limits)}
	s.done.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	return s
}

// Close closes the listener and every connection, and waits until no handler runs.
func (s *Server) Close() {
	s.listener.Close()
	s.done.Wait()
}
