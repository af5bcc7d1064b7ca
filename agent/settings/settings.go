// Package settings reads a phone's configuration, SEP<MAC>.cnf.xml: the servers
// that answer for trust, and the settings that a locked phone cannot be given.
//
//	s, err := settings.Parse(content)
//	fmt.Println(s.TVS, s.Web)
//
// Unknown elements are ignored. A document of more than MaxSize bytes, nested
// deeper than MaxDepth, or not well formed is refused whole. Parse is a pure
// function and safe for concurrent use. The elements are those of CUCM's files.
package settings

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Limits of a configuration.
const (
	MaxSize    = 2048 << 10 // bytes; 78xx and 88xx phones download no more
	MaxDepth   = 64         // elements inside each other
	maxText    = 4 << 10    // bytes of one value that is kept
	maxServers = 5          // TVS members that are used, as documented
	maxMembers = 20         // TVS members that are read
	maxAddress = 50         // characters of a TVS address, as documented
)

// Settings is what is used of a configuration. The zero value is that of a phone
// without one.
type Settings struct {
	TVS []string // "host:port" in the order of priority

	// Values of vendorConfig as they stand in the file; "" where absent.
	Web          string // webAccess: "0" is on, "1" off
	Settings     string // settingsAccess
	SSH          string // sshAccess
	SPANToPCPort string // spanToPCPort

	Name   string // of the device, as in "SEP64A0E71502CC"; XMLDefault has none
	Load   string // loadInformation
	Secure string // deviceSecurityMode
}

// ErrTooLarge says that a configuration exceeds MaxSize or MaxDepth.
var ErrTooLarge = errors.New("configuration too large")

// charset reads ISO 8859-1, which older files declare; each of its bytes is the
// code point of the same number.
func charset(label string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "iso-8859-1", "latin1", "us-ascii":
	default:
		return nil, fmt.Errorf("charset %.40q", label)
	}
	raw, err := io.ReadAll(r) // bounded: the document is in memory already
	runes := make([]rune, len(raw))
	for i, b := range raw {
		runes[i] = rune(b)
	}
	return strings.NewReader(string(runes)), err
}

// member is one TVS server as it stands in the file.
type member struct {
	priority      int
	address, port string
}

// Parse reads a configuration. It errs on what is not well-formed XML with one
// <device> or <Default> as its root.
func Parse(doc []byte) (Settings, error) {
	if len(doc) > MaxSize {
		return Settings{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(doc))
	}
	p := parser{dec: xml.NewDecoder(bytes.NewReader(doc))}
	p.dec.CharsetReader = charset
	for {
		tok, err := p.dec.Token()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = p.take(tok)
		}
		if err != nil {
			return Settings{}, fmt.Errorf("configuration: offset %d: %w", p.dec.InputOffset(), err)
		}
	}
	if !p.rooted {
		return Settings{}, errors.New("configuration: it has no root element")
	}
	slices.SortStableFunc(p.members, func(a, b member) int { return a.priority - b.priority })
	for _, m := range p.members {
		if m.address != "" && len(p.out.TVS) < maxServers {
			p.out.TVS = append(p.out.TVS, net.JoinHostPort(m.address, m.port))
		}
	}
	return p.out, nil
}

type parser struct {
	dec     *xml.Decoder
	path    []string
	text    []byte
	members []member
	rooted  bool
	out     Settings
}

func (p *parser) take(tok xml.Token) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.CharData:
		if len(p.text)+len(t) <= maxText {
			p.text = append(p.text, t...)
		}
	case xml.EndElement:
		err := p.end(strings.TrimSpace(string(p.text)))
		p.path = p.path[:len(p.path)-1]
		p.text = p.text[:0]
		return err
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	if len(p.path) == 0 {
		if p.rooted || t.Name.Local != "device" && t.Name.Local != "Default" {
			return fmt.Errorf("<%.40s> where the one <device> or <Default> should stand", t.Name.Local)
		}
		p.rooted = true
	}
	if p.path = append(p.path, t.Name.Local); len(p.path) > MaxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, MaxDepth)
	}
	p.text = p.text[:0]
	if t.Name.Local == "member" && p.under("TVS", "members") {
		if len(p.members) == maxMembers {
			return fmt.Errorf("more than %d TVS members", maxMembers)
		}
		m := member{port: strconv.Itoa(2445)}
		for _, a := range t.Attr {
			if a.Name.Local == "priority" {
				n, err := strconv.Atoi(a.Value)
				if err != nil || n < 0 || n > 99 {
					return fmt.Errorf("TVS priority %.20q", a.Value)
				}
				m.priority = n
			}
		}
		p.members = append(p.members, m)
	}
	return nil
}

// under reports whether the element begun or ended now stands directly in the
// given ones, innermost last.
func (p *parser) under(names ...string) bool {
	n := len(p.path) - 1
	return n >= len(names) && slices.Equal(p.path[n-len(names):n], names)
}

func (p *parser) end(text string) error {
	name := p.path[len(p.path)-1]
	if p.under("TVS", "members", "member") && len(p.members) > 0 {
		m := &p.members[len(p.members)-1]
		switch name {
		case "address":
			if len(text) > maxAddress || strings.ContainsAny(text, " \t\r\n/") {
				return fmt.Errorf("TVS address %.60q", text)
			}
			m.address = text
		case "port":
			if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 65535 {
				return fmt.Errorf("TVS port %.20q", text)
			}
			m.port = text
		}
		return nil
	}
	for _, known := range []struct {
		parent, name string
		to           *string
	}{
		{"vendorConfig", "webAccess", &p.out.Web},
		{"vendorConfig", "settingsAccess", &p.out.Settings},
		{"vendorConfig", "sshAccess", &p.out.SSH},
		{"vendorConfig", "spanToPCPort", &p.out.SPANToPCPort},
		{"device", "name", &p.out.Name},
		{"device", "loadInformation", &p.out.Load},
		{"device", "deviceSecurityMode", &p.out.Secure},
	} {
		if name == known.name && p.under(known.parent) {
			*known.to = text
		}
	}
	return nil
}
