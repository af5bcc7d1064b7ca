package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
)

// Client is one of a broker's, over a connection. Its Read brings the line's bytes, the
// backlog first, and ends with io.EOF when the broker does. Its Write returns once the
// broker has them; that they were refused is an event. Read has to go on for the rest
// to work. Otherwise it is safe for concurrent use.
type Client struct {
	conn    net.Conn
	events  chan Event
	replies chan string
	ended   chan struct{}

	doing sync.Mutex // Do
	send  sync.Mutex // frames

	buf     []byte
	unread  []byte
	earlier bool
	err     error
}

// Event is something that a client should know.
type Event struct {
	Text    string
	Refused bool // bytes that this client wrote were not sent
}

// Join joins a broker over a connection, under a name for the others to see. It wants so
// many bytes of backlog, at most Backlog.
func Join(conn net.Conn, name string, backlog int64) (*Client, error) {
	const queued = 64
	c := &Client{conn: conn, events: make(chan Event, queued), replies: make(chan string, 1), ended: make(chan struct{}), buf: make([]byte, maxFrame)}
	if err := writeFrame(conn, frameHello, []byte(version+" "+strconv.FormatInt(backlog, 10)+" "+name)); err != nil {
		return nil, err
	}
	kind, payload, err := readFrame(conn, c.buf)
	if err != nil {
		return nil, fmt.Errorf("the broker does not answer: %w", err)
	}
	if kind != frameReply || len(payload) > 0 {
		return nil, fmt.Errorf("%q", payload)
	}
	return c, nil
}

// Read implements io.Reader.
func (c *Client) Read(b []byte) (int, error) {
	n, _, err := c.ReadEarlier(b)
	return n, err
}

// ReadEarlier reads, and says whether the bytes came before this client joined.
func (c *Client) ReadEarlier(b []byte) (n int, earlier bool, err error) {
	for len(c.unread) == 0 {
		if c.err != nil {
			return 0, false, c.err
		}
		kind, payload, err := readFrame(c.conn, c.buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				err = io.EOF
			}
			c.err = err
			close(c.ended)
			return 0, false, err
		}
		switch kind {
		case frameData, frameEarlier:
			c.unread, c.earlier = payload, kind == frameEarlier
		case frameReply:
			select {
			case c.replies <- string(payload):
			default:
			}
		case frameEvent, frameRefused:
			select {
			case c.events <- Event{string(payload), kind == frameRefused}:
			default: // nobody listens
			}
		}
	}
	n = copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, c.earlier, nil
}

// Write implements io.Writer.
func (c *Client) Write(b []byte) (int, error) {
	c.send.Lock()
	defer c.send.Unlock()
	for done := 0; done < len(b); {
		n := min(len(b)-done, 4096)
		if err := writeFrame(c.conn, frameData, b[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(b), nil
}

// Events returns what happens, as long as somebody reads it.
func (c *Client) Events() <-chan Event { return c.events }

// Do has the broker do something: "take", "ask", "force" and "free" the token, "break",
// "mode 115200,8N1", "modem dtr=on rts=off"; "mode", "modem" and "log" alone ask;
// "there" is an error while the line is not.
func (c *Client) Do(command string) (string, error) {
	c.doing.Lock()
	defer c.doing.Unlock()
	c.send.Lock()
	err := writeFrame(c.conn, frameCommand, []byte(command))
	c.send.Unlock()
	if err != nil {
		return "", err
	}
	select {
	case reply := <-c.replies:
		if len(reply) > 0 && reply[0] == '!' {
			return "", errors.New(reply[1:])
		}
		return reply, nil
	case <-c.ended:
		return "", io.EOF
	}
}

// Close leaves the broker.
func (c *Client) Close() error { return c.conn.Close() }

// Tell adds an event of this program's own.
func (c *Client) Tell(text string) {
	select {
	case c.events <- Event{Text: text}:
	default:
	}
}
