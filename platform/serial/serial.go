// Package serial is a serial line behind one interface, whatever carries it: a port of
// this machine, a board's own tty, a pty, a UNIX socket or a network port.
//
//	line, err := lines.Open(ctx, "/dev/ttyUSB0,115200") // platform/serial/lines
//	n, err := serial.Read(ctx, line, buf)               // ends with its context
//	err = line.SetMode(serial.Mode{Baud: 921600})
//
// Reads and writes obey deadlines as those of package net do. A line that is gone, such
// as that of a USB cable that was pulled, is ErrVanished, and is opened again by its
// name. New makes a Line of what carries the bytes and what sets the rest; each
// implementation is a package of its own, so that a program links only what it opens.
//
// One goroutine may read while another writes, sets modes or closes. Close ends both
// with os.ErrClosed.
package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Stream carries the bytes of a line. An os.File that the poller knows is one, and so
// is every net.Conn. A deadline in the past ends a call that waits; the zero time
// means none.
type Stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Control sets what a line has beside its bytes. What it does not have is
// errors.ErrUnsupported, but for SetMode: a line without a rate takes every mode.
type Control interface {
	SetMode(Mode) error           // zero fields count as those of Default
	Break(time.Duration) error    // returns after it; zero is DefaultBreak
	Modem() (Modem, error)        // what the other end says
	SetModem(dtr, rts bool) error // what this end says
}

// Line is an open serial line. Its String says which, for people: that of a new pty
// holds the path of its other end.
type Line interface {
	Stream
	Control
	fmt.Stringer
}

// Modem is the state of the modem lines that the other end drives.
type Modem struct{ CTS, DSR, DCD, RI bool }

// DefaultBreak is how long a break lasts where nothing is said.
const DefaultBreak = 250 * time.Millisecond

// ErrVanished says that what carried the line is gone: a cable that was pulled, a
// program that ended. The same name may be there again later.
var ErrVanished = errors.New("the line vanished")

// InUseError says who has a line.
type InUseError struct {
	Name    string
	PID     int    // 0 where it is not known
	Program string // may be empty; not harmless text
}

func (e *InUseError) Error() string {
	switch {
	case e.PID == 0:
		return e.Name + " is in use by another program"
	case e.Program == "":
		return fmt.Sprintf("%s is in use by process %d", e.Name, e.PID)
	}
	return fmt.Sprintf("%s is in use by process %d (%s)", e.Name, e.PID, e.Program)
}

// New makes a Line of a stream and, unless it is nil, of what controls it. It keeps the
// promises of this package whatever the stream does: a read brings bytes or an error,
// and an error that means that the carrier is gone is ErrVanished.
func New(name string, s Stream, c Control) Line {
	if c == nil {
		c = plain{}
	}
	return &line{name: name, Stream: s, Control: c}
}

type line struct {
	Stream
	Control
	name string
}

func (l *line) String() string { return l.name }

// Read implements io.Reader.
func (l *line) Read(b []byte) (int, error) {
	// A stream that wakes for nothing for ever is an error rather than a busy loop.
	for range 100 {
		n, err := l.Stream.Read(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, l.classify(err)
		}
	}
	return 0, fmt.Errorf("%s: %w", l.name, io.ErrNoProgress)
}

// Write implements io.Writer.
func (l *line) Write(b []byte) (int, error) {
	n, err := l.Stream.Write(b)
	return n, l.classify(err)
}

func (l *line) classify(err error) error {
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.Is(err, os.ErrClosed), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		return os.ErrClosed
	case errors.Is(err, ErrVanished):
		return err
	}
	for _, gone := range []error{io.EOF, syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%s: %w", l.name, ErrVanished)
		}
	}
	return fmt.Errorf("%s: %w", l.name, err)
}

// plain is a line that has nothing beside its bytes.
type plain struct{}

func (plain) SetMode(m Mode) error      { return m.WithDefaults().Check() }
func (plain) Break(time.Duration) error { return fmt.Errorf("break: %w", errors.ErrUnsupported) }
func (plain) Modem() (Modem, error) {
	return Modem{}, fmt.Errorf("modem lines: %w", errors.ErrUnsupported)
}
func (plain) SetModem(dtr, rts bool) error {
	return fmt.Errorf("modem lines: %w", errors.ErrUnsupported)
}

// Read reads from a stream until there is something, or the context ends, whose error
// it then returns. It uses the read deadline, and leaves none.
func Read(ctx context.Context, s Stream, b []byte) (int, error) {
	return within(ctx, s.SetReadDeadline, func() (int, error) { return s.Read(b) })
}

// Write writes to a stream until all is written or the context ends, whose error it
// then returns with the number of bytes that were taken. It uses the write deadline,
// and leaves none.
func Write(ctx context.Context, s Stream, b []byte) (int, error) {
	return within(ctx, s.SetWriteDeadline, func() (int, error) { return s.Write(b) })
}

func within(ctx context.Context, setDeadline func(time.Time) error, do func() (int, error)) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		setDeadline(time.Unix(1, 0))
		close(ended)
	})
	n, err := do()
	if !stop() {
		<-ended // so that the deadline is not set behind our back later
		setDeadline(time.Time{})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = ctx.Err()
		}
	}
	return n, err
}
