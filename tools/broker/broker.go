// Package broker is the one owner of a serial line, from its opening to its end.
//
//	b, err := broker.Start(ctx, broker.Options{Name: "bbb", Open: open, Log: "bbb.log"})
//	go b.Serve(listener)               // clients on a UNIX socket
//	c, err := broker.Join(conn, "me")  // a client: c.Read, c.Write, c.Do, c.Events
//
// Every byte of the line is written to the log before anybody sees it, and readers read
// from the log, each at its own pace: one that stalls holds nobody up and loses nothing,
// and one that joins late begins at most Backlog bytes before the end. The log is the
// line's bytes as they came, and nothing else. LOG.times says when: for each start of a
// line and each event its offset in the log, the time (RFC 3339) and the event's text.
//
// One client at a time may write: who types first, until it frees the token, leaves, or
// another one forces it away. A line that vanishes is opened again, in the mode that was
// set last; bytes that are typed meanwhile are refused, not kept.
//
// A Broker is safe for concurrent use.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"time"

	"itlagent/platform/serial"
)

// Backlog is how much of what came before a late reader gets, in bytes.
const Backlog = 1 << 20

// stuck is how long a write may take: a line whose flow control stops for longer takes
// nothing.
const stuck = 30 * time.Second

// Options say what a broker owns.
type Options struct {
	Name string // for messages
	Open func(context.Context) (serial.Line, error)
	Log  string // file that is appended to, and made where it is missing
	Mode serial.Mode

	Overwrite bool             // the log begins empty
	Wait      bool             // for a line that is not there yet
	Now       func() time.Time // time.Now unless set
	Retry     time.Duration    // between two tries to open; 250 ms unless set
}

// Broker owns a line.
type Broker struct {
	o      Options
	log    *log
	cancel context.CancelFunc
	done   chan struct{}

	writing sync.Mutex // one write to the line at a time

	mu      sync.Mutex // what follows
	line    serial.Line
	mode    serial.Mode
	clients map[*client]bool
	left    chan struct{} // closed and made again when a client leaves
	writer  *client
	asked   *client // gets the token next
	err     error
	socks   []net.Listener
}

// Start opens the line and begins to log it. The context ends the broker, as Close does.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retry <= 0 {
		o.Retry = 250 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &Broker{o: o, cancel: cancel, done: make(chan struct{}), clients: map[*client]bool{}, left: make(chan struct{}), mode: o.Mode.WithDefaults()}
	line, err := b.o.Open(ctx)
	if err != nil && !(o.Wait && gone(err)) {
		cancel()
		return nil, err
	}
	if b.log, err = openLog(o.Log, o.Overwrite); err != nil {
		cancel()
		if line != nil {
			line.Close()
		}
		return nil, err
	}
	if line == nil {
		b.event("waiting for " + o.Name)
	}
	go b.own(ctx, line)
	return b, nil
}

// gone says whether a line that cannot be opened may be there later.
func gone(err error) bool {
	var in *serial.InUseError
	var network *net.OpError
	return errors.Is(err, serial.ErrVanished) || errors.Is(err, fs.ErrNotExist) || errors.As(err, &in) || errors.As(err, &network)
}

// own reads the line until the context ends, and opens it again when it vanishes.
func (b *Broker) own(ctx context.Context, line serial.Line) {
	defer close(b.done)
	defer b.end()
	for ctx.Err() == nil {
		if line == nil {
			if line = b.reopen(ctx); line == nil {
				return
			}
			b.event("the line is back")
		}
		b.setLine(line)
		err := b.read(ctx, line)
		b.setLine(nil)
		line.Close()
		line = nil
		var full *logError
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &full):
			b.mu.Lock()
			b.err = err
			b.mu.Unlock()
			return
		}
		b.event("the line vanished, waiting for it")
	}
}

// reopen tries until the line is there, or the context ends.
func (b *Broker) reopen(ctx context.Context) serial.Line {
	tick := time.NewTicker(b.o.Retry)
	defer tick.Stop()
	for {
		line, err := b.o.Open(ctx)
		if err == nil {
			b.mu.Lock()
			mode := b.mode
			b.mu.Unlock()
			if err = line.SetMode(mode); err == nil || errors.Is(err, errors.ErrUnsupported) {
				return line
			}
			line.Close()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Broker) read(ctx context.Context, line serial.Line) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := serial.Read(ctx, line, buf)
		if n > 0 {
			if err := b.log.add(buf[:n], b.o.Now()); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (b *Broker) setLine(l serial.Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.line = l
}

// end gives everything back. Clients get what is in the log, then the end.
func (b *Broker) end() {
	b.mu.Lock()
	socks := b.socks
	b.socks = nil
	b.mu.Unlock()
	for _, l := range socks {
		l.Close()
	}
	b.log.end()
}

// event tells all clients, and LOG.times.
func (b *Broker) event(text string) {
	b.log.event(text, b.o.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.clients {
		c.tell(frameEvent, text)
	}
}

// Close ends the broker and gives the line back. Clients that read get what is in the
// log. It returns what ended the broker before, if anything did.
func (b *Broker) Close() error {
	b.cancel()
	<-b.done
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	b.WaitAlone(ctx, 0)
	b.mu.Lock()
	clients, err := b.clients, b.err
	b.clients = map[*client]bool{}
	b.mu.Unlock()
	for c := range clients {
		c.conn.Close()
	}
	return errors.Join(err, b.log.close())
}

// farewell is how long clients may take to read what is left.
const farewell = 2 * time.Second

// Done is closed once the broker has ended: by its context, or because the log cannot be
// written.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Size returns how many bytes the log has.
func (b *Broker) Size() int64 { return b.log.length() }

// Clients returns how many there are.
func (b *Broker) Clients() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.clients)
}

// WaitAlone waits until at most n clients are left, or the context ends.
func (b *Broker) WaitAlone(ctx context.Context, n int) {
	for {
		b.mu.Lock()
		left, now := b.left, len(b.clients)
		b.mu.Unlock()
		if now <= n {
			return
		}
		select {
		case <-left:
		case <-ctx.Done():
			return
		}
	}
}

// port is the broker's line for whoever speaks for a client: what it sets, the writer
// alone may.
type port struct {
	b *Broker
	c *client
}

// write sends bytes to the line for a client.
func (p port) write(ctx context.Context, data []byte) error {
	if err := p.b.claim(p.c, false); err != nil {
		return err
	}
	p.b.writing.Lock()
	defer p.b.writing.Unlock()
	line := p.b.open()
	if line == nil {
		return fmt.Errorf("not sent: %w", serial.ErrVanished)
	}
	ctx, cancel := context.WithTimeout(ctx, stuck)
	defer cancel()
	_, err := serial.Write(ctx, line, data)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("not sent: the line takes nothing, its flow control holds it back")
	}
	return err
}

func (b *Broker) open() serial.Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.line
}

// control does something with the line for a client that may write.
func (p port) control(do func(serial.Line) error) error {
	if err := p.b.claim(p.c, false); err != nil {
		return err
	}
	line := p.b.open()
	if line == nil {
		return serial.ErrVanished
	}
	return do(line)
}

// Mode implements rfc2217.Controller.
func (p port) Mode() serial.Mode {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	return p.b.mode
}

// SetMode implements serial.Control.
func (p port) SetMode(m serial.Mode) error {
	return p.control(func(l serial.Line) error {
		if err := l.SetMode(m); err != nil {
			return err
		}
		p.b.mu.Lock()
		p.b.mode = m.WithDefaults()
		p.b.mu.Unlock()
		return nil
	})
}

// Break implements serial.Control.
func (p port) Break(d time.Duration) error {
	return p.control(func(l serial.Line) error { return l.Break(d) })
}

// SetModem implements serial.Control.
func (p port) SetModem(dtr, rts bool) error {
	return p.control(func(l serial.Line) error { return l.SetModem(dtr, rts) })
}

// Modem implements serial.Control. Every client may ask.
func (p port) Modem() (serial.Modem, error) {
	line := p.b.open()
	if line == nil {
		return serial.Modem{}, serial.ErrVanished
	}
	return line.Modem()
}
