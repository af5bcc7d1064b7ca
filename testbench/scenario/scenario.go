// Package scenario runs scenarios with expectations: what an administrator does to a
// cluster, what its phones make of it, and what must be seen.
//
//	s, err := scenario.Load("both-regenerated")
//	result := scenario.Run(ctx, s, scenario.Options{Out: os.Stdout})
//	if result.Err != nil { ... }
//
// Scenarios are YAML; those of the folder scenarios are built in. Every scenario has
// clusters, an SFTP server and phones of its own, all on loopback, and a bench clock
// that moves by its steps alone. Its phones reset whenever their cluster tells them to,
// unless they are unplugged. Unknown keys are errors. A scenario file has at most
// strictyaml.MaxSize bytes. Scenarios may run side by side.
package scenario

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"itlagent/platform/strictyaml"
)

//go:embed scenarios/*.yaml
var builtIn embed.FS

// Scenario is clusters, phones and what is done to them.
type Scenario struct {
	Name     string    `yaml:"name"`
	About    string    `yaml:"about"`
	Clusters []Cluster `yaml:"clusters"` // one of profile note where none is given
	Phones   []Phone   `yaml:"phones"`   // the first phone of the first cluster where none is given
	Steps    []Step    `yaml:"steps"`
}

// Cluster is one of a scenario's clusters.
type Cluster struct {
	Name    string `yaml:"name"`
	Profile string `yaml:"profile"` // a built-in profile
	Config  string `yaml:"config"`  // or a profile in YAML
}

// Phone is one of a scenario's phones.
type Phone struct {
	Name    string `yaml:"name"`
	MAC     string `yaml:"mac"`
	Model   string `yaml:"model"`
	Cluster string `yaml:"cluster"` // the first where ""
	MIC     bool   `yaml:"mic"`     // it has a certificate of its maker
}

// Names lists the built-in scenarios, sorted.
func Names() []string {
	files, err := fs.Glob(builtIn, "scenarios/*.yaml")
	if err != nil {
		panic(err) // the pattern is sound
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	slices.Sort(files)
	return files
}

// Load reads a built-in scenario.
func Load(name string) (*Scenario, error) {
	data, err := builtIn.ReadFile("scenarios/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("no scenario %q; see itlbench scenario list", name)
	}
	s, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if s.Name != name {
		return nil, fmt.Errorf("%s: its name is %q", name, s.Name)
	}
	return s, nil
}

// Parse reads a scenario and reports what it could not do.
func Parse(data []byte) (*Scenario, error) {
	s := new(Scenario)
	if err := strictyaml.Unmarshal(data, s); err != nil {
		return nil, err
	}
	if len(s.Clusters) == 0 {
		s.Clusters = []Cluster{{Name: "cluster", Profile: "note"}}
	}
	if len(s.Phones) == 0 {
		s.Phones = []Phone{{Name: "phone"}}
	}
	clusters, phones := make(map[string]bool), make(map[string]bool)
	for _, c := range s.Clusters {
		if c.Name == "" || clusters[c.Name] || (c.Profile == "") == (c.Config == "") {
			return nil, fmt.Errorf("cluster %q: a name of its own, and either a profile or a config", c.Name)
		}
		clusters[c.Name] = true
	}
	for _, p := range s.Phones {
		if p.Name == "" || phones[p.Name] || p.Cluster != "" && !clusters[p.Cluster] {
			return nil, fmt.Errorf("phone %q: a name of its own, and a cluster that is there", p.Name)
		}
		phones[p.Name] = true
	}
	if s.Name == "" || s.About == "" || len(s.Steps) == 0 {
		return nil, errors.New("a scenario has a name, about and steps")
	}
	for i := range s.Steps {
		if err := s.Steps[i].check(&names{clusters, phones}); err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return s, nil
}
