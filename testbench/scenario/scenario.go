// Package scenario tells stories with expectations: what an administrator does to
// a cluster, what its phones make of it, and what must be seen.
//
//	s, err := scenario.Load("both-regenerated")
//	result := scenario.Run(ctx, s, scenario.Options{Out: os.Stdout})
//	if result.Err != nil { ... }
//
// Stories are YAML; those of the folder stories are built in. Every story has
// clusters, an SFTP server and phones of its own, all on loopback, and a bench
// clock that moves by its steps alone. Its phones reset whenever their cluster
// tells them to, unless they are unplugged. Unknown keys of a story are errors.
package scenario

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"itlagent/agent/trust"
	"itlagent/platform/strictyaml"
)

//go:embed stories/*.yaml
var builtIn embed.FS

// Story is a scenario.
type Story struct {
	Name     string    `yaml:"name"`
	About    string    `yaml:"about"`
	Clusters []Cluster `yaml:"clusters"` // one of profile note where none is given
	Phones   []Phone   `yaml:"phones"`   // the first phone of the first cluster where none is given
	Steps    []Step    `yaml:"steps"`
}

// Cluster is one of a story's clusters.
type Cluster struct {
	Name    string `yaml:"name"`
	Profile string `yaml:"profile"` // a built-in profile
	Config  string `yaml:"config"`  // or a profile in YAML
}

// Phone is one of a story's phones.
type Phone struct {
	Name    string `yaml:"name"`
	MAC     string `yaml:"mac"`
	Model   string `yaml:"model"`
	Cluster string `yaml:"cluster"` // the first where ""
	MIC     bool   `yaml:"mic"`     // it has a certificate of its maker
}

// Step is one step: just one of Say, Admin, Clock, Set, Fault, Rebuild, Reset,
// Erase, Move, Unplug, Plug, Alerts, Reported, Encrypt, Directory, Factory, Keep, Serve and
// Shell, with what belongs to it. Texts may have
// {admin}, {security} and {sftp}, {sftp.host}, {sftp.port}, {sftp.user},
// {sftp.password}, {sftp.dir} in them.
type Step struct {
	Say string `yaml:"say"` // a chapter's heading

	Admin   string   `yaml:"admin"`   // a command of the administrator
	On      string   `yaml:"on"`      // its node; the publisher where ""
	All     bool     `yaml:"all"`     // on every node of the cluster instead
	Answers []string `yaml:"answers"` // to what it asks
	Prints  []string `yaml:"prints"`  // regular expressions that its output must match
	Fails   bool     `yaml:"fails"`   // it must fail

	Clock   string   `yaml:"clock"`   // "+6m"
	Set     *Setting `yaml:"set"`     // a change of a phone's settings
	Fault   *Fault   `yaml:"fault"`   // of a service
	Rebuild string   `yaml:"rebuild"` // the publisher, with this security password
	Alerts  *int     `yaml:"alerts"`  // so many alerts since the last such step
	// Reported are the outcomes of comparing the lists that phones have reported
	// since the last such step: Match or MisMatch, in order.
	Reported []string `yaml:"reported"`

	Reset     string  `yaml:"reset"`     // a phone resets
	Erase     string  `yaml:"erase"`     // a phone's lists are deleted by hand
	Move      string  `yaml:"move"`      // a phone is given the TFTP servers of Cluster
	Unplug    string  `yaml:"unplug"`    // a phone does not follow resets any more
	Plug      string  `yaml:"plug"`      // it does, and boots
	Factory   string  `yaml:"factory"`   // a phone is reset to factory settings
	Encrypt   string  `yaml:"encrypt"`   // a phone's configuration is encrypted for its MIC
	Directory string  `yaml:"directory"` // a phone opens its directory; Fails is "Host Not Found"
	Shell     string  `yaml:"shell"`     // a command in the shell of the phone that On names; Prints is its output
	Keep      string  `yaml:"keep"`      // the publisher's ITL is put aside under a name
	Serve     string  `yaml:"serve"`     // TFTP of every node serves that list again
	Expect    *Expect `yaml:"expect"`    // of the phone that resets here

	Cluster string `yaml:"cluster"` // of this step; the first where ""
}

// Setting is a change of a phone's configuration on the cluster.
type Setting struct {
	Phone string `yaml:"phone"` // the first where ""
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// Fault is a fault of a service.
type Fault struct {
	Node    string `yaml:"node"`
	Service string `yaml:"service"`
	Kind    string `yaml:"kind"`
}

// Expect is what a reset of a phone must show. Absent parts are not looked at.
type Expect struct {
	Trusted   *bool             `yaml:"trusted"`
	Message   string            `yaml:"message"`   // one of the phone's messages
	Reason    string            `yaml:"reason"`    // of the whole cycle
	ITL       string            `yaml:"itl"`       // reason of the ITL's verdict
	CTL       string            `yaml:"ctl"`       // reason of the CTL's verdict
	Via       string            `yaml:"via"`       // what the ITL was accepted by
	CTLVia    string            `yaml:"ctlVia"`    // what the CTL was accepted by
	Unsigned  *bool             `yaml:"unsigned"`  // the configuration was accepted unsigned
	Changed   *bool             `yaml:"changed"`   // the ITL was stored
	Settings  map[string]string `yaml:"settings"`  // in force
	Transport string            `yaml:"transport"` // that the configuration came by
}

// Names lists the built-in stories, sorted.
func Names() []string {
	files, err := fs.Glob(builtIn, "stories/*.yaml")
	if err != nil {
		panic(err) // the pattern is sound
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	slices.Sort(files)
	return files
}

// Load reads a built-in story.
func Load(name string) (*Story, error) {
	data, err := builtIn.ReadFile("stories/" + name + ".yaml")
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

// Parse reads a story and reports what it could not do.
func Parse(data []byte) (*Story, error) {
	s := new(Story)
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
		return nil, errors.New("a story has a name, about and steps")
	}
	for i := range s.Steps {
		if err := s.Steps[i].check(clusters, phones); err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return s, nil
}

func (st *Step) check(clusters, phones map[string]bool) error {
	kinds := 0
	for _, set := range []bool{st.Say != "", st.Admin != "", st.Clock != "", st.Set != nil, st.Fault != nil, st.Rebuild != "",
		st.Alerts != nil, st.Reset != "", st.Erase != "", st.Move != "", st.Unplug != "", st.Plug != "",
		st.Factory != "", st.Encrypt != "", st.Directory != "", st.Shell != "", st.Keep != "", st.Serve != "", st.Reported != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("%d things to do, a step has one", kinds)
	}
	if st.Cluster != "" && !clusters[st.Cluster] {
		return fmt.Errorf("no cluster %q", st.Cluster)
	}
	for _, name := range []string{st.Reset, st.Erase, st.Move, st.Unplug, st.Plug, st.Factory, st.Encrypt, st.Directory} {
		if name != "" && !phones[name] {
			return fmt.Errorf("no phone %q", name)
		}
	}
	if st.Set != nil && st.Set.Phone != "" && !phones[st.Set.Phone] {
		return fmt.Errorf("no phone %q", st.Set.Phone)
	}
	if st.Admin == "" && st.Shell == "" && st.Directory == "" && (len(st.Answers)+len(st.Prints) > 0 || st.On != "" || st.All || st.Fails) {
		return errors.New("on, all, answers, prints and fails belong to admin, shell and directory")
	}
	if st.Shell != "" && st.On != "" && !phones[st.On] {
		return fmt.Errorf("no phone %q", st.On)
	}
	for _, p := range st.Prints {
		if _, err := regexp.Compile(p); err != nil {
			return err
		}
	}
	if e := st.Expect; e != nil {
		if st.Reset == "" && st.Plug == "" && st.Move == "" {
			return errors.New("expect belongs to reset, plug and move")
		}
		for _, r := range []string{e.Reason, e.ITL, e.CTL} {
			if r != "" && !slices.ContainsFunc(trust.Reasons(), func(known trust.Reason) bool { return known.String() == r }) {
				return fmt.Errorf("no reason %q", r)
			}
		}
		if reflect.ValueOf(*e).IsZero() {
			return errors.New("expect expects nothing")
		}
	}
	return nil
}
