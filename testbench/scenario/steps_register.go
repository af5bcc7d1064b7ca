package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/comeback"
	"itlagent/testbench/evidence"
	"itlagent/testbench/sip"
)

// The steps for phones that register, and hear themselves when they are to reset.

// registers reports whether phones of the scenario do.
func (s *Scenario) registers() bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool { _, ok := st.action.(*registerStep); return ok })
}

// Registering is a Handset that can register.
type Registering interface {
	// Register boots the phone and lets it register with its call managers.
	Register(ctx context.Context) error
}

// registerStep boots a phone and lets it register. From then on nobody touches it.
type registerStep struct {
	At       place  `yaml:",inline"`
	Register string `yaml:"register"`
}

func (s *registerStep) onlyLooks()           {}
func (s *registerStep) check(n *names) error { return n.phone(s.Register) }

func (s *registerStep) run(ctx context.Context, r *runner, _ *cluster.Cluster) error {
	p := r.phone(s.Register)
	set, ok := p.set.(Registering)
	if !ok {
		return fmt.Errorf("phone %s registers: %w", p.Name, ErrNotHere)
	}
	p.off, p.hears = false, true
	r.say("%s boots, and registers", p.Name)
	return set.Register(ctx)
}

// resetDevicesStep tells registered phones to reset, and counts those that come back.
type resetDevicesStep struct {
	At    place `yaml:",inline"`
	Reset struct {
		Phone   string `yaml:"phone"` // this one alone; all where ""
		Node    string `yaml:"node"`  // those of a node alone
		Restart bool   `yaml:"restart"`
		Rate    int    `yaml:"rate"` // phones a second
		Back    int    `yaml:"back"` // how many must come back: all that are registered
	} `yaml:"reset-devices"`
}

func (s *resetDevicesStep) onlyLooks() {}

func (s *resetDevicesStep) check(n *names) error {
	if s.Reset.Back < 1 {
		return errors.New("reset-devices: back: at least 1")
	}
	if s.Reset.Phone == "" {
		return nil
	}
	return n.phone(s.Reset.Phone)
}

// comeTime bounds every wait of a step for registered phones.
const comeTime = 2 * time.Minute

func (s *resetDevicesStep) run(ctx context.Context, r *runner, c *cluster.Cluster) error {
	o := state.Order{Action: string(sip.Reset), Node: s.Reset.Node, Rate: s.Reset.Rate}
	if s.Reset.Restart {
		o.Action = string(sip.Restart)
	}
	if s.Reset.Phone != "" {
		o.Device = "SEP" + r.phone(s.Reset.Phone).MAC
	}
	w, err := comeback.Watch(c, func(p *registrar.Phone) bool {
		return (o.Device == "" || p.Device == o.Device) && (o.Node == "" || p.Node == o.Node)
	})
	if err != nil {
		return err
	}
	if err := c.Apply(operation.Reset(o, "an administrator wanted it")); err != nil {
		return err
	}
	missing, err := w.Wait(ctx, nil)
	if err != nil {
		return err
	}
	r.say("%d of %d registered phones were told to %s, and came back", w.Back(), w.Len(), o.Action)
	return r.check(w.Back() == s.Reset.Back && len(missing) == 0, "%d came back, want %d; missing: %v", w.Back(), s.Reset.Back, missing)
}

// waitRegisteredStep waits until phones are registered as it says, and are not about to
// reset.
type waitRegisteredStep struct {
	At   place `yaml:",inline"`
	Wait struct {
		Phones   []string           `yaml:"phones"` // all of the scenario where empty
		Node     string             `yaml:"node"`
		By       string             `yaml:"by"`       // TCP, UDP or TLS
		Protocol string             `yaml:"protocol"` // SIP or SCCP
		Last     string             `yaml:"last"`     // how they have reset
		Status   evidence.ITLStatus `yaml:"status"`
		Not      bool               `yaml:"not"` // they are not registered
	} `yaml:"wait-registered"`
}

func (s *waitRegisteredStep) onlyLooks() {}

func (s *waitRegisteredStep) check(n *names) error {
	for _, name := range s.Wait.Phones {
		if err := n.phone(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *waitRegisteredStep) run(ctx context.Context, r *runner, c *cluster.Cluster) error {
	devices := make(map[string]bool)
	for _, p := range r.phones {
		if len(s.Wait.Phones) == 0 || slices.Contains(s.Wait.Phones, p.Name) {
			devices["SEP"+p.MAC] = true
		}
	}
	for deadline := time.Now().Add(comeTime); ; {
		reports, err := evidence.ClusterReports(c)
		if err != nil {
			return err
		}
		all, err := evidence.Registrations(c, reports)
		if err != nil {
			return err
		}
		var lines []string
		right := 0
		for i := range all {
			p := &all[i]
			if !devices[p.Device] {
				continue
			}
			lines = append(lines, fmt.Sprintf("%s: registered %v with %s by %s %s, %s, %s", p.Device, p.Registered, p.Node, p.Protocol, p.Transport, p.Last, p.ITLStatus))
			if s.right(p) {
				right++
			}
		}
		if right == len(devices) || time.Now().After(deadline) {
			for _, line := range lines {
				r.say("%s", line)
			}
			return r.check(right == len(devices), "%d of %d phones are registered as they should: %s", right, len(devices), strings.Join(lines, "; "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// right reports whether a phone is registered as the step says.
func (s *waitRegisteredStep) right(p *evidence.Registered) bool {
	w := &s.Wait
	if w.Not {
		return !p.Registered
	}
	return p.Registered && !p.Resetting && (w.Node == "" || p.Node == w.Node) && (w.By == "" || p.Transport == w.By) &&
		(w.Protocol == "" || p.Protocol == w.Protocol) &&
		(w.Last == "" || p.Last == w.Last) && (w.Status == "" || p.ITLStatus == w.Status)
}
