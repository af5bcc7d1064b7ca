// Package pseudo makes a pty whose one end is a serial.Line, and whose other end any
// program opens as it would a serial port.
//
//	line, err := pseudo.Open("")       // line.String() is "pty:/dev/pts/7"
//	line, err := pseudo.Open("/tmp/board") // a link to it
//
// The line stays while programs open and close the other end. A pty has no modem lines
// and no break; it takes every mode. pty(7) is its standard.
package pseudo

import (
	"fmt"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"itlagent/platform/serial"
)

// Open makes a pty, and unless link is empty a symbolic link to its other end, which
// Close removes. A link that is there already is replaced, anything else is an error.
func Open(link string) (serial.Line, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("pty: %w", err)
	}
	polled, err := pollable(master)
	master.Close()
	if err != nil {
		slave.Close()
		return nil, fmt.Errorf("pty: %w", err)
	}
	p := &ends{File: polled, slave: slave, link: link}
	// Raw from the start: nothing is echoed to a board before a program opens the end.
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		p.link = ""
		p.Close()
		return nil, fmt.Errorf("pty: %w", err)
	}
	name := slave.Name()
	if link != "" {
		if err := replaceLink(name, link); err != nil {
			p.link = ""
			p.Close()
			return nil, fmt.Errorf("pty: %w", err)
		}
		name = link
	}
	return serial.New("pty:"+name, p, nil), nil
}

// pollable returns a file again so that it has deadlines, and Close ends its reads: the
// library that opened it asked for its descriptor, which makes it block.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func replaceLink(target, link string) error {
	if info, err := os.Lstat(link); err == nil {
		if info.Mode()&os.ModeSymlink == 0 {
			return fmt.Errorf("%s exists, and is no link", link)
		}
		if err := os.Remove(link); err != nil {
			return err
		}
	}
	return os.Symlink(target, link)
}

// ends keeps the other end open, so that the line does not vanish between two programs.
type ends struct {
	*os.File
	slave *os.File
	link  string
}

func (e *ends) Close() error {
	if e.link != "" {
		os.Remove(e.link)
	}
	err := e.File.Close() // first: without its other end, a read would fail otherwise
	e.slave.Close()
	return err
}
