// Package tty opens a serial line of the board that a program runs on, by system calls
// alone: the library of the engineer's machine is too large for a board.
//
//	f, err := tty.Open("/dev/ttyS1", serial.Default)
//	c, _, leave, err := console.Attach(ctx, f, f, prompt, complete)
//
// The file is a terminal in raw mode at the rate that was asked for; termios(3) and, for
// rates of any value, ioctl_tty(2) have the details. Linux alone.
package tty

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"itlagent/platform/serial"
)

// Open opens a line in a mode whose zero fields count as those of serial.Default. It
// does not wait for a carrier, and the line does not become the controlling terminal.
func Open(path string, m serial.Mode) (*os.File, error) {
	m = m.WithDefaults()
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := set(fd, m); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func set(fd int, m serial.Mode) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return fmt.Errorf("not a serial line: %w", err)
	}
	t.Iflag = 0
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB | unix.PARODD | unix.CMSPAR | unix.CSTOPB | unix.CRTSCTS | unix.CBAUD
	t.Cflag |= unix.CREAD | unix.CLOCAL | unix.BOTHER
	t.Cflag |= [...]uint32{unix.CS5, unix.CS6, unix.CS7, unix.CS8}[m.DataBits-5]
	switch m.Parity {
	case 'E':
		t.Cflag |= unix.PARENB
	case 'O':
		t.Cflag |= unix.PARENB | unix.PARODD
	case 'M':
		t.Cflag |= unix.PARENB | unix.PARODD | unix.CMSPAR
	case 'S':
		t.Cflag |= unix.PARENB | unix.CMSPAR
	}
	if m.StopBits == 2 {
		t.Cflag |= unix.CSTOPB
	}
	switch m.Flow {
	case serial.RTSCTS:
		t.Cflag |= unix.CRTSCTS
	case serial.XONXOFF:
		t.Iflag |= unix.IXON | unix.IXOFF
	}
	t.Ispeed, t.Ospeed = uint32(m.Baud), uint32(m.Baud)
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS2, t); err != nil {
		return err
	}
	return unix.SetNonblock(fd, false)
}
