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
	Secure string // deviceSecurityMode: "1" non-secure, "2" authenticated, "3" encrypted

	CallManagers   []string // "host:port" of SIP in the order of priority
	SecureManagers []string // the same for SIP over TLS
	Directory      string   // directoryURL
	Services       string   // servicesURL
	ShellUser      string   // sshUserId
	ShellPassword  string   // sshPassword

	// A reduced configuration says that the whole one is encrypted.
	Reduced  bool   // fullConfig is false
	Encrypt  bool   // encrConfig is true
	CertHash string // MD5 of the phone's certificate that it is encrypted for, hex
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

// member is one TVS server or call manager as it stands in the file.
type member struct {
	priority            int
	address, port, safe string
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
	p.out.TVS, _ = addresses(p.members)
	p.out.CallManagers, p.out.SecureManagers = addresses(p.managers)
	return p.out, nil
}

// addresses sorts members and returns their addresses, plain and secure.
func addresses(members []member) (plain, safe []string) {
	slices.SortStableFunc(members, func(a, b member) int { return a.priority - b.priority })
	for _, m := range members {
		if m.address != "" && len(plain) < maxServers {
			plain = append(plain, net.JoinHostPort(m.address, m.port))
			safe = append(safe, net.JoinHostPort(m.address, m.safe))
		}
	}
	return plain, safe
}

type parser struct {
	dec      *xml.Decoder
	path     []string
	text     []byte
	members  []member // of TVS
	managers []member
	rooted   bool
	out      Settings
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
	if t.Name.Local != "member" {
		return nil
	}
	to, m := &p.members, member{port: "2445"}
	switch {
	case p.under("TVS", "members"):
	case p.under("callManagerGroup", "members"):
		to, m = &p.managers, member{port: "5060", safe: "5061"}
	default:
		return nil
	}
	if len(*to) == maxMembers {
		return fmt.Errorf("more than %d members", maxMembers)
	}
	for _, a := range t.Attr {
		if a.Name.Local == "priority" {
			n, err := strconv.Atoi(a.Value)
			if err != nil || n < 0 || n > 99 {
				return fmt.Errorf("priority %.20q", a.Value)
			}
			m.priority = n
		}
	}
	*to = append(*to, m)
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
	switch {
	case p.under("TVS", "members", "member") && len(p.members) > 0:
		m := &p.members[len(p.members)-1]
		switch name {
		case "address":
			return setAddress(&m.address, text)
		case "port":
			return setPort(&m.port, text)
		}
		return nil
	case len(p.managers) > 0 && slices.Contains(p.path, "callManagerGroup"):
		m := &p.managers[len(p.managers)-1]
		switch {
		case name == "processNodeName" && p.under("member", "callManager"):
			return setAddress(&m.address, text)
		case name == "sipPort" && p.under("callManager", "ports"):
			return setPort(&m.port, text)
		case name == "securedSipPort" && p.under("callManager", "ports"):
			return setPort(&m.safe, text)
		}
		return nil
	case name == "fullConfig" && p.under("device"):
		p.out.Reduced = text == "false"
	case name == "encrConfig" && p.under("device"):
		p.out.Encrypt = text == "true"
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
		{"device", "certHash", &p.out.CertHash},
		{"device", "directoryURL", &p.out.Directory},
		{"device", "servicesURL", &p.out.Services},
		{"device", "sshUserId", &p.out.ShellUser},
		{"device", "sshPassword", &p.out.ShellPassword},
	} {
		if name == known.name && p.under(known.parent) {
			*known.to = text
		}
	}
	return nil
}

func setAddress(to *string, text string) error {
	if len(text) > maxAddress || strings.ContainsAny(text, " \t\r\n/") {
		return fmt.Errorf("address %.60q", text)
	}
	*to = text
	return nil
}

func setPort(to *string, text string) error {
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %.20q", text)
	}
	*to = text
	return nil
}
