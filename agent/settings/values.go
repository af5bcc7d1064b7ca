package settings

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// setting is an element whose text is a value.
type setting struct {
	name   string // as CUCM spells it
	to     func(s *Settings) *string
	values map[string]bool // that can be used; nil for any text
}

func keys[V any](m map[string]V) map[string]bool {
	out := make(map[string]bool, len(m))
	for k := range m {
		out[k] = true
	}
	return out
}

// byName finds settings by their names in lower case.
func byName(all ...setting) map[string]setting {
	out := make(map[string]setting, len(all))
	for _, s := range all {
		out[strings.ToLower(s.name)] = s
	}
	return out
}

// vendor is what may stand in any of containers, top what stands in the root.
var (
	vendor = byName(
		setting{"webAccess", func(s *Settings) *string { return &s.Web }, keys(webValues)},
		setting{"settingsAccess", func(s *Settings) *string { return &s.Settings }, keys(settingsValues)},
		setting{"sshAccess", func(s *Settings) *string { return &s.SSH }, keys(serviceValues)},
		setting{"spanToPCPort", func(s *Settings) *string { return &s.SPANToPCPort }, keys(serviceValues)},
	)
	top = byName(
		setting{"deviceSecurityMode", func(s *Settings) *string { return &s.Secure }, keys(modeValues)},
		setting{"transportLayerProtocol", func(s *Settings) *string { return &s.Transport }, keys(transports)},
		setting{"name", func(s *Settings) *string { return &s.Name }, nil},
		setting{"loadInformation", func(s *Settings) *string { return &s.Load }, nil},
		setting{"deviceProtocol", func(s *Settings) *string { return &s.Protocol }, nil},
		setting{"versionStamp", func(s *Settings) *string { return &s.Stamp }, nil},
		setting{"certHash", func(s *Settings) *string { return &s.CertHash }, nil},
		setting{"directoryURL", func(s *Settings) *string { return &s.Directory }, nil},
		setting{"servicesURL", func(s *Settings) *string { return &s.Services }, nil},
		setting{"sshUserId", func(s *Settings) *string { return &s.ShellUser }, nil},
		setting{"sshPassword", func(s *Settings) *string { return &s.ShellPassword }, nil},
	)
)

// end reads the value of the element that ends now.
func (p *parser) end(text string) {
	name := p.path[len(p.path)-1].name
	switch {
	case name == "member" && (p.under("tvs", "members") || p.under("callmanagergroup", "members")):
		if m := p.member; m != nil && m.address == "" && !m.warned {
			p.warn(m.line, "member", "it has no address")
		}
		p.member = nil
	case p.member != nil:
		p.endInMember(name, text)
	case len(p.path) == 2:
		p.endOnTop(name, text)
	default:
		p.endInContainer(name, text)
	}
}

func (p *parser) endInMember(name, text string) {
	m := p.member
	switch {
	case name == "address" && p.under("tvs", "members", "member"),
		name == "processnodename" && p.under("callmanagergroup", "members", "member", "callmanager"):
		p.setAddress(m, text)
	case name == "port" && p.under("tvs", "members", "member"):
		p.setPort(&m.port, "port", text)
	case name == "sipport" && p.under("callmanagergroup", "members", "member", "callmanager", "ports"):
		p.setPort(&m.port, "sipPort", text)
	case name == "ethernetphoneport" && p.under("callmanagergroup", "members", "member", "callmanager", "ports"):
		p.setPort(&m.skinny, "ethernetPhonePort", text)
	case name == "securedsipport" && p.under("callmanagergroup", "members", "member", "callmanager", "ports"):
		p.setPort(&m.safe, "securedSipPort", text)
	}
}

// endOnTop reads an element that stands in the root.
func (p *parser) endOnTop(name, text string) {
	switch known, ok := top[name]; {
	case name == "fullconfig":
		if v, ok := p.boolean("fullConfig", text); ok {
			p.out.Reduced = !v
		}
	case name == "encrconfig":
		if v, ok := p.boolean("encrConfig", text); ok {
			p.out.Encrypt = v
		}
	case name == "name" && p.path[0].name == "default": // the default configuration is no device's
	case ok:
		if p.usable(known, text) {
			*known.to(&p.out) = text
		}
	case p.model != "" && strings.HasPrefix(name, "loadinformation") && text != "":
		line := p.path[len(p.path)-1].line
		switch {
		case len(p.out.loads) == maxLoads:
			p.warn(line, "loadInformation", "there are more than %d for single models", maxLoads)
		case len(p.model) > maxModel || p.long:
			p.warn(line, "loadInformation", "the model or the name is too long")
		default:
			p.out.loads = append(p.out.loads, load{p.model, text})
		}
	}
}

// endInContainer reads an element of the vendor's group: the first of containers
// that has it counts.
func (p *parser) endInContainer(name, text string) {
	known, ok := vendor[name]
	if !ok {
		return
	}
	rank := slices.Index(containers, p.path[len(p.path)-2].name)
	if rank < 0 || !p.usable(known, text) {
		return
	}
	if before, ok := p.found[name]; ok && before < rank {
		return
	}
	if p.found == nil {
		p.found = make(map[string]int, len(vendor))
	}
	p.found[name] = rank
	*known.to(&p.out) = text
}

// usable warns of a value that cannot be used. What any text may be is not shown:
// it may be a password.
func (p *parser) usable(s setting, text string) bool {
	line := p.path[len(p.path)-1].line
	switch {
	case p.long:
		p.warn(line, s.name, "it is longer than %d bytes", maxText)
	case s.values != nil && !s.values[text]:
		p.warn(line, s.name, "%.20q is not one of %s", text, strings.Join(slices.Sorted(maps.Keys(s.values)), ", "))
	default:
		return true
	}
	return false
}

func (p *parser) boolean(name, text string) (value, ok bool) {
	switch {
	case strings.EqualFold(text, "true"):
		return true, true
	case strings.EqualFold(text, "false"):
		return false, true
	}
	p.warn(p.path[len(p.path)-1].line, name, "%.20q is neither true nor false", text)
	return false, false
}

// setAddress reads a host name, or an address with or without brackets.
func (p *parser) setAddress(m *member, text string) {
	inner := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		inner = text[1 : len(text)-1]
	}
	ip, err := netip.ParseAddr(inner)
	line := p.path[len(p.path)-1].line
	name := "address"
	if p.under("callmanager") {
		name = "processNodeName"
	}
	switch {
	case text == "": // said at the end of the member
		return
	case p.long || len(text) > maxAddress:
		p.warn(line, name, "%.60q is longer than %d characters", text, maxAddress)
	case err != nil && (inner != text || strings.Trim(text, hostCharacters) != ""), strings.Trim(ip.Zone(), hostCharacters) != "":
		p.warn(line, name, "invalid host name %.60q", text)
	default:
		m.address = inner
		return
	}
	m.warned = true
}

const hostCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"

func (p *parser) setPort(to *string, name, text string) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || p.long {
		p.warn(p.path[len(p.path)-1].line, name, "%.20q is not a port from 1 to 65535", text)
		return
	}
	*to = strconv.FormatUint(n, 10)
}
