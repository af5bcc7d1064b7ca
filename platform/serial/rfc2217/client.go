package rfc2217

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"itlagent/platform/serial"
)

// patience is how long a peer's acknowledgement is waited for. One that lets it pass is
// not waited for again.
const patience = 3 * time.Second

// Dial opens the port of a server at an address HOST:PORT. The context bounds the
// opening.
func Dial(ctx context.Context, addr string, mode serial.Mode) (serial.Line, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	line, err := newClient(ctx, conn, addr, mode)
	if err != nil {
		conn.Close()
	}
	return line, err
}

func newClient(ctx context.Context, conn net.Conn, addr string, mode serial.Mode) (serial.Line, error) {
	c := &client{Conn: conn, inbox: newInbox(), settled: make(chan struct{}), acks: map[byte]chan []byte{}}
	ours := func(o byte) bool { return o == optBinary || o == optSGA || o == optComPort }
	c.options = options{
		send:     func(verb, option byte) { c.command([]byte{iac, verb, option}) },
		wantUs:   ours,
		wantThem: func(o byte) bool { return ours(o) || o == optEcho },
	}
	c.parser = parser{option: c.option, handler: c.answer}
	for _, o := range []byte{optBinary, optSGA, optComPort} {
		c.options.ask(will, o)
		if o != optComPort {
			c.options.ask(do, o)
		}
	}
	go c.read()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.settled:
	case <-timer.C: // a peer that knows no options: bytes alone
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("rfc2217:%s: %w", addr, ctx.Err())
	}
	line := serial.New("rfc2217:"+addr, c, c)
	if c.agreed() {
		if err := line.SetMode(mode); err != nil {
			c.Close()
			return nil, fmt.Errorf("rfc2217:%s: %w", addr, err)
		}
	}
	return line, nil
}

// client is a server's port.
type client struct {
	net.Conn
	*inbox
	parser  parser
	options options // of the reading goroutine, but for its start

	settled chan struct{} // closed once the peer has answered on the option, or is gone
	once    sync.Once

	writing sync.Mutex // Conn
	setting sync.Mutex // one command at a time waits for its acknowledgement

	mu    sync.Mutex
	on    bool // the peer knows the option
	mute  bool // it does not acknowledge
	still bool // it does not answer when asked of modem lines, and tells by itself at most
	modem *serial.Modem
	acks  map[byte]chan []byte
}

var _ serial.Control = (*client)(nil)

func (c *client) agreed() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.on }

func (c *client) read() {
	buf := make([]byte, 4096)
	for {
		n, err := c.Conn.Read(buf)
		if data := c.parser.data(buf[:n]); len(data) > 0 {
			c.put(data)
		}
		if err != nil {
			c.end(err)
			c.once.Do(func() { close(c.settled) })
			return
		}
	}
}

func (c *client) option(verb, option byte) {
	c.options.got(verb, option)
	if option == optComPort {
		c.mu.Lock()
		c.on = verb == do || c.on && verb == will
		c.mu.Unlock()
		if verb == do || verb == dont {
			c.once.Do(func() { close(c.settled) })
		}
	}
}

// answer takes the server's word.
func (c *client) answer(command byte, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if command == cmdModemState+answer && len(value) == 1 {
		v := value[0]
		c.modem = &serial.Modem{CTS: v&stateCTS != 0, DSR: v&stateDSR != 0, RI: v&stateRI != 0, DCD: v&stateDCD != 0}
	}
	if ack := c.acks[command]; ack != nil {
		select {
		case ack <- bytes.Clone(value):
		default: // a second one
		}
	}
}

// command writes what is no data.
func (c *client) command(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.Conn.Write(b)
	return err
}

// Write implements io.Writer.
func (c *client) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	const most = 4096 // so that what a deadline cuts off is known to that
	done := 0
	for done < len(b) {
		part := b[done:min(len(b), done+most)]
		sent, err := c.Conn.Write(escape(part))
		if err != nil {
			return done + unescaped(part, sent), err
		}
		done += len(part)
	}
	return done, nil
}

// unescaped returns how many bytes of data the first n on the wire were.
func unescaped(b []byte, n int) int {
	for i, c := range b {
		if n--; c == iac {
			n--
		}
		if n < 0 {
			return i
		}
	}
	return len(b)
}

func (c *client) Read(b []byte) (int, error)        { return c.inbox.Read(b) }
func (c *client) SetReadDeadline(t time.Time) error { return c.inbox.SetReadDeadline(t) }

// Close implements serial.Stream.
func (c *client) Close() error {
	c.inbox.close()
	return c.Conn.Close()
}

// set sends a command, and waits for its acknowledgement. It returns the server's value,
// or the one that was sent where the server acknowledges nothing.
func (c *client) set(command byte, value ...byte) ([]byte, error) {
	c.setting.Lock()
	defer c.setting.Unlock()
	ack := make(chan []byte, 1)
	silent := &c.mute
	if command == cmdModemState {
		silent = &c.still
	}
	c.mu.Lock()
	on, mute := c.on, *silent
	c.acks[command+answer] = ack
	c.mu.Unlock()
	if !on {
		return nil, fmt.Errorf("the server knows no modes: %w", errors.ErrUnsupported)
	}
	if err := c.command(encode(command, value...)); err != nil || mute {
		return value, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case got := <-ack:
		return got, nil
	case <-timer.C:
		c.mu.Lock()
		*silent = true
		c.mu.Unlock()
		return value, nil
	}
}

var (
	parities = map[serial.Parity]byte{'N': 1, 'O': 2, 'E': 3, 'M': 4, 'S': 5}
	flows    = map[serial.Flow]byte{serial.NoFlow: ctlFlowNone, serial.XONXOFF: ctlFlowXON, serial.RTSCTS: ctlFlowRTS}
)

// SetMode implements serial.Control.
func (c *client) SetMode(m serial.Mode) error {
	m = m.WithDefaults()
	if err := m.Check(); err != nil {
		return err
	}
	for _, s := range []struct {
		what    string
		command byte
		value   []byte
	}{
		{"rate", cmdBaud, binary.BigEndian.AppendUint32(nil, uint32(m.Baud))},
		{"data bits", cmdDataSize, []byte{byte(m.DataBits)}},
		{"parity", cmdParity, []byte{parities[m.Parity]}},
		{"stop bits", cmdStopSize, []byte{byte(m.StopBits)}},
	} {
		got, err := c.set(s.command, s.value...)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, s.value) {
			return fmt.Errorf("the server refuses %v: its %s stays %d", m, s.what, number(got))
		}
	}
	// What a server answers on flow control differs; that it took it is enough.
	_, err := c.set(cmdControl, flows[m.Flow])
	return err
}

func number(value []byte) (n uint32) {
	for _, b := range value[:min(4, len(value))] {
		n = n<<8 | uint32(b)
	}
	return n
}

// Break implements serial.Control.
func (c *client) Break(d time.Duration) error {
	if d <= 0 {
		d = serial.DefaultBreak
	}
	if _, err := c.set(cmdControl, ctlBreakOn); err != nil {
		return err
	}
	time.Sleep(d)
	_, err := c.set(cmdControl, ctlBreakOff)
	return err
}

// Modem implements serial.Control.
func (c *client) Modem() (serial.Modem, error) {
	if _, err := c.set(cmdModemState); err != nil {
		return serial.Modem{}, err
	}
	c.mu.Lock()
	known := c.modem
	c.mu.Unlock()
	if known == nil {
		return serial.Modem{}, fmt.Errorf("the server does not tell of modem lines: %w", errors.ErrUnsupported)
	}
	return *known, nil
}

// SetModem implements serial.Control.
func (c *client) SetModem(dtr, rts bool) error {
	values := []byte{ctlDTROff, ctlRTSOff}
	if dtr {
		values[0] = ctlDTROn
	}
	if rts {
		values[1] = ctlRTSOn
	}
	for _, v := range values {
		if _, err := c.set(cmdControl, v); err != nil {
			return err
		}
	}
	return nil
}
