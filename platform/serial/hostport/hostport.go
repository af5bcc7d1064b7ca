//go:build linux || darwin

// Package hostport is a serial port of the engineer's machine, by go.bug.st/serial.
//
//	line, err := hostport.Open("/dev/ttyUSB0", serial.Default)
//	ports, err := hostport.List()
//
// The library sets modes, breaks and modem lines. The bytes go past it, through Go's own
// poller, which holds off three of its faults: its reads panic on descriptors from 1024
// on, a time-out of theirs is no error, and they race with Close.
//
// A port has one user. Its exclusive flag stops nobody who is root, so a port is also
// locked with flock(2), as tio does, and with the lock file that UUCP's programs know
// (/var/lock/LCK..ttyUSB0, FHS 3.0 section 5.9), as picocom and minicom do.
package hostport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bugst "go.bug.st/serial"
	"golang.org/x/sys/unix"

	"itlagent/platform/serial"
)

// Open opens and locks the port of a path, in a mode whose zero fields count as those of
// serial.Default. Its error is fs.ErrNotExist or fs.ErrPermission where that is why, and
// a serial.InUseError where somebody has the port.
func Open(path string, mode serial.Mode) (serial.Line, error) {
	mode = mode.WithDefaults()
	if err := mode.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, inUse(path)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return nil, fmt.Errorf("%s: %w", path, serial.ErrVanished)
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	p := &port{File: f, name: path}
	if err := p.open(mode); err != nil {
		p.Close()
		return nil, err
	}
	return serial.New(path, p, p), nil
}

// port carries bytes through the poller, and controls them through the library.
type port struct {
	*os.File
	name string
	lock string // the lock file, if there is one

	mu  sync.Mutex // what follows
	lib bugst.Port // nil once it is closed
	now serial.Mode
}

func (p *port) open(mode serial.Mode) error {
	if _, err := getTermios(p.File); err != nil {
		return fmt.Errorf("%s is not a serial port", p.name)
	}
	if err := p.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("%s: this system cannot wait for it: %w", p.name, err)
	}
	if err := p.claim(); err != nil {
		return err
	}
	lib, err := bugst.Open(p.name, libMode(mode))
	if err != nil {
		return p.explain(err)
	}
	p.lib = lib
	return p.set(mode)
}

// claim locks the port.
func (p *port) claim() error {
	var err error
	if cerr := withFD(p.File, func(fd int) { err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); cerr != nil {
		return cerr
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return inUse(p.name)
	}
	if err != nil {
		return fmt.Errorf("%s: lock: %w", p.name, err)
	}
	p.lock, err = lockFile(lockDir, p.name)
	return err
}

// explain gives the library's errors the words of this package.
func (p *port) explain(err error) error {
	var e *bugst.PortError
	if errors.As(err, &e) {
		switch e.Code() {
		case bugst.PortBusy:
			return inUse(p.name)
		case bugst.PortClosed:
			return os.ErrClosed
		}
	}
	for _, gone := range []error{unix.EIO, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%s: %w", p.name, serial.ErrVanished)
		}
	}
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%s: %w (%v)", p.name, errors.ErrUnsupported, err)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// Close gives the port back. It is harmless to call it again.
func (p *port) Close() error {
	err := p.File.Close() // ends reads and writes, and the lock of flock
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lib != nil {
		p.lib.Close()
		p.lib = nil
	}
	if p.lock != "" {
		os.Remove(p.lock)
		p.lock = ""
	}
	return err
}

// with calls do with the library's port, which stays open meanwhile.
func (p *port) with(do func(bugst.Port) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lib == nil {
		return os.ErrClosed
	}
	if err := do(p.lib); err != nil {
		return p.explain(err)
	}
	return nil
}

// SetMode implements serial.Control. What was written before goes out in the old mode,
// unless flow control may hold it back.
func (p *port) SetMode(m serial.Mode) error {
	m = m.WithDefaults()
	if err := m.Check(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return p.with(func(lib bugst.Port) error {
		if p.now.Flow == serial.NoFlow {
			if err := lib.Drain(); err != nil {
				return err
			}
		}
		if err := lib.SetMode(libMode(m)); err != nil {
			return err
		}
		return p.set(m)
	})
}

// set sets what the library leaves: flow control.
func (p *port) set(m serial.Mode) error {
	t, err := getTermios(p.File)
	if err != nil {
		return err
	}
	t.Cflag &^= unix.CRTSCTS
	t.Iflag &^= unix.IXON | unix.IXOFF | unix.IXANY
	switch m.Flow {
	case serial.RTSCTS:
		t.Cflag |= unix.CRTSCTS
	case serial.XONXOFF:
		t.Iflag |= unix.IXON | unix.IXOFF
		t.Cc[unix.VSTART], t.Cc[unix.VSTOP] = 0x11, 0x13 // DC1, DC3
	}
	if err := setTermios(p.File, t); err != nil {
		return p.explain(err)
	}
	p.now = m
	return nil
}

func libMode(m serial.Mode) *bugst.Mode {
	parity := map[serial.Parity]bugst.Parity{'N': bugst.NoParity, 'E': bugst.EvenParity, 'O': bugst.OddParity, 'M': bugst.MarkParity, 'S': bugst.SpaceParity}
	stop := map[int]bugst.StopBits{1: bugst.OneStopBit, 2: bugst.TwoStopBits}
	return &bugst.Mode{BaudRate: m.Baud, DataBits: m.DataBits, Parity: parity[m.Parity], StopBits: stop[m.StopBits]}
}

// Break implements serial.Control.
func (p *port) Break(d time.Duration) error {
	if d <= 0 {
		d = serial.DefaultBreak
	}
	return p.with(func(lib bugst.Port) error { return lib.Break(d) })
}

// Modem implements serial.Control.
func (p *port) Modem() (m serial.Modem, err error) {
	err = p.with(func(lib bugst.Port) error {
		bits, err := lib.GetModemStatusBits()
		if err == nil {
			m = serial.Modem{CTS: bits.CTS, DSR: bits.DSR, DCD: bits.DCD, RI: bits.RI}
		}
		return err
	})
	return m, err
}

// SetModem implements serial.Control.
func (p *port) SetModem(dtr, rts bool) error {
	return p.with(func(lib bugst.Port) error { return errors.Join(lib.SetDTR(dtr), lib.SetRTS(rts)) })
}

// withFD calls do with a file's descriptor, which stays open and polled meanwhile.
func withFD(f *os.File, do func(fd int)) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) { do(int(fd)) })
}

func getTermios(f *os.File) (t *unix.Termios, err error) {
	if cerr := withFD(f, func(fd int) { t, err = unix.IoctlGetTermios(fd, tcget) }); cerr != nil {
		return nil, cerr
	}
	return t, err
}

func setTermios(f *os.File, t *unix.Termios) (err error) {
	if cerr := withFD(f, func(fd int) { err = unix.IoctlSetTermios(fd, tcset, t) }); cerr != nil {
		return cerr
	}
	return err
}

// inUse says who has a port.
func inUse(path string) error {
	e := &serial.InUseError{Name: path}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path
	}
	if e.PID = lockHolder(lockDir, real); e.PID == 0 {
		e.PID = holder(real)
	}
	e.Program = program(e.PID)
	return e
}
