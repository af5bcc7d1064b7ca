package serve

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listenTCP listens for connections that are asked once or twice and have a time limit
// of their own: probes of idle ones would be four system calls for each.
func listenTCP(address string) (net.Listener, error) {
	conf := net.ListenConfig{KeepAlive: -1}
	return conf.Listen(context.Background(), "tcp", address)
}

// atOnce makes each answer on a connection one write: what is written waits until the
// other end is to be heard again, or the connection ends. net/http would send the first
// 4 KiB apart from the rest.
type atOnce struct{ net.Listener }

func (l atOnce) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &atOnceConn{Conn: conn}, nil
}

// maxHeld bounds what waits on a connection, in bytes: a trust list and its head.
const maxHeld = 16 << 10

// heldBuffers are of maxHeld bytes.
var heldBuffers = sync.Pool{New: func() any { return new([maxHeld]byte) }}

// atOnceConn is used by several goroutines, as every net.Conn.
type atOnceConn struct {
	net.Conn
	mu      sync.Mutex     // held while bytes are written
	buffer  *[maxHeld]byte // nil while nothing waits
	held    int
	closing atomic.Bool
	closed  sync.Once
	err     error // of the close
}

func (c *atOnceConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.unlock()
	if c.held+len(p) > maxHeld {
		if err := c.flush(); err != nil {
			return 0, err
		}
		return c.Conn.Write(p)
	}
	if c.buffer == nil {
		c.buffer = heldBuffers.Get().(*[maxHeld]byte)
	}
	c.held += copy(c.buffer[c.held:], p)
	return len(p), nil
}

// flush is called with the lock held.
func (c *atOnceConn) flush() error {
	if c.buffer == nil {
		return nil
	}
	_, err := c.Conn.Write(c.buffer[:c.held])
	heldBuffers.Put(c.buffer)
	c.buffer, c.held = nil, 0
	return err
}

// send flushes with the lock taken.
func (c *atOnceConn) send() error {
	c.mu.Lock()
	defer c.unlock()
	return c.flush()
}

func (c *atOnceConn) Read(p []byte) (int, error) {
	if err := c.send(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// CloseWrite sends what waits and ends this side, so that net/http can leave a client the
// time to read why its request was refused.
func (c *atOnceConn) CloseWrite() error {
	if err := c.send(); err != nil {
		return err
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// closeTime is how long what waits may take to leave once the connection is closed.
const closeTime = time.Second

// Close sends what waits, within closeTime, and closes the connection. Where another
// goroutine writes, it sets that the same limit, and leaves the rest to it: net/http may
// have begun to read, which sends the answer, when it closes.
func (c *atOnceConn) Close() error {
	c.Conn.SetWriteDeadline(time.Now().Add(closeTime))
	c.closing.Store(true)
	return c.end()
}

// unlock is also where a close goes on that met a write.
func (c *atOnceConn) unlock() {
	c.mu.Unlock()
	if c.closing.Load() {
		c.end()
	}
}

// end flushes and closes, unless somebody holds the lock, who calls it in turn.
func (c *atOnceConn) end() error {
	if !c.mu.TryLock() {
		return nil
	}
	defer c.mu.Unlock()
	c.closed.Do(func() {
		c.err = c.flush()
		if err := c.Conn.Close(); err != nil {
			c.err = err
		}
	})
	return c.err
}
