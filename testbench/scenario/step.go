package scenario

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
)

// Step is one step: a mapping with just one of the keys of kinds, and what belongs to
// it. Texts may have {admin}, {security} and {sftp}, {sftp.host}, {sftp.port},
// {sftp.user}, {sftp.password}, {sftp.dir} in them.
type Step struct {
	action
	cluster string // that the step is about; the first where ""
}

// action is what a step does. Each kind of step has a type of its own, with its YAML.
type action interface {
	// check reports what is wrong before anything runs.
	check(n *names) error
	// run does it. Phones follow their clusters' resets afterwards, unless the action is
	// one that only looks.
	run(ctx context.Context, r *runner, c *cluster.Cluster) error
}

// looks is an action that changes nothing, so that no phone has to follow.
type looks interface{ onlyLooks() }

// names are those that a scenario has given.
type names struct{ clusters, phones map[string]bool }

func (n *names) phone(name string) error {
	if !n.phones[name] {
		return fmt.Errorf("no phone %q", name)
	}
	return nil
}

// kinds are the kinds of steps, by the key that a step of the kind has.
var kinds = map[string]func() action{
	"say":       func() action { return new(sayStep) },
	"admin":     func() action { return new(adminStep) },
	"clock":     func() action { return new(clockStep) },
	"set":       func() action { return new(setStep) },
	"fault":     func() action { return new(faultStep) },
	"rebuild":   func() action { return new(rebuildStep) },
	"alerts":    func() action { return new(alertsStep) },
	"reported":  func() action { return new(reportedStep) },
	"reset":     func() action { return new(resetStep) },
	"erase":     func() action { return new(eraseStep) },
	"move":      func() action { return new(moveStep) },
	"unplug":    func() action { return new(unplugStep) },
	"plug":      func() action { return new(plugStep) },
	"factory":   func() action { return new(factoryStep) },
	"encrypt":   func() action { return new(encryptStep) },
	"directory": func() action { return new(directoryStep) },
	"shell":     func() action { return new(shellStep) },
	"save":      func() action { return new(saveStep) },
	"serve":     func() action { return new(serveStep) },
	"sign":      func() action { return new(signStep) },

	"register":        func() action { return new(registerStep) },
	"reset-devices":   func() action { return new(resetDevicesStep) },
	"wait-registered": func() action { return new(waitRegisteredStep) },
}

// place is the keys that every step may have.
type place struct {
	Cluster string `yaml:"cluster"`
}

// UnmarshalYAML reads a step as one of its kind.
func (s *Step) UnmarshalYAML(decode func(any) error) error {
	var keys map[string]any
	if err := decode(&keys); err != nil {
		return err
	}
	var found []string
	for key := range keys {
		if kinds[key] != nil {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		slices.Sort(found)
		return fmt.Errorf("%d things to do (%s), a step has one", len(found), strings.Join(found, ", "))
	}
	s.action = kinds[found[0]]()
	if err := decode(s.action); err != nil {
		return err
	}
	s.cluster, _ = keys["cluster"].(string)
	return nil
}

func (s *Step) check(n *names) error {
	if s.action == nil {
		return errors.New("0 things to do, a step has one")
	}
	if s.cluster != "" && !n.clusters[s.cluster] {
		return fmt.Errorf("no cluster %q", s.cluster)
	}
	return s.action.check(n)
}

// output is what a command must print: regular expressions, of which "^" and "$" match
// at lines.
type output []string

func (o output) check() error {
	for _, p := range o {
		if _, err := regexp.Compile("(?m)" + p); err != nil {
			return err
		}
	}
	return nil
}

// met checks what was printed.
func (o output) met(r *runner, text string) error {
	for _, want := range o {
		if err := r.check(regexp.MustCompile("(?m)"+want).MatchString(text), "it does not print %q but:\n%s", want, text); err != nil {
			return err
		}
	}
	return nil
}

// Expect is what a reset of a phone must show. Absent parts are not looked at.
type Expect struct {
	Trusted   *bool             `yaml:"trusted"`
	Message   string            `yaml:"message"`   // one of the phone's messages
	Reason    string            `yaml:"reason"`    // of the whole boot cycle
	ITL       string            `yaml:"itl"`       // reason of the ITL's verdict
	CTL       string            `yaml:"ctl"`       // reason of the CTL's verdict
	Via       string            `yaml:"via"`       // what the ITL was accepted by
	CTLVia    string            `yaml:"ctlVia"`    // what the CTL was accepted by
	Unsigned  *bool             `yaml:"unsigned"`  // the configuration was accepted unsigned
	Changed   *bool             `yaml:"changed"`   // the ITL was stored
	Settings  map[string]string `yaml:"settings"`  // in force
	Transport string            `yaml:"transport"` // that the configuration came by
}

func (e *Expect) check() error {
	if e == nil {
		return nil
	}
	for _, r := range []string{e.Reason, e.ITL, e.CTL} {
		if r != "" && !slices.ContainsFunc(trust.Reasons(), func(known trust.Reason) bool { return known.String() == r }) {
			return fmt.Errorf("no reason %q", r)
		}
	}
	if reflect.ValueOf(*e).IsZero() {
		return errors.New("expect expects nothing")
	}
	return nil
}

// met checks what came of a reset.
func (e *Expect) met(r *runner, cy *Cycle) error {
	if e == nil {
		return nil
	}
	text := func(what, got, want string) error {
		if want == "" {
			return nil
		}
		return r.check(got == want, "%s is %s, want %s", what, got, want)
	}
	flag := func(what string, got bool, want *bool) error {
		if want == nil {
			return nil
		}
		return r.check(got == *want, "%s is %v, want %v", what, got, *want)
	}
	err := errors.Join(
		flag("trusted", cy.Trusted, e.Trusted),
		text("reason", cy.Reason, e.Reason),
		text("ITL", cy.ITL.Reason, e.ITL),
		text("CTL", cy.CTL.Reason, e.CTL),
		text("via", cy.ITL.Via, e.Via),
		text("CTL via", cy.CTL.Via, e.CTLVia),
		flag("unsigned", cy.Config.Accepted && cy.Config.Via == "", e.Unsigned),
		flag("changed", cy.Changed, e.Changed),
		text("transport", cy.Transport, e.Transport),
	)
	if want := e.Message; want != "" {
		if r.was != "" {
			want = strings.ReplaceAll(want, "SEP"+r.was, "SEP"+r.opts.Found.MAC)
		}
		err = errors.Join(err, r.check(slices.Contains(cy.Messages, want), "it shows %q, not %q", cy.Messages, want))
	}
	for name, want := range e.Settings {
		err = errors.Join(err, text(name, cy.Settings[name], want))
	}
	return err
}
