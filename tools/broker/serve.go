package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"itlagent/agent/printable"
	"itlagent/platform/serial"
)

// maxClients bounds how many there are at once.
const maxClients = 64

// hello is how long a client may take to say who it is.
const helloTime = 10 * time.Second

// maxName bounds a client's name, in bytes.
const maxName = 64

// client is one that has joined.
type client struct {
	name   string
	conn   io.Closer
	events chan notice
	gone   chan struct{}
	send   sync.Mutex // frames to conn
}

type notice struct {
	kind byte
	text string
}

// tell queues what a client should know. One that does not read misses events, never
// bytes of the line.
func (c *client) tell(kind byte, text string) {
	select {
	case c.events <- notice{kind, text}:
	default:
	}
}

// join adds a client, or says why not.
func (b *Broker) join(name string, conn io.Closer) (*client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.clients) >= maxClients {
		return nil, fmt.Errorf("%d clients read already", maxClients)
	}
	select {
	case <-b.done:
		return nil, errors.New("the broker has ended")
	default:
	}
	const queued = 64
	c := &client{name: name, conn: conn, events: make(chan notice, queued), gone: make(chan struct{})}
	if b.writer != nil {
		c.tell(frameEvent, b.writer.name+" writes")
	}
	if b.line == nil {
		c.tell(frameEvent, "the line is not there, waiting for it")
	}
	b.clients[c] = true
	return c, nil
}

func (b *Broker) leave(c *client) {
	c.conn.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients[c] {
		delete(b.clients, c)
		b.free(c)
	}
	close(c.gone)
	close(b.left)
	b.left = make(chan struct{})
}

// Serve serves clients that join over a listener, until the broker or the listener ends.
func (b *Broker) Serve(l net.Listener) {
	b.each(l, b.ServeConn)
}

// each serves every connection of a listener that the broker's end closes.
func (b *Broker) each(l net.Listener, serve func(net.Conn)) {
	b.mu.Lock()
	b.socks = append(b.socks, l)
	b.mu.Unlock()
	select {
	case <-b.done:
		l.Close()
	default:
	}
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, or a client that was quick to leave
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-b.done:
				return
			}
		}
		go serve(conn)
	}
}

// ServeConn serves one client until it leaves.
func (b *Broker) ServeConn(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, maxFrame)
	conn.SetReadDeadline(time.Now().Add(helloTime))
	kind, payload, err := readFrame(conn, buf)
	fields := strings.SplitN(string(payload), " ", 3)
	if err != nil || kind != frameHello || len(fields) != 3 || fields[0] != version {
		writeFrame(conn, frameReply, []byte("this broker speaks version "+version+": it is another release of itlbench"))
		return
	}
	conn.SetReadDeadline(time.Time{})
	backlog, _ := strconv.ParseInt(fields[1], 10, 64) // none where that is no number
	c, err := b.join(printable.Text(fields[2][:min(len(fields[2]), maxName)]), conn)
	if err != nil {
		writeFrame(conn, frameReply, []byte(err.Error()))
		return
	}
	defer b.leave(c)
	if writeFrame(conn, frameReply, nil) != nil {
		return
	}
	ended := make(chan struct{})
	go b.follow(c, conn, backlog, ended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // a client that is gone does not wait for its writes
		select {
		case <-ended:
		case <-b.done:
		}
		cancel()
	}()
	b.listen(ctx, c, conn, buf)
}

// listen carries out what a client wants.
func (b *Broker) listen(ctx context.Context, c *client, conn net.Conn, buf []byte) {
	p := port{b, c}
	for {
		kind, payload, err := readFrame(conn, buf)
		if err != nil {
			return
		}
		switch kind {
		case frameData:
			if err := p.write(ctx, payload); err != nil {
				c.tell(frameRefused, err.Error())
			}
		case frameCommand:
			text := ""
			if answer, err := b.command(p, string(payload)); err != nil {
				text = "!" + err.Error()
			} else {
				text = answer
			}
			c.send.Lock()
			err := writeFrame(conn, frameReply, []byte(text))
			c.send.Unlock()
			if err != nil {
				return
			}
		}
	}
}

// command carries out a line such as "break 250ms".
func (b *Broker) command(p port, line string) (string, error) {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "take":
		return "", b.claim(p.c, false)
	case "force":
		return "", b.claim(p.c, true)
	case "ask":
		return "", b.ask(p.c)
	case "free":
		b.mu.Lock()
		defer b.mu.Unlock()
		b.free(p.c)
		return "", nil
	case "log":
		return b.o.Log, nil
	case "there":
		if b.open() == nil {
			return "", serial.ErrVanished
		}
		return "", nil
	case "mode":
		if arg == "" {
			return p.Mode().String(), nil
		}
		m, err := serial.ParseMode(arg)
		if err != nil {
			return "", err
		}
		return "", p.SetMode(m)
	case "break":
		return "", p.Break(serial.DefaultBreak)
	case "modem":
		return modem(p, arg)
	}
	return "", fmt.Errorf("unknown command %q", verb)
}

// modem says or sets modem lines: "dtr=on rts=off".
func modem(p port, arg string) (string, error) {
	if arg == "" {
		m, err := p.Modem()
		return fmt.Sprintf("CTS %v, DSR %v, DCD %v, RI %v", m.CTS, m.DSR, m.DCD, m.RI), err
	}
	var dtr, rts string
	if n, _ := fmt.Sscanf(arg, "dtr=%s rts=%s", &dtr, &rts); n != 2 {
		return "", fmt.Errorf("invalid modem lines %q", arg)
	}
	return "", p.SetModem(dtr == "on", rts == "on")
}

// follow sends a client the log, and events, until either of the two ends.
func (b *Broker) follow(c *client, conn net.Conn, backlog int64, ended chan struct{}) {
	defer close(ended)
	go b.tellEvents(c, conn)
	at, joined := b.log.joined(backlog)
	buf := make([]byte, 32<<10)
	for {
		part := buf
		kind := byte(frameData)
		if at < joined {
			kind, part = frameEarlier, buf[:min(int64(len(buf)), joined-at)]
		}
		n, err := b.log.next(part, at, c.gone)
		if n > 0 {
			at += int64(n)
			c.send.Lock()
			err = errors.Join(err, writeFrame(conn, kind, part[:n]))
			c.send.Unlock()
		}
		if err != nil {
			conn.Close()
			return
		}
	}
}

func (b *Broker) tellEvents(c *client, conn net.Conn) {
	for {
		select {
		case e := <-c.events:
			c.send.Lock()
			err := writeFrame(conn, e.kind, []byte(e.text))
			c.send.Unlock()
			if err != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}
