package cluster

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"itlagent/platform/strictyaml"
	"itlagent/testbench/pki"
)

// maxNodes bounds a cluster: more certificates do not fit a list that phones can
// load.
const maxNodes = 39

// config is the form of a cluster's YAML file.
type config struct {
	Name         string `yaml:"name"`
	Release      string `yaml:"release"`
	Organisation struct {
		OU string `yaml:"ou"`
		O  string `yaml:"o"`
		L  string `yaml:"l"`
		ST string `yaml:"st"`
		C  string `yaml:"c"`
	} `yaml:"organisation"`
	Address      string         `yaml:"address"`
	Advertise    string         `yaml:"advertise"`
	Clock        string         `yaml:"clock"`
	KeySizes     map[string]int `yaml:"keySizes"`
	RecoveryName string         `yaml:"recoveryName"`
	Fixed        bool           `yaml:"fixed"`
	Passwords    struct {
		Administrator string `yaml:"administrator"`
		Security      string `yaml:"security"`
	} `yaml:"passwords"`
	Nodes []struct {
		Name     string         `yaml:"name"`
		Domain   string         `yaml:"domain"`
		Role     string         `yaml:"role"`
		Address  string         `yaml:"address"`
		Port     int            `yaml:"port"`
		Ports    map[string]int `yaml:"ports"`
		Services []string       `yaml:"services"`
		KeySizes map[string]int `yaml:"keySizes"`
		CAPFName string         `yaml:"capfName"`
	} `yaml:"nodes"`
	Phones []struct {
		MAC      string            `yaml:"mac"`
		Model    string            `yaml:"model"`
		Settings map[string]string `yaml:"settings"`
	} `yaml:"phones"`
}

// ParseProfile reads a profile from YAML. Errors name the line. Keys that are
// not known are errors.
func ParseProfile(data []byte) (p Profile, err error) {
	var conf config
	if err := strictyaml.Unmarshal(data, &conf); err != nil {
		return Profile{}, err
	}
	defer strictyaml.Recover(&err)
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return Profile{}, strictyaml.Line(err)
	}
	p, err = conf.profile()
	for i := range p.Nodes {
		p.Nodes[i].Line = (&fieldError{path: fmt.Sprintf("$.nodes[%d]", i)}).line(file)
	}
	if err == nil {
		err = p.check()
	}
	var at *fieldError
	if errors.As(err, &at) {
		return Profile{}, fmt.Errorf("line %d: %w", at.line(file), at)
	}
	return p, err
}

// fieldError is an error about the value at a path of the file.
type fieldError struct {
	path string // "$.nodes[1].name"
	err  error
}

func (e *fieldError) Error() string { return e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

func field(err error, path string, args ...any) error {
	if err == nil {
		return nil
	}
	return &fieldError{fmt.Sprintf(path, args...), err}
}

// line returns the line of the value, or of what holds it where it is absent.
func (e *fieldError) line(file *ast.File) int {
	for path := e.path; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		p, err := yaml.PathString(path)
		if err != nil {
			continue
		}
		node, err := p.FilterFile(file)
		if err == nil && node != nil {
			if m, ok := node.(*ast.MappingNode); ok && len(m.Values) > 0 {
				return m.Values[0].Key.GetToken().Position.Line
			}
			return node.GetToken().Position.Line
		}
	}
	return 1
}

// units turns the names of the file into units; those that do not exist stay,
// for check to find.
func keySizes(sizes map[string]int) map[Unit]int {
	if len(sizes) == 0 {
		return nil
	}
	out := make(map[Unit]int)
	for name, bits := range sizes {
		out[Unit(name)] = bits
	}
	return out
}

func (c *config) profile() (Profile, error) {
	p := Profile{
		Name: c.Name, Release: c.Release, Host: c.Address, Advertise: c.Advertise, Bits: keySizes(c.KeySizes), RecoveryName: c.RecoveryName, Fixed: c.Fixed,
		Organisation:  pki.Name{OU: c.Organisation.OU, O: c.Organisation.O, L: c.Organisation.L, ST: c.Organisation.ST, C: c.Organisation.C},
		AdminPassword: c.Passwords.Administrator, SecurityPassword: c.Passwords.Security,
	}
	if c.Clock != "" {
		at, err := time.Parse(time.RFC3339, c.Clock)
		if err != nil {
			return p, field(fmt.Errorf("clock %q is not like 2014-02-26T18:00:00Z", c.Clock), "$.clock")
		}
		p.Installed = at
	}
	for i, n := range c.Nodes {
		spec := NodeSpec{Name: n.Name, Domain: n.Domain, Host: n.Address, Port: n.Port, Ports: n.Ports, Bits: keySizes(n.KeySizes), CAPFName: n.CAPFName}
		switch n.Role {
		case "publisher":
			spec.Publisher = true
		case "subscriber", "":
		default:
			return p, field(fmt.Errorf("role %q: publisher or subscriber", n.Role), "$.nodes[%d].role", i)
		}
		if n.Services != nil {
			spec.Absent = make(map[Service]bool)
			for _, s := range Services() {
				spec.Absent[s] = true
			}
			for j, name := range n.Services {
				s, err := FindService(name)
				if err != nil {
					return p, field(err, "$.nodes[%d].services[%d]", i, j)
				}
				spec.Absent[s] = false
			}
		}
		p.Nodes = append(p.Nodes, spec)
	}
	for _, ph := range c.Phones {
		p.Phones = append(p.Phones, PhoneSpec{MAC: ph.MAC, Model: ph.Model, Settings: ph.Settings})
	}
	return p, nil
}

// PortNames are the ports of a node, in the order of their numbers where only
// the first is given. TFTP (udp) and HTTP (tcp) then share the first one. HTTPS is
// on the port behind HTTP's: phones know no other place for it.
func PortNames() []string { return []string{"http", "https", "tvs", "sip", "tomcat", "ssh"} }

// portsPerNode is the distance between the ports of nodes that are numbered from
// one first port on.
const portsPerNode = 10

// FromPort gives every node its ports in a row, from first on.
func (p *Profile) FromPort(first int) {
	p.Nodes = slices.Clone(p.Nodes)
	for i := range p.Nodes {
		p.Nodes[i].Port, p.Nodes[i].Ports = first+i*portsPerNode, nil
	}
}

func keySize(bits int) bool { return bits == 1024 || bits == 2048 || bits == 4096 }

var (
	macAddress = regexp.MustCompile(`^[0-9A-F]{12}$`)
	phoneModel = regexp.MustCompile(`^CP-[0-9A-Z-]{4,12}$`)
	settingKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,39}$`)
)

func checkSetting(name, value string) error {
	if !settingKey.MatchString(name) || len(value) > 255 || strings.ContainsAny(value, "<>&\x00") {
		return fmt.Errorf("setting %q: a name of letters and digits, and a value without <, > and &", name)
	}
	return nil
}

// check reports what is impossible in a profile.
func (p *Profile) check() error {
	release, err := FindRelease(p.Release)
	if err != nil {
		return field(err, "$.release")
	}
	if err := checkSizes(p.Bits, &release); err != nil {
		return field(err, "$.keySizes")
	}
	if p.RecoveryName != "" && !release.Recovery {
		return field(fmt.Errorf("release %s has no ITLRecovery", p.Release), "$.recoveryName")
	}
	if p.Host != "" && net.ParseIP(p.Host) == nil {
		return field(fmt.Errorf("%q is no IP address", p.Host), "$.address")
	}
	if p.Advertise != "" && net.ParseIP(p.Advertise) == nil {
		return field(fmt.Errorf("%q is no IP address", p.Advertise), "$.advertise")
	}
	for _, password := range []struct{ path, value string }{{"administrator", p.AdminPassword}, {"security", p.SecurityPassword}} {
		if password.value != "" && len(password.value) < minPassword {
			return field(fmt.Errorf("a password has at least %d characters", minPassword), "$.passwords.%s", password.path)
		}
	}
	if len(p.Nodes) == 0 || len(p.Nodes) > maxNodes {
		return field(fmt.Errorf("%d nodes: a cluster has 1 to %d", len(p.Nodes), maxNodes), "$.nodes")
	}
	publishers := 0
	names, taken := make(map[string]bool), make(map[string]string)
	for i := range p.Nodes {
		n := &p.Nodes[i]
		at := func(err error, key string) error { return field(err, "$.nodes[%d].%s", i, key) }
		if !hostLabel.MatchString(n.Name) {
			return at(fmt.Errorf("%q is no host name", n.Name), "name")
		}
		if names[n.Name] {
			return at(fmt.Errorf("there are two nodes %s", n.Name), "name")
		}
		names[n.Name] = true
		if err := checkDomain(n.Domain); err != nil {
			return at(err, "domain")
		}
		if n.Publisher {
			if publishers++; publishers > 1 {
				return at(errors.New("a second publisher; a cluster has one"), "role")
			}
		}
		if err := checkSizes(n.Bits, &release); err != nil {
			return at(err, "keySizes")
		}
		if n.Host != "" && net.ParseIP(n.Host) == nil {
			return at(fmt.Errorf("%q is no IP address", n.Host), "address")
		}
		if n.Port < 0 || n.Port > 65535-portsPerNode {
			return at(fmt.Errorf("port %d", n.Port), "port")
		}
		for name, port := range n.Ports {
			if !slices.Contains(append(PortNames(), "tftp"), name) || port < 0 || port > 65535 {
				return at(fmt.Errorf("port %s: %d; there are: tftp, %s", name, port, strings.Join(PortNames(), ", ")), "ports")
			}
		}
		for _, name := range append(PortNames(), "tftp") {
			port := p.port(n, name)
			if port == 0 {
				continue
			}
			address := net.JoinHostPort(p.host(n), fmt.Sprint(port))
			if name == "tftp" {
				address += "/udp"
			}
			if other := taken[address]; other != "" {
				return at(fmt.Errorf("%s %s is that of %s too", name, address, other), "name")
			}
			taken[address] = n.Name + " " + name
		}
	}
	if publishers != 1 {
		return field(errors.New("no node with the role publisher"), "$.nodes")
	}
	phones := make(map[string]bool)
	for i, ph := range p.Phones {
		at := func(err error, key string) error { return field(err, "$.phones[%d].%s", i, key) }
		switch {
		case !macAddress.MatchString(ph.MAC):
			return at(fmt.Errorf("MAC address %q is not 12 upper-case hex digits", ph.MAC), "mac")
		case phones[ph.MAC]:
			return at(fmt.Errorf("there are two phones %s", ph.MAC), "mac")
		case !phoneModel.MatchString(ph.Model):
			return at(fmt.Errorf("model %q is not like CP-7965G", ph.Model), "model")
		}
		phones[ph.MAC] = true
		for name, value := range ph.Settings {
			if err := checkSetting(name, value); err != nil {
				return at(err, "settings")
			}
		}
	}
	return nil
}

func checkSizes(sizes map[Unit]int, release *Release) error {
	for u, bits := range sizes {
		if !slices.Contains(release.units(), u) || u == CallManagerEC {
			return fmt.Errorf("release %s has no RSA certificate %q", release.Name, u)
		}
		if !keySize(bits) {
			return fmt.Errorf("%s: %d bits; 1024, 2048 or 4096", u, bits)
		}
	}
	return nil
}

// host returns the address that a node listens on.
func (p *Profile) host(n *NodeSpec) string {
	for _, h := range []string{n.Host, p.Host} {
		if h != "" {
			return h
		}
	}
	return "127.0.0.1"
}

// port returns the number of a node's port by its name, 0 for a free one.
func (p *Profile) port(n *NodeSpec, name string) int {
	if port, ok := n.Ports[name]; ok {
		return port
	}
	if name == "tftp" {
		return p.port(n, "http")
	}
	if n.Port == 0 {
		return 0
	}
	return n.Port + slices.Index(PortNames(), name)
}
