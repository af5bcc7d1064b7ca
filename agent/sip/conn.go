package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Transport is how a server is reached.
type Transport string

// The transports.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
	TLS Transport = "tls"
)

// Server is a call manager.
type Server struct {
	Address   string // "host:port"
	Transport Transport
	TLS       *tls.Config // for TLS
}

// Request is a request that was written.
type Request struct {
	Bytes        []byte
	CallID, CSeq string // "1000 REFER"
	// Seen, if not nil, is called with the final answer before anything behind it is read.
	Seen func(m *Message)
}

// Conn is a connection to a server.
type Conn struct {
	conn   net.Conn
	server Server

	writing sync.Mutex

	mu      sync.Mutex
	waiting map[string]*transaction // by Call-ID: one at a time for each
	strays  int
	err     error
	done    chan struct{} // closed when the reader has ended; err is set before
}

// transaction is a request that waits for its answers.
type transaction struct {
	cseq    string
	seen    func(m *Message)
	answers chan *Message
}

// Dial connects to a server. The handshake of TLS is part of it.
func Dial(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), server Server) (*Conn, error) {
	network := "tcp"
	if server.Transport == UDP {
		network = "udp"
	}
	conn, err := dial(ctx, network, server.Address)
	if err != nil {
		return nil, err
	}
	if server.Transport == TLS {
		secure := tls.Client(conn, server.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		conn = secure
	}
	return &Conn{conn: conn, server: server, waiting: make(map[string]*transaction), done: make(chan struct{})}, nil
}

// Local returns the connection's own end.
func (c *Conn) Local() net.Addr { return c.conn.LocalAddr() }

// Server returns the server that was connected to.
func (c *Conn) Server() Server { return c.server }

// Done is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err says why the connection has ended, once Done is closed.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Strays returns how many answers came that nobody waits for.
func (c *Conn) Strays() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.strays
}

// Close closes the connection and waits until no handler runs.
func (c *Conn) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

// Serve begins to read. It must be called once, before Ask and Close. handle gets each
// request, one at a time, with what sends its answer; while it runs nothing is read. nil
// leaves requests unanswered.
func (c *Conn) Serve(handle func(m *Message, answer func([]byte) error)) {
	read := c.readStream()
	if c.server.Transport == UDP {
		read = c.readDatagrams()
	}
	go func() {
		err := c.loop(read, handle)
		c.conn.Close()
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		close(c.done)
	}()
}

func (c *Conn) loop(read func() (*Message, error), handle func(*Message, func([]byte) error)) error {
	for {
		m, err := read()
		switch {
		case err != nil:
			return err
		case m == nil: // a datagram that is no message
		case m.Method == "":
			c.deliver(m)
		case handle != nil && m.Method != "ACK":
			var failed error
			handle(m, func(answer []byte) error {
				failed = c.write(answer)
				return failed
			})
			if failed != nil {
				return failed
			}
		}
	}
}

func (c *Conn) readStream() func() (*Message, error) {
	in := NewReader(c.conn)
	return func() (*Message, error) {
		c.conn.SetReadDeadline(time.Time{})
		if err := in.Wait(); err != nil {
			return nil, err
		}
		c.conn.SetReadDeadline(time.Now().Add(messageTime))
		return in.Next()
	}
}

func (c *Conn) readDatagrams() func() (*Message, error) {
	buf := make([]byte, MaxHead+MaxBody)
	return func() (*Message, error) {
		n, err := c.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		m, err := Parse(buf[:n])
		if err != nil {
			c.stray()
			return nil, nil
		}
		return m, nil
	}
}

// deliver hands an answer to whoever waits for it.
func (c *Conn) deliver(m *Message) {
	c.mu.Lock()
	to := c.waiting[m.Get("call-id")]
	c.mu.Unlock()
	if cseq := m.Get("cseq"); to == nil || cseq != "" && cseq != to.cseq {
		c.stray()
		return
	}
	if to.seen != nil && m.Code >= 200 {
		to.seen(m)
	}
	select {
	case to.answers <- m:
	default: // more of them than anybody reads
	}
}

func (c *Conn) stray() {
	c.mu.Lock()
	c.strays++
	c.mu.Unlock()
}

// write sends bytes, within the time of one message.
func (c *Conn) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(messageTime))
	_, err := c.conn.Write(b)
	return err
}

// Timers of RFC 3261 for a request that is no INVITE.
const (
	timerT1 = 500 * time.Millisecond // by UDP, the first pause; each is twice the one before
	timerT2 = 4 * time.Second        // the longest pause, and each after a provisional answer
	timerF  = 64 * timerT1           // until the server counts as silent
)

// ErrSilent says that a server did not answer within its time.
var ErrSilent = errors.New("no answer")

// Ask sends a request and returns its final answer: the first of 200 or more with its
// Call-ID and CSeq, of which the second may be absent. By UDP it is sent again after each
// pause. It ends with the context, with the connection, and after timer F. Requests with
// the same Call-ID must follow one another.
func (c *Conn) Ask(ctx context.Context, r Request) (*Message, error) {
	answers := make(chan *Message, 4)
	c.mu.Lock()
	c.waiting[r.CallID] = &transaction{r.CSeq, r.Seen, answers}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, r.CallID)
		c.mu.Unlock()
	}()
	silent := time.NewTimer(timerF)
	defer silent.Stop()
	pause := timerT1
	for {
		if err := c.write(r.Bytes); err != nil {
			return nil, err
		}
		var again <-chan time.Time
		if c.server.Transport == UDP {
			again = time.After(pause)
		}
		for waiting := true; waiting; {
			select {
			case m := <-answers:
				if m.Code >= 200 {
					return m, nil
				}
				pause = timerT2
			case <-again:
				waiting = false
			case <-c.done:
				for len(answers) > 0 { // the last words before the end
					if m := <-answers; m.Code >= 200 {
						return m, nil
					}
				}
				return nil, fmt.Errorf("%w: %w", ErrSilent, c.Err())
			case <-silent.C:
				return nil, ErrSilent
			case <-ctx.Done():
				return nil, fmt.Errorf("%w: %w", ErrSilent, ctx.Err())
			}
		}
		pause = min(2*pause, timerT2)
	}
}
