package serve

import (
	"context"
	"net"
	"sync"
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
	mu     sync.Mutex
	buffer *[maxHeld]byte // nil while nothing waits
	held   int
}

func (c *atOnceConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
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

func (c *atOnceConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	err := c.flush()
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Close sends what waits, within httpReadTime. Where a write is under way, it ends that
// instead of waiting for it.
func (c *atOnceConn) Close() error {
	var err error
	if c.mu.TryLock() {
		if c.buffer != nil {
			c.Conn.SetWriteDeadline(time.Now().Add(httpReadTime))
		}
		err = c.flush()
		c.mu.Unlock()
	}
	if closed := c.Conn.Close(); closed != nil {
		return closed
	}
	return err
}
