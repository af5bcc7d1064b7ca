package scenario

import (
	"context"
	"fmt"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
)

// The steps that are done to a phone, or by it.

// resetStep resets a phone.
type resetStep struct {
	At     place   `yaml:",inline"`
	Reset  string  `yaml:"reset"`
	Expect *Expect `yaml:"expect"`
}

func (s *resetStep) onlyLooks() {}

func (s *resetStep) check(n *names) error {
	if err := n.phone(s.Reset); err != nil {
		return err
	}
	return s.Expect.check()
}

func (s *resetStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	return r.reset(ctx, r.phone(s.Reset), s.Expect)
}

// plugStep plugs a phone in, which boots and follows resets again.
type plugStep struct {
	At     place   `yaml:",inline"`
	Plug   string  `yaml:"plug"`
	Expect *Expect `yaml:"expect"`
}

func (s *plugStep) onlyLooks() {}

func (s *plugStep) check(n *names) error {
	if err := n.phone(s.Plug); err != nil {
		return err
	}
	return s.Expect.check()
}

func (s *plugStep) run(ctx context.Context, r *runner, c *cluster.Cluster) error {
	p := r.phone(s.Plug)
	p.off, p.resets = false, c.State().Resets
	return r.reset(ctx, p, s.Expect)
}

// unplugStep unplugs a phone, which follows no reset then.
type unplugStep struct {
	At     place  `yaml:",inline"`
	Unplug string `yaml:"unplug"`
}

func (s *unplugStep) check(n *names) error { return n.phone(s.Unplug) }

// Unplugging is a Handset whose power can be cut. One that is none is left alone.
type Unplugging interface {
	// Unplug cuts the power at once. The next boot cycle turns it on again. It is
	// ErrNotHere where nothing can cut it.
	Unplug(ctx context.Context) error
}

func (s *unplugStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	r.say("%s is unplugged", s.Unplug)
	p := r.phone(s.Unplug)
	p.off, p.hears = true, false
	if set, ok := p.set.(Unplugging); ok {
		return set.Unplug(ctx)
	}
	return nil
}

// moveStep gives a phone the TFTP servers of the step's cluster.
type moveStep struct {
	At     place   `yaml:",inline"`
	Move   string  `yaml:"move"`
	Expect *Expect `yaml:"expect"`
}

func (s *moveStep) onlyLooks() {}

func (s *moveStep) check(n *names) error {
	if err := n.phone(s.Move); err != nil {
		return err
	}
	return s.Expect.check()
}

func (s *moveStep) run(ctx context.Context, r *runner, c *cluster.Cluster) error {
	p := r.phone(s.Move)
	p.cluster = c
	r.say("%s is given the TFTP servers of %s", p.Name, r.nameOf(c))
	servers, err := r.servers(c)
	if err == nil {
		err = p.set.Servers(ctx, servers)
	}
	if err != nil {
		return err
	}
	p.resets = c.State().Resets
	return r.reset(ctx, p, s.Expect)
}

// eraseStep deletes a phone's lists by hand.
type eraseStep struct {
	At    place  `yaml:",inline"`
	Erase string `yaml:"erase"`
}

func (s *eraseStep) check(n *names) error { return n.phone(s.Erase) }

func (s *eraseStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	r.say("somebody deletes the lists of %s by hand", s.Erase)
	for _, line := range []string{"erase itl", "erase ctl"} {
		if err := r.must(ctx, r.phone(s.Erase), line); err != nil {
			return err
		}
	}
	return nil
}

// factoryStep resets a phone to factory settings.
type factoryStep struct {
	At      place  `yaml:",inline"`
	Factory string `yaml:"factory"`
}

func (s *factoryStep) check(n *names) error { return n.phone(s.Factory) }

func (s *factoryStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	r.say("%s is reset to factory settings", s.Factory)
	return r.must(ctx, r.phone(s.Factory), "factory-reset", "yes")
}

// encryptStep has the cluster encrypt a phone's configuration for its certificate.
type encryptStep struct {
	At      place  `yaml:",inline"`
	Encrypt string `yaml:"encrypt"`
}

func (s *encryptStep) check(n *names) error { return n.phone(s.Encrypt) }

func (s *encryptStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	p := r.phone(s.Encrypt)
	cert, err := p.set.Certificate()
	if err == nil {
		err = c.Apply(operation.Encrypt(p.MAC, cert))
	}
	if err != nil {
		return fmt.Errorf("phone %s: %w", p.Name, err)
	}
	r.say("the configuration of %s is encrypted for its certificate", p.Name)
	return nil
}

// directoryStep opens a phone's directory. Where it must fail the phone shows Host Not
// Found.
type directoryStep struct {
	At        place  `yaml:",inline"`
	Directory string `yaml:"directory"`
	Prints    output `yaml:"prints"`
	Fails     bool   `yaml:"fails"`
}

func (s *directoryStep) onlyLooks() {}

func (s *directoryStep) check(n *names) error {
	if err := n.phone(s.Directory); err != nil {
		return err
	}
	return s.Prints.check()
}

func (s *directoryStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	return r.shell(ctx, r.phone(s.Directory), "directory", nil, s.Fails, s.Prints)
}

// shellStep is a command in a phone's shell.
type shellStep struct {
	At      place    `yaml:",inline"`
	Shell   string   `yaml:"shell"`
	On      string   `yaml:"on"` // the phone; the first where ""
	Answers []string `yaml:"answers"`
	Prints  output   `yaml:"prints"`
	Fails   bool     `yaml:"fails"`
}

func (s *shellStep) onlyLooks() {}

func (s *shellStep) check(n *names) error {
	if s.On != "" {
		if err := n.phone(s.On); err != nil {
			return err
		}
	}
	return s.Prints.check()
}

func (s *shellStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	return r.shell(ctx, r.phone(s.On), s.Shell, s.Answers, s.Fails, s.Prints)
}
