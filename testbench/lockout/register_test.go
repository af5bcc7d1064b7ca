package lockout_test

import (
	"slices"
	"testing"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/lockout"
)

// securedPhone is a cluster in mixed mode, with a phone that uses TLS and has booted.
func securedPhone(t *testing.T, release string) (*cluster.Cluster, lockout.Phone) {
	t.Helper()
	p, err := profile.Builtin(release)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ops := []operation.Operation{operation.Set(p.Phones[0].MAC, state.SecuritySetting, "3"), operation.SetMixedMode(true)}
	for _, n := range c.Nodes() {
		ops = append(ops, operation.RestartTFTP(n.Name()), operation.Service(n.Name(), profile.CallManagerService, operation.Restart))
	}
	for _, op := range ops {
		if err := c.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	phone := lockout.Phone{MAC: p.Phones[0].MAC, Model: "CP-7965G", Servers: lockout.Servers(c), Stored: lockout.Stored{}}
	for range 2 { // the configuration of the second boot is vouched for by the lists of the first
		if phone, _, err = phone.Boot(t.Context(), lockout.World{c}); err != nil {
			t.Fatal(err)
		}
	}
	return c, phone
}

// A secured phone trusts its cluster, and cannot register, where CallManager was
// regenerated and started again before the CTL was made: plan says so beforehand, with
// the order that is right, and explain afterwards, with the remedy.
func TestCannotRegister(t *testing.T) {
	for _, release := range []string{"note", "12.5"} {
		t.Run(release, func(t *testing.T) {
			c, phone := securedPhone(t, release)
			w := lockout.World{c}
			e, err := lockout.Explain(t.Context(), w, phone, lockout.Hints{})
			if err != nil || !e.Works || e.CannotRegister {
				t.Fatalf("before: works %v, cannot register %v, %v, %v", e.Works, e.CannotRegister, e.Report.Reason(), err)
			}
			outcome := func(words ...string) (*lockout.Plan, lockout.Outcome) {
				t.Helper()
				changes, _, err := lockout.ParseChanges(w, words, nil)
				if err != nil {
					t.Fatal(err)
				}
				plan, err := lockout.Predict(t.Context(), w, []lockout.Phone{phone}, changes, lockout.Options{Sequence: true})
				if err != nil {
					t.Fatal(err)
				}
				return plan, plan.Phones[0].Outcome
			}
			plan, got := outcome("regen CallManager@all", "restart sip")
			if got != lockout.CannotRegister || plan.Safe() {
				t.Errorf("restarted before the CTL: %s, safe %v; want %s", got, plan.Safe(), lockout.CannotRegister)
			}
			if plan.Sequence == nil {
				t.Fatal("no safe sequence was found")
			}
			var words []string
			for _, ch := range plan.Sequence {
				words = append(words, ch.Text)
			}
			if want := []string{"regen CallManager@all", "ctl-update", "reset", "restart sip"}; !slices.Equal(words, want) {
				t.Errorf("safe: %q, with %s; want %q", words, plan.SequenceWhy, want)
			}
			if again, got := outcome(words...); got != lockout.Throughout || !again.Safe() {
				t.Errorf("%q: %s, want %s", words, got, lockout.Throughout)
			}
			for _, n := range c.Nodes() {
				for _, op := range []operation.Operation{operation.Regenerate(n.Name(), profile.CallManager), operation.RestartTFTP(n.Name()),
					operation.Service(n.Name(), profile.CallManagerService, operation.Restart)} {
					if err := c.Apply(op); err != nil {
						t.Fatal(err)
					}
				}
			}
			if e, err = lockout.Explain(t.Context(), w, phone, lockout.Hints{}); err != nil || e.Works || e.Locked || !e.CannotRegister {
				t.Fatalf("after: works %v, locked %v, cannot register %v, %v, %v", e.Works, e.Locked, e.CannotRegister, e.Report.Reason(), err)
			}
			if len(e.Remedies) == 0 || e.Remedies[0].Name != "update-ctl" {
				t.Errorf("remedies %+v, want update-ctl first", e.Remedies)
			}
		})
	}
}
