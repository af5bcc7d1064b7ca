package serial

import (
	"fmt"
	"net"
	"strings"
)

// Kind is what carries a line.
type Kind string

// The kinds of lines, as they begin their names. A port has no such beginning: its name
// is its path.
const (
	Port    Kind = "port"    // /dev/ttyUSB0
	USB     Kind = "usb"     // usb:SERIAL, a port by the serial number of its USB device
	Unix    Kind = "unix"    // unix:PATH, a socket such as QEMU's
	PTY     Kind = "pty"     // pty: or pty:LINK, a new pty for another program to open
	RFC2217 Kind = "rfc2217" // rfc2217:HOST:PORT, a port of another machine with its modes
	TCP     Kind = "tcp"     // tcp:HOST:PORT, bytes alone
)

// Name says which line is meant.
type Name struct {
	Kind   Kind
	Target string // path, serial number, or HOST:PORT
	Mode   Mode   // whole
}

// maxName bounds a name, in bytes.
const maxName = 4096

// ParseName reads the name of a line:
//
//	/dev/ttyUSB0[,MODE]  usb:SERIAL[,MODE]  rfc2217:HOST:PORT[,MODE]
//	unix:PATH  pty:[LINK]  tcp:HOST:PORT
//
// MODE is as ParseMode reads it.
func ParseName(text string) (Name, error) {
	if len(text) > maxName || strings.ContainsAny(text, "\x00\r\n") {
		return Name{}, fmt.Errorf("invalid line %.40q", text)
	}
	n := Name{Kind: Port, Target: text, Mode: Default}
	for _, k := range []Kind{USB, Unix, PTY, RFC2217, TCP} {
		if t, ok := strings.CutPrefix(text, string(k)+":"); ok {
			n.Kind, n.Target = k, t
		}
	}
	if n.Kind == Port && !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "./") {
		return Name{}, fmt.Errorf("invalid line %q: want one such as /dev/ttyUSB0, usb:SERIAL, unix:PATH, pty:, rfc2217:HOST:PORT or tcp:HOST:PORT", text)
	}
	if n.Kind == Port || n.Kind == USB || n.Kind == RFC2217 {
		target, mode, _ := strings.Cut(n.Target, ",")
		m, err := ParseMode(mode)
		if err != nil {
			return Name{}, fmt.Errorf("%s: %w", target, err)
		}
		n.Target, n.Mode = target, m
	}
	if n.Kind == RFC2217 || n.Kind == TCP {
		host, port, err := net.SplitHostPort(n.Target)
		if err != nil || host == "" || port == "" {
			return Name{}, fmt.Errorf("invalid address %q: want HOST:PORT", n.Target)
		}
	}
	if n.Target == "" && n.Kind != PTY {
		return Name{}, fmt.Errorf("invalid line %q: nothing follows its kind", text)
	}
	return n, nil
}

// String returns the name as ParseName reads it.
func (n Name) String() string {
	s := n.Target
	if n.Kind != Port {
		s = string(n.Kind) + ":" + s
	}
	if m := n.Mode.WithDefaults(); m != Default && (n.Kind == Port || n.Kind == USB || n.Kind == RFC2217) {
		s += "," + m.String()
	}
	return s
}
