package lockout_test

import (
	"slices"
	"strings"
	"testing"

	"itlagent/agent/boot"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
)

// A phone that holds a CTL refuses the configuration of a TFTP server whose address is not
// in that, keeps the old one, and says so.
func TestServerNotListed(t *testing.T) {
	p, err := profile.Builtin("12.5")
	if err != nil {
		t.Fatal(err)
	}
	p.Nodes = p.Nodes[:1]
	p.Nodes[0].Host, p.Nodes[0].Port = "127.0.8.1", 7000
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	apply := func(ops ...operation.Operation) {
		t.Helper()
		for _, op := range ops {
			if err := c.Apply(op); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := lockout.World{c}
	phone := lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: []string{c.Publisher().Address()}}
	reset := func(p lockout.Phone) (lockout.Phone, *boot.Report) {
		t.Helper()
		next, r, err := p.Boot(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return next, r
	}
	apply(operation.SetMixedMode(true))
	phone, r := reset(phone)
	if r.Reason() != trust.Accepted || r.HeldCTL == nil {
		t.Fatalf("at first: %v", r.Reason())
	}
	pub := c.Publisher().Name()
	apply(operation.SetFault(pub, profile.TFTPService, "unlisted"), operation.UpdateCTL(), operation.Set(mac, "webAccess", "0"))
	unlisted, r := reset(phone)
	if r.Config.Verdict.Reason != trust.ServerNotListed || r.Reason() != trust.ServerNotListed || !r.Locked() || !r.CTL.Changed || r.Config.Changed {
		t.Errorf("not listed: %v, locked %t, CTL changed %t", r.Reason(), r.Locked(), r.CTL.Changed)
	}
	if !slices.ContainsFunc(r.Messages, func(m string) bool { return strings.HasPrefix(m, "TFTP authorization failure : SEP"+mac) }) {
		t.Errorf("messages %q", r.Messages)
	}
	if string(unlisted.Stored["config"]) != string(phone.Stored["config"]) {
		t.Error("the configuration was replaced")
	}

	// A policy takes any server.
	any := unlisted
	any.Policy.AnyServer = true
	if _, r := reset(any); r.Reason() != trust.Accepted {
		t.Errorf("policy: %v", r.Reason())
	}

	// What brings it back is a CTL that has the server.
	apply(operation.SetFault(pub, profile.TFTPService, profile.NoFault), operation.UpdateCTL())
	if _, r := reset(unlisted); r.Reason() != trust.Accepted || !r.Config.Changed {
		t.Errorf("listed again: %v", r.Reason())
	}
}
