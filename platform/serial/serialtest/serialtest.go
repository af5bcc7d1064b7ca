// Package serialtest is a serial line in memory between a program that is tested and a
// fake board, with the faults that real lines have.
//
//	wire := serialtest.New(t, serialtest.Faults{Split: 3})
//	line, err := wire.Open(ctx) // the tested program's end, as from lines.Open
//	io.WriteString(wire.Board, "U-Boot 2023.01\r\n")
//	wire.Unplug()
//
// As on a real line, what the board says while nobody has the line open, or while it is
// unplugged, is lost. Otherwise the board waits until its words are read, so that a
// test loses nothing by chance. All methods are safe for concurrent use.
package serialtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"itlagent/platform/serial"
)

// Faults are those of a wire. They hold for what the board says; the zero value has none.
type Faults struct {
	Drop   int             // every n-th byte is lost
	Garble int             // every n-th byte has a bit changed
	Split  int             // at most so many bytes arrive at once
	Delay  func(bytes int) // is called before bytes arrive
	Echo   bool            // what is typed comes back, before the board reads it
	Baud   int             // the board's rate: at another one, every byte is garbled
}

// Wire is a line that can be unplugged.
type Wire struct {
	Board net.Conn // the board's end

	faults Faults
	inner  net.Conn // the wire's end of Board
	count  int      // bytes that the board said

	mu       sync.Mutex
	unplug   bool
	host     *host // nil while it is not open
	modem    serial.Modem
	mode     serial.Mode
	breaks   int
	dtr, rts bool
	opened   int
}

// New returns a wire that is plugged in. The end of the test ends it.
func New(t testing.TB, f Faults) *Wire {
	board, inner := net.Pipe()
	w := &Wire{Board: board, inner: inner, faults: f, modem: serial.Modem{CTS: true, DSR: true, DCD: true}}
	go w.fromBoard()
	t.Cleanup(func() {
		board.Close()
		inner.Close()
		w.Unplug()
	})
	return w
}

// Open opens the line. It is an error that wraps serial.ErrVanished while the wire is
// unplugged, and an InUseError while it is open.
func (w *Wire) Open(context.Context) (serial.Line, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.unplug:
		return nil, fmt.Errorf("wire: %w", serial.ErrVanished)
	case w.host != nil:
		return nil, &serial.InUseError{Name: "wire"}
	}
	near, far := net.Pipe()
	w.host = &host{Conn: near, far: far, w: w}
	w.mode, w.opened = serial.Default, w.opened+1
	go w.fromHost(w.host)
	return serial.New("wire", w.host, w.host), nil
}

// Unplug takes the line away until Plug.
func (w *Wire) Unplug() {
	w.mu.Lock()
	w.unplug = true
	h := w.host
	w.host = nil
	w.mu.Unlock()
	if h != nil {
		h.far.Close() // reads of the other end are io.EOF
	}
}

// Plug brings the line back. It has to be opened again.
func (w *Wire) Plug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unplug = false
}

// Opened returns how often the line was opened.
func (w *Wire) Opened() int { w.mu.Lock(); defer w.mu.Unlock(); return w.opened }

// Mode returns the mode that was set last.
func (w *Wire) Mode() serial.Mode { w.mu.Lock(); defer w.mu.Unlock(); return w.mode }

// Breaks returns how many breaks were sent.
func (w *Wire) Breaks() int { w.mu.Lock(); defer w.mu.Unlock(); return w.breaks }

// Driven returns the modem lines that the program set.
func (w *Wire) Driven() (dtr, rts bool) { w.mu.Lock(); defer w.mu.Unlock(); return w.dtr, w.rts }

// SetInputs sets the modem lines that the board drives.
func (w *Wire) SetInputs(m serial.Modem) { w.mu.Lock(); defer w.mu.Unlock(); w.modem = m }

func (w *Wire) fromBoard() {
	buf := make([]byte, 4096)
	for {
		n, err := w.inner.Read(buf)
		w.deliver(buf[:n])
		if err != nil {
			return
		}
	}
}

// deliver brings the board's bytes to whoever has the line open.
func (w *Wire) deliver(b []byte) {
	w.mu.Lock()
	h := w.host
	wrong := w.faults.Baud != 0 && w.faults.Baud != w.mode.Baud
	w.mu.Unlock()
	if h == nil {
		return
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		w.count++
		if w.faults.Drop > 0 && w.count%w.faults.Drop == 0 {
			continue
		}
		if wrong {
			c = c<<1 | 0x81
		}
		if w.faults.Garble > 0 && w.count%w.faults.Garble == 0 {
			c ^= 0x10
		}
		out = append(out, c)
	}
	h.deliver(out)
}

func (h *host) deliver(out []byte) {
	h.writing.Lock()
	defer h.writing.Unlock()
	for len(out) > 0 {
		n := len(out)
		if s := h.w.faults.Split; s > 0 {
			n = min(n, s)
		}
		if h.w.faults.Delay != nil {
			h.w.faults.Delay(n)
		}
		if _, err := h.far.Write(out[:n]); err != nil {
			return
		}
		out = out[n:]
	}
}

func (w *Wire) fromHost(h *host) {
	buf := make([]byte, 4096)
	for {
		n, err := h.far.Read(buf)
		if w.faults.Echo {
			h.deliver(buf[:n])
		}
		if n > 0 {
			if _, err := w.inner.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// host is the program's end.
type host struct {
	net.Conn
	far     net.Conn
	w       *Wire
	writing sync.Mutex // far
}

var _ serial.Control = (*host)(nil)

func (h *host) Close() error {
	h.w.mu.Lock()
	if h.w.host == h {
		h.w.host = nil
	}
	h.w.mu.Unlock()
	h.far.Close()
	return h.Conn.Close()
}

// alive runs do unless the wire was unplugged.
func (h *host) alive(do func()) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.host != h {
		return fmt.Errorf("wire: %w", serial.ErrVanished)
	}
	do()
	return nil
}

func (h *host) SetMode(m serial.Mode) error {
	m = m.WithDefaults()
	if err := m.Check(); err != nil {
		return err
	}
	return h.alive(func() { h.w.mode = m })
}

func (h *host) Break(time.Duration) error { return h.alive(func() { h.w.breaks++ }) }

func (h *host) Modem() (m serial.Modem, err error) {
	err = h.alive(func() { m = h.w.modem })
	return m, err
}

func (h *host) SetModem(dtr, rts bool) error {
	return h.alive(func() { h.w.dtr, h.w.rts = dtr, rts })
}

// Say writes a board's output, and fails the test where it cannot.
func (w *Wire) Say(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(w.Board, text); err != nil {
		t.Errorf("board: %v", err)
	}
}
