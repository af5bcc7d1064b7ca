// Package accept serves the connections of a TCP listener within limits: how many at
// once, how many of one address, and how long one may be silent at first.
//
//	s := accept.Serve(listener, accept.Limits{Conns: 1024, First: 10 * time.Second}, handle)
//	defer s.Close()
//
// A server that has its own loop, as net/http has, gets the same from Limit. Where a
// limit is reached, a new connection takes the place of the one that has waited longest
// for its peer: of the same address where that has too many, of all otherwise. Where none
// waits, the new one is closed. So whoever asks is answered, however many are silent.
// All of it is safe for concurrent use.
package accept

import (
	"errors"
	"net"
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

// retry is the pause after an error of Accept.
const retry = 10 * time.Millisecond

// Accept returns the next connection, or net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil { // no file descriptor is left, most likely
			l.evict(func(*conn) bool { return true })
			select {
			case <-l.closed:
				return nil, net.ErrClosed
			case <-time.After(retry):
			}
			continue
		}
		if c := l.admit(raw); c != nil {
			return c, nil
		}
		raw.Close()
	}
}

// admit finds a place for a connection, or returns nil.
func (l *Listener) admit(raw net.Conn) *conn {
	c := &conn{Conn: raw, from: l, address: host(raw)}
	l.mu.Lock()
	tooMany := l.by[c.address] >= l.limits.perAddress()
	full := len(l.conns) >= l.limits.Conns
	l.mu.Unlock()
	switch {
	case tooMany && !l.evict(func(other *conn) bool { return other.address == c.address }):
		return nil
	case !tooMany && full && !l.evict(func(*conn) bool { return true }):
		return nil
	}
	if l.limits.First > 0 {
		raw.SetDeadline(time.Now().Add(l.limits.First))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil
	default:
	}
	l.conns[c] = true
	l.by[c.address]++
	return c
}

func host(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil { // a UNIX socket
		return ""
	}
	return host
}

// evict closes the connection that has waited longest for its peer, of those that may
// be closed.
func (l *Listener) evict(may func(*conn) bool) bool {
	l.mu.Lock()
	var oldest *conn
	var since int64
	for c := range l.conns {
		if at := c.last.Load(); c.pending.Load() > 0 && may(c) && (oldest == nil || at < since) {
			oldest, since = c, at
		}
	}
	l.mu.Unlock()
	if oldest == nil {
		return false
	}
	oldest.Close()
	return true
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
	pending atomic.Int32 // reads and writes that wait
	last    atomic.Int64 // when one began or ended, in nanoseconds since 1970
	gone    atomic.Bool
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
	if c.gone.CompareAndSwap(false, true) {
		c.from.mu.Lock()
		delete(c.from.conns, c)
		if c.from.by[c.address]--; c.from.by[c.address] <= 0 {
			delete(c.from.by, c.address)
		}
		c.from.mu.Unlock()
	}
	return c.Conn.Close()
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
