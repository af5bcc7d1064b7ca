package capture

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/testbench/evidence"
)

// Result is what came of asking for a file.
type Result string

// The results.
const (
	Got        Result = "got"
	NotFound   Result = "not found"
	Refused    Result = "refused"    // another error of the server
	NoAnswer   Result = "no answer"  // nothing came
	CutShort   Result = "cut short"  // the server ended it
	BrokenOff  Result = "broken off" // the phone ended it
	NotSeen    Result = "not seen"   // the capture lacks some of it
	NotKept    Result = "not kept"   // it was got, and Limits leave no room for it
	unfinished Result = ""
)

// File is a file that was asked for.
type File struct {
	Name      string
	Transport string // "HTTP" or "TFTP"
	Result    Result
	Code      int    // of HTTP's answer, or TFTP's error; -1 where there was none
	Size      int64  // bytes, as announced or as they came; -1 where neither is known
	Data      []byte // of a trust file or a configuration that was got
	Options   string // of TFTP, as they were agreed: "blksize=1428"
	Repeats   int    // packets that came again
}

// TLS is a connection whose content is encrypted.
type TLS struct {
	Version      uint16 // of the server's hello, 0 before it
	Suite        uint16
	Certificates [][]byte // of the server, in DER; none from TLS 1.3 on
	Hello        bool     // the client's
	Finished     [2]bool  // changed to encryption: client, server
	Alerts       []Alert
	Content      [2]int // bytes of encrypted content: client, server
	Records      [2]int // records of it
	Closed       int    // who closed first: 0 the client, 1 the server, 2 not seen
	Lost         bool   // the capture lacks some of it
	Refused      bool   // no connection: the server's machine refused it
	Silent       bool   // no connection: no answer
	Reset        bool
}

// Alert is an alert of TLS.
type Alert struct {
	By          int // 0 the client, 1 the server
	Encrypted   bool
	Level, Code uint8 // of one that is not encrypted
}

// Lease is what DHCP gave.
type Lease struct {
	MAC    [6]byte
	IP     netip.Addr
	TFTP   []string // of options 150 and 66
	Server netip.Addr
}

// Message is an unencrypted SIP message about registration or lists.
type Message struct {
	Method string
	Device string
	Report *evidence.Report // of an alarm about lists
}

// Event is one thing that a phone did. One of File, TLS, Lease and Message is not nil.
type Event struct {
	Time, End time.Time
	Server    netip.AddrPort
	File      *File
	TLS       *TLS
	Lease     *Lease
	Message   *Message
	of        *Phone // of a file
}

// Kind returns "dhcp", "http", "tftp", "tls", "sip", or "tcp" for a connection that failed.
func (e *Event) Kind() string {
	switch {
	case e.TLS != nil && (e.TLS.Refused || e.TLS.Silent):
		return "tcp"
	case e.File != nil:
		return strings.ToLower(e.File.Transport)
	case e.TLS != nil:
		return "tls"
	case e.Lease != nil:
		return "dhcp"
	}
	return "sip"
}

// Text says what happened, without time and server. It is safe to print.
func (e *Event) Text() string {
	switch {
	case e.File != nil:
		return e.File.text()
	case e.TLS != nil:
		return e.TLS.text()
	case e.Lease != nil:
		return fmt.Sprintf("address %v, TFTP servers: %s", e.Lease.IP, orNone(printable.Text(strings.Join(e.Lease.TFTP, " "))))
	}
	m := e.Message
	if m.Report == nil {
		return m.Method + " " + printable.Text(m.Device)
	}
	return fmt.Sprintf("alarm of %s: ITL %s, CTL %s", printable.Text(m.Device), orNone(m.Report.ITL.String()), orNone(m.Report.CTL.String()))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (f *File) text() string {
	text := printable.Clip(f.Name, 80) + ": " + string(f.Result)
	if f.Code >= 0 && f.Result != Got && f.Result != NotKept {
		text += fmt.Sprintf(" (%s %d)", f.Transport, f.Code)
	}
	if f.Size >= 0 && f.Result != NotFound && f.Result != Refused && f.Result != NoAnswer {
		text += fmt.Sprintf(", %d bytes", f.Size)
	}
	if f.Options != "" {
		text += ", " + printable.Clip(f.Options, 80)
	}
	if f.Repeats > 0 {
		text += fmt.Sprintf(", %d packets repeated", f.Repeats)
	}
	return text
}

func (t *TLS) text() string {
	if t.Refused {
		return "connection refused"
	}
	if t.Silent {
		return "no connection: no answer"
	}
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if t.Version == 0 {
		add("no answer to the client's hello")
	} else {
		add("%s", versionName(t.Version))
	}
	if len(t.Certificates) > 0 {
		add("certificate of %s", nameOf(t.Certificates[0]))
	} else if t.Version >= tls13 {
		add("certificate not visible")
	}
	for _, a := range t.Alerts {
		add("%s", a.text())
	}
	if t.Content[fromClient]+t.Content[fromServer] > 0 {
		add("encrypted: %d bytes asked, %d answered", t.Content[fromClient], t.Content[fromServer])
	}
	if t.Lost {
		add("incomplete in the capture")
	}
	if t.Closed != nobody && t.Content[fromServer] == 0 {
		add("closed by the %s", who(t.Closed))
	}
	return strings.Join(parts, ", ")
}

func who(dir int) string {
	return [...]string{"phone", "server", "neither"}[dir]
}

func nameOf(der []byte) string {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "(unreadable)"
	}
	return printable.Clip(c.Subject.String(), 100)
}

func (a Alert) text() string {
	if a.Encrypted {
		return "encrypted alert of the " + who(a.By)
	}
	return fmt.Sprintf("alert %d (%s) of the %s", a.Code, alertName(a.Code), who(a.By))
}
