package rfc2217

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"itlagent/platform/serial"
	"itlagent/platform/serial/serialtest"
)

// controlled is a fake port that knows its mode.
type controlled struct {
	serial.Line
	mu     sync.Mutex
	mode   serial.Mode
	refuse bool
}

func (c *controlled) Mode() serial.Mode { c.mu.Lock(); defer c.mu.Unlock(); return c.mode }
func (c *controlled) SetMode(m serial.Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		return errors.ErrUnsupported
	}
	c.mode = m
	return c.Line.SetMode(m)
}

// serve carries one connection at a time to a port, as long as the test lasts.
func serve(t *testing.T, port *controlled) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s := NewServer(conn, port)
			go io.Copy(s, port)
			go io.Copy(port, s)
		}
	}()
	return l.Addr().String()
}

func newPort(t *testing.T) (*serialtest.Wire, *controlled) {
	t.Helper()
	w := serialtest.New(t, serialtest.Faults{})
	line, err := w.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w, &controlled{Line: line, mode: serial.Default}
}

// Our client at our server: bytes of every value, modes, breaks, modem lines.
func TestBothEnds(t *testing.T) {
	wire, port := newPort(t)
	line, err := Dial(t.Context(), serve(t, port), serial.Mode{Baud: 9600, DataBits: 7, Parity: 'E', Flow: serial.RTSCTS})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if got := wire.Mode().String(); got != "9600,7E1,rtscts" {
		t.Errorf("mode %s", got)
	}
	all := bytes.Repeat([]byte{0, 1, 13, 10, 255, 254, 255, 255, 240, 250}, 1000)
	for _, pair := range [][2]io.ReadWriter{{line, wire.Board}, {wire.Board, line}} {
		go pair[0].Write(all)
		got := make([]byte, len(all))
		if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, all) {
			t.Errorf("other bytes arrived (%v)", err)
		}
	}
	if err := line.SetMode(serial.Mode{Baud: 1500000, StopBits: 2, Parity: 'O', Flow: serial.XONXOFF}); err != nil || wire.Mode().String() != "1500000,8O2,xonxoff" {
		t.Error(err, wire.Mode())
	}
	if err := line.Break(time.Millisecond); err != nil || wire.Breaks() != 1 {
		t.Error(err, wire.Breaks())
	}
	if err := line.SetModem(false, true); err != nil {
		t.Error(err)
	}
	if dtr, rts := wire.Driven(); dtr || !rts {
		t.Error("modem lines", dtr, rts)
	}
	wire.SetInputs(serial.Modem{DSR: true, RI: true})
	if m, err := line.Modem(); err != nil || m != (serial.Modem{DSR: true, RI: true}) {
		t.Error(m, err)
	}
	port.mu.Lock()
	port.refuse = true
	port.mu.Unlock()
	if err := line.SetMode(serial.Mode{Baud: 300}); err == nil {
		t.Error("a refused rate is no error")
	}
}

func TestDeadlines(t *testing.T) {
	_, port := newPort(t)
	line, err := Dial(t.Context(), serve(t, port), serial.Default)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := serial.Read(ctx, line, make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ended := make(chan error)
	go func() {
		_, err := line.Read(make([]byte, 1))
		ended <- err
	}()
	line.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// peer is one end of a connection whose other end is a client's.
func peer(t *testing.T, do func(conn net.Conn)) (serial.Line, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		if conn, err := l.Accept(); err == nil {
			do(conn)
		}
	}()
	return Dial(t.Context(), l.Addr().String(), serial.Default)
}

// A peer that knows no options, or refuses this one, carries bytes; modes are an error.
func TestRefused(t *testing.T) {
	line, err := peer(t, func(conn net.Conn) {
		conn.Write([]byte{iac, dont, optComPort, iac, will, 200, iac, 241, 'h', 'i', iac, sb, 99, 1, iac, se, '!'})
		io.Copy(io.Discard, conn)
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(line, got); err != nil || string(got) != "hi!" {
		t.Errorf("%q, %v", got, err)
	}
	for _, err := range []error{line.SetMode(serial.Mode{}), line.Break(1), line.SetModem(true, true)} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	}
	if _, err := line.Modem(); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// A peer that agrees and then acknowledges nothing is waited for once.
func TestMute(t *testing.T) {
	line, err := peer(t, func(conn net.Conn) {
		conn.Write([]byte{iac, do, optComPort})
		io.Copy(io.Discard, conn)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 { // each would take seconds
		if err := line.SetMode(serial.Mode{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVanished(t *testing.T) {
	line, err := peer(t, func(conn net.Conn) {
		conn.Write([]byte{iac, dont, optComPort, 'x'})
		conn.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := line.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Error(n, err)
	}
	if _, err := line.Read(make([]byte, 9)); !errors.Is(err, serial.ErrVanished) {
		t.Error(err)
	}
}

// Two ends that both ask for everything come to rest.
func TestOptionsRest(t *testing.T) {
	var queue [][3]byte // end, verb, option
	yes := func(o byte) bool { return o < 50 }
	ends := make([]options, 2)
	for i := range ends {
		ends[i] = options{wantUs: yes, wantThem: yes, send: func(v, o byte) { queue = append(queue, [3]byte{byte(1 - i), v, o}) }}
	}
	for o := range byte(100) {
		ends[0].ask(will, o)
		ends[1].ask(do, o)
		ends[1].ask(will, o)
		ends[0].ask(dont, o)
	}
	for n := 0; len(queue) > 0; n++ {
		if n > 10_000 {
			t.Fatal("the two ends answer each other for ever")
		}
		m := queue[0]
		queue = queue[1:]
		ends[m[0]].got(m[1], m[2])
	}
}

// stub is a port that takes everything.
type stub struct{ m serial.Mode }

func (s *stub) SetMode(m serial.Mode) error {
	if err := m.Check(); err != nil {
		return err
	}
	s.m = m
	return nil
}
func (s *stub) Mode() serial.Mode            { return s.m }
func (s *stub) Break(time.Duration) error    { return nil }
func (s *stub) Modem() (serial.Modem, error) { return serial.Modem{}, nil }
func (s *stub) SetModem(bool, bool) error    { return nil }

// input is a connection that brings given bytes and counts what is written.
type input struct {
	net.Conn
	r       io.Reader
	written int
}

func (i *input) Read(b []byte) (int, error)  { return i.r.Read(b) }
func (i *input) Write(b []byte) (int, error) { i.written += len(b); return len(b), nil }

// Whatever bytes arrive at the server, and however they are cut: the same data comes
// out, the mode stays possible, and answers are no more than a fixed multiple of what
// was asked.
func FuzzServer(f *testing.F) {
	f.Add([]byte("hello"), byte(1))
	f.Add([]byte{iac, will, optComPort, iac, sb, optComPort, cmdBaud, 0, 0, 0x25, 0x80, iac, se, 'x'}, byte(3))
	f.Add([]byte{iac, sb, optComPort, cmdControl, ctlBreakQuery, iac, se, iac, iac, iac, sb, optComPort, cmdSignature, iac, se}, byte(2))
	f.Add(bytes.Repeat([]byte{iac, sb, optComPort, 1}, 200), byte(7))
	f.Fuzz(func(t *testing.T, data []byte, cut byte) {
		port := &stub{m: serial.Default}
		whole := &input{r: bytes.NewReader(data)}
		got, err := io.ReadAll(NewServer(whole, port))
		if err != nil {
			t.Fatal(err)
		}
		pieces := &input{r: &cutter{data: data, n: int(cut%16) + 1}}
		again, err := io.ReadAll(NewServer(pieces, &stub{m: serial.Default}))
		if err != nil || !bytes.Equal(got, again) {
			t.Fatalf("cut into %d: %q, %v, want %q", cut%16+1, again, err, got)
		}
		if err := port.m.Check(); err != nil {
			t.Fatal(err)
		}
		if len(got) > len(data) || whole.written > 20*len(data)+20 {
			t.Fatalf("%d bytes brought %d bytes of data and %d of answers", len(data), len(got), whole.written)
		}
	})
}

type cutter struct {
	data []byte
	n    int
}

func (c *cutter) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.n)], c.data)
	c.data = c.data[n:]
	return n, nil
}

// What one end writes, the other reads, and no command is made of it.
func FuzzData(f *testing.F) {
	f.Add([]byte{255, 250, 44, 1, 255, 240, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := parser{
			option:  func(v, o byte) { t.Errorf("option %d %d", v, o) },
			handler: func(c byte, v []byte) { t.Errorf("command %d %x", c, v) },
		}
		if got := p.data(escape(data)); !bytes.Equal(got, data) {
			t.Errorf("%x, want %x", got, data)
		}
		for n := range len(data) + 1 {
			if got := unescaped(data, len(escape(data[:n]))); got != n {
				t.Errorf("%d bytes on the wire are %d, want %d", len(escape(data[:n])), got, n)
			}
		}
	})
}
