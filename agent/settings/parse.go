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

	"itlagent/agent/printable"
)

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

// Parse reads a configuration. It errs on what is not well-formed XML with one
// <device> or <Default> as its root, and with ErrTooLarge beyond the limits.
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
			err = p.token(tok)
		}
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) { // it has the text of the file, of any length
			err = fmt.Errorf("line %d: %s", syntax.Line, printable.Clip(syntax.Msg, 100))
		}
		if err != nil {
			return Settings{}, fmt.Errorf("configuration: offset %d: %w", p.dec.InputOffset(), err)
		}
	}
	if !p.rooted {
		return Settings{}, errors.New("configuration: it has no root element")
	}
	p.out.TVS, _ = p.addresses(&p.tvs)
	p.out.CallManagers, p.out.SecureManagers = p.addresses(&p.managers)
	for _, m := range p.managers.members {
		if m.address != "" && len(p.out.SkinnyManagers) < maxServers {
			p.out.SkinnyManagers = append(p.out.SkinnyManagers, net.JoinHostPort(m.address, m.skinny))
		}
	}
	if p.unnamed > 0 {
		p.out.Warnings = append(p.out.Warnings, fmt.Sprintf("and %d more", p.unnamed))
	}
	return p.out, nil
}

// member is one TVS server or call manager as it stands in the file.
type member struct {
	line, priority      int
	address, port, safe string
	skinny              string // port of SCCP
	warned              bool   // that its address is unusable
}

// group is the members of one list.
type group struct {
	members []*member
	count   int // with those that were not read
}

// element is one that is open.
type element struct {
	name string // in lower case
	line int
}

type parser struct {
	dec      *xml.Decoder
	path     []element
	text     []byte
	long     bool   // text exceeds maxText
	model    string // attribute of the element begun last
	tvs      group
	managers group
	member   *member        // that is open; nil for one that is not read
	found    map[string]int // settings of containers: in which of them
	unnamed  int            // warnings beyond MaxWarnings
	rooted   bool
	out      Settings
}

func (p *parser) token(tok xml.Token) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.CharData:
		if len(p.text) == 0 {
			t = bytes.TrimLeft(t, " \t\r\n")
		}
		if room := maxText - len(p.text); len(t) > room {
			p.long = p.long || len(bytes.TrimSpace(t[room:])) > 0
			t = t[:room]
		}
		p.text = append(p.text, t...)
	case xml.EndElement:
		p.end(strings.TrimSpace(string(p.text)))
		p.path = p.path[:len(p.path)-1]
		p.text, p.long = p.text[:0], false
	}
	return nil
}

// warn notes that the value of an element is left out.
func (p *parser) warn(line int, name, format string, args ...any) {
	if len(p.out.Warnings) == MaxWarnings {
		p.unnamed++
		return
	}
	text := fmt.Sprintf("line %d: %s: ", line, name) + fmt.Sprintf(format, args...) + ": left out"
	p.out.Warnings = append(p.out.Warnings, printable.Text(text))
}

func (p *parser) start(t xml.StartElement) error {
	name := strings.ToLower(t.Name.Local)
	if len(p.path) == 0 {
		if p.rooted || name != "device" && name != "default" {
			return fmt.Errorf("element %.40q where the one <device> or <Default> should stand", t.Name.Local)
		}
		p.rooted = true
		p.out.Default = name == "default"
	}
	line, _ := p.dec.InputPos()
	if p.path = append(p.path, element{name, line}); len(p.path) > MaxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, MaxDepth)
	}
	p.text, p.long, p.model = p.text[:0], false, ""
	switch {
	case name == "member" && p.under("tvs", "members"):
		p.begin(&p.tvs, member{port: "2445"}, t.Attr)
	case name == "member" && p.under("callmanagergroup", "members"):
		p.begin(&p.managers, member{port: "5060", safe: "5061", skinny: "2000"}, t.Attr)
	case len(p.path) == 2 && strings.HasPrefix(name, "loadinformation"):
		p.model = attribute(t.Attr, "model")
	}
	return nil
}

func attribute(all []xml.Attr, name string) string {
	for _, a := range all {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// begin opens a member.
func (p *parser) begin(g *group, m member, attrs []xml.Attr) {
	m.line, m.priority = p.path[len(p.path)-1].line, noPriority
	p.member = nil
	if g.count++; g.count > maxMembers {
		if g.count == maxMembers+1 {
			p.warn(m.line, "member", "there are more than %d", maxMembers)
		}
		return
	}
	for _, a := range attrs {
		if !strings.EqualFold(a.Name.Local, "priority") {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(a.Value))
		if err != nil || n < 0 || n > 99 {
			p.warn(m.line, "priority of member", "%.20q is not a number from 0 to 99", a.Value)
			continue
		}
		m.priority = n
	}
	p.member = &m
	g.members = append(g.members, &m)
}

// addresses sorts the members of a group and returns their addresses, plain and
// secure.
func (p *parser) addresses(g *group) (plain, safe []string) {
	slices.SortStableFunc(g.members, func(a, b *member) int { return a.priority - b.priority })
	for _, m := range g.members {
		if m.address == "" {
			continue
		}
		if len(plain) == maxServers {
			p.warn(m.line, "member", "%d others go before it", maxServers)
			break
		}
		plain = append(plain, net.JoinHostPort(m.address, m.port))
		safe = append(safe, net.JoinHostPort(m.address, m.safe))
	}
	return plain, safe
}

// under reports whether the element begun or ended now stands directly in the
// given ones, innermost last.
func (p *parser) under(names ...string) bool {
	n := len(p.path) - 1 - len(names)
	if n < 0 {
		return false
	}
	for i, name := range names {
		if p.path[n+i].name != name {
			return false
		}
	}
	return true
}
