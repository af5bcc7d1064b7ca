package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// The steps that are done to a cluster, or look at it.

// sayStep is a chapter's heading.
type sayStep struct {
	At  place  `yaml:",inline"`
	Say string `yaml:"say"`
}

func (s *sayStep) onlyLooks()         {}
func (s *sayStep) check(*names) error { return nil }

func (s *sayStep) run(_ context.Context, r *runner, _ *cluster.Cluster) error {
	fmt.Fprintf(r.out, "\n%s\n", s.Say)
	return nil
}

// adminStep is a command of the administrator.
type adminStep struct {
	At      place    `yaml:",inline"`
	Admin   string   `yaml:"admin"`
	On      string   `yaml:"on"`      // its node; the publisher where ""
	All     bool     `yaml:"all"`     // on every node of the cluster instead
	Answers []string `yaml:"answers"` // to what it asks
	Prints  output   `yaml:"prints"`
	Fails   bool     `yaml:"fails"` // it must fail
}

func (s *adminStep) check(*names) error {
	if s.All && s.On != "" {
		return errors.New("on and all exclude each other")
	}
	return s.Prints.check()
}

func (s *adminStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	nodes := []*cluster.Node{c.Publisher()}
	if s.On != "" {
		n, err := c.Node(s.On)
		if err != nil {
			return err
		}
		nodes[0] = n
	}
	if s.All {
		nodes = c.Nodes()
	}
	for _, n := range nodes {
		if err := s.runOn(r, c, n); err != nil {
			return err
		}
	}
	return nil
}

func (s *adminStep) runOn(r *runner, c *cluster.Cluster, n *cluster.Node) error {
	var answers, printed strings.Builder
	for _, a := range s.Answers {
		answers.WriteString(r.fill(c, a) + "\n")
	}
	r.say("%s %s%s", n.Name(), admin.Prompt, s.Admin)
	code := admin.New(n, console.NewPlain(strings.NewReader(answers.String()), &printed)).Run(r.fill(c, s.Admin))
	if s.Fails || code != admin.Done {
		r.sayLines(printed.String())
	}
	if err := r.check((code != admin.Done) == s.Fails, "the command ends with code %d", code); err != nil {
		return err
	}
	return s.Prints.met(r, printed.String())
}

// clockStep moves the bench clocks ahead.
type clockStep struct {
	At    place  `yaml:",inline"`
	Clock string `yaml:"clock"` // "+6m", "+2d"
}

func (s *clockStep) span() (time.Duration, error) {
	return operation.ParseDuration(strings.TrimPrefix(s.Clock, "+"))
}

func (s *clockStep) check(*names) error {
	_, err := s.span()
	return err
}

func (s *clockStep) run(_ context.Context, r *runner, _ *cluster.Cluster) error {
	d, err := s.span()
	if err != nil {
		return err
	}
	r.say("the bench clock moves %s ahead", strings.TrimPrefix(s.Clock, "+"))
	for _, other := range r.clusters { // one time for all
		if err := other.Apply(operation.Advance(d)); err != nil {
			return err
		}
	}
	return nil
}

// setStep changes a setting of a phone on the cluster.
type setStep struct {
	At  place `yaml:",inline"`
	Set struct {
		Phone string `yaml:"phone"` // the first where ""
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"set"`
}

func (s *setStep) check(n *names) error {
	if s.Set.Phone == "" {
		return nil
	}
	return n.phone(s.Set.Phone)
}

func (s *setStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	r.say("administrator sets %s to %s", s.Set.Name, s.Set.Value)
	return c.Apply(operation.Set(r.phone(s.Set.Phone).MAC, s.Set.Name, s.Set.Value))
}

// faultStep gives a service a fault.
type faultStep struct {
	At    place `yaml:",inline"`
	Fault struct {
		Node    string `yaml:"node"`
		Service string `yaml:"service"`
		Kind    string `yaml:"kind"`
	} `yaml:"fault"`
}

func (s *faultStep) check(*names) error {
	_, err := profile.FindService(s.Fault.Service)
	return err
}

func (s *faultStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	service, err := profile.FindService(s.Fault.Service)
	if err == nil {
		err = c.Apply(operation.SetFault(s.Fault.Node, service, s.Fault.Kind))
	}
	if err != nil {
		return err
	}
	r.say("%s on %s: fault %s", service, s.Fault.Node, s.Fault.Kind)
	return nil
}

// rebuildStep installs the publisher again.
type rebuildStep struct {
	At      place  `yaml:",inline"`
	Rebuild string `yaml:"rebuild"` // the security password
}

func (s *rebuildStep) check(*names) error { return nil }

func (s *rebuildStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	r.say("the publisher is installed again")
	return c.Apply(operation.Rebuild(r.fill(c, s.Rebuild)))
}

// alertsStep counts the alerts about the recovery key since the last such step.
type alertsStep struct {
	At     place `yaml:",inline"`
	Alerts int   `yaml:"alerts"`
}

func (s *alertsStep) onlyLooks()         {}
func (s *alertsStep) check(*names) error { return nil }

func (s *alertsStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	all, _, err := c.Events().Since(0)
	if err != nil {
		return err
	}
	count := 0
	for _, e := range all {
		if e.Name == "ITLRecoveryBackup" {
			count++
		}
	}
	got := count - r.alerts[c]
	r.alerts[c] = count
	r.say("%d alerts about the recovery key", got)
	return r.check(got == s.Alerts, "%d alerts, want %d", got, s.Alerts)
}

// reportedStep waits for what came of comparing the lists that phones have reported
// since the last such step: Match or MisMatch, in order.
type reportedStep struct {
	At       place    `yaml:",inline"`
	Reported []string `yaml:"reported"`
}

func (s *reportedStep) onlyLooks()         {}
func (s *reportedStep) check(*names) error { return nil }

// reportTime is how long a phone may take to report its lists: it does so beside its
// boot cycles.
const reportTime = 30 * time.Second

func (s *reportedStep) run(ctx context.Context, r *runner, c *cluster.Cluster) error {
	if r.paper {
		return fmt.Errorf("%w: reports, on paper", ErrNotHere)
	}
	for deadline := time.Now().Add(reportTime); ; {
		all, next, err := c.Events().Since(r.events[c])
		if err != nil {
			return err
		}
		var got []string
		for _, e := range all {
			if e.Name == "DeviceTLInfo" {
				got = append(got, e.Tag("ITLStatus"))
			}
		}
		if len(got) >= len(s.Reported) || time.Now().After(deadline) {
			r.events[c] = next
			r.say("phones have reported their lists: %s", strings.Join(got, ", "))
			return r.check(slices.Equal(got, s.Reported), "reported %v, want %v", got, s.Reported)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// saveStep saves the publisher's ITL under a name, for serveStep.
type saveStep struct {
	At   place  `yaml:",inline"`
	Save string `yaml:"save"`
}

func (s *saveStep) check(*names) error { return nil }

func (s *saveStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	r.saved[s.Save] = c.Publisher().ITL()
	r.say("the list of %s is saved", c.Publisher().Name())
	return nil
}

// serveStep has TFTP of every node serve a saved list again.
type serveStep struct {
	At    place  `yaml:",inline"`
	Serve string `yaml:"serve"`
}

func (s *serveStep) check(*names) error { return nil }

func (s *serveStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	list, ok := r.saved[s.Serve]
	if !ok {
		return fmt.Errorf("no list was saved as %q", s.Serve)
	}
	r.say("TFTP serves the list that was saved as %s", s.Serve)
	return c.Apply(operation.ServeITL(list))
}
