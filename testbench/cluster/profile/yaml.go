package profile

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"itlagent/platform/strictyaml"
	"itlagent/testbench/pki"
)

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
	Timezone     string         `yaml:"timezone"`
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

// Parse reads a profile from YAML. Errors name the line. Keys that are
// not known are errors.
func Parse(data []byte) (p Profile, err error) {
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
		err = p.Check()
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

// below puts a path in front of that of an error.
func below(err error, path string, args ...any) error {
	var at *fieldError
	if !errors.As(err, &at) {
		return field(err, path, args...)
	}
	return &fieldError{fmt.Sprintf(path, args...) + "." + at.path, at.err}
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

// keySizes turns the names of the file into units. Unknown ones stay, for Check to
// find.
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
		AdminPassword: c.Passwords.Administrator, SecurityPassword: c.Passwords.Security, Timezone: c.Timezone,
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
