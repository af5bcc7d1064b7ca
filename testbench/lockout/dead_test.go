package lockout_test

import (
	"testing"

	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
)

// Where the first server is down, the word of the second that it does not know the phone
// does not make the default configuration replace the phone's own; and a TVS that hangs up
// at the question is told from one that is not there.
func TestFirstServerDown(t *testing.T) {
	p := profile.Note()
	for i := range p.Nodes {
		p.Nodes[i].Host, p.Nodes[i].Port = "127.0.7.1", 7000+100*i
	}
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
	both := lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: []string{c.Nodes()[0].Address(), c.Nodes()[1].Address()}}
	held, r, err := both.Boot(t.Context(), w)
	if err != nil || r.Reason() != trust.Accepted {
		t.Fatalf("%v, %v", r.Reason(), err)
	}
	apply(operation.RemovePhone(mac), operation.Service(c.Nodes()[0].Name(), profile.TFTPService, operation.Stop))
	next, r, err := held.Boot(t.Context(), w)
	if err != nil || r.Config.Verdict.Reason != trust.DownloadFailed || r.Config.Changed || string(next.Stored["config"]) != string(held.Stored["config"]) {
		t.Errorf("the first server is down: %s: %v, changed %t, %v", r.Config.Name, r.Config.Verdict.Reason, r.Config.Changed, err)
	}
	apply(operation.Service(c.Nodes()[0].Name(), profile.TFTPService, operation.Start))
	if _, r, err = held.Boot(t.Context(), w); err != nil || r.Config.Name != "XMLDefault.cnf.xml.sgn" || !r.Config.Changed {
		t.Errorf("all servers answer: %s, changed %t, %v", r.Config.Name, r.Config.Changed, err)
	}

	// A TVS that hangs up.
	apply(operation.AddPhone(mac, "CP-7965G"), operation.Regenerate(c.Publisher().Name(), profile.CallManager),
		operation.RestartTFTP(c.Publisher().Name()))
	for _, n := range c.Nodes() {
		apply(operation.SetFault(n.Name(), profile.TVSService, "hangup"))
	}
	if _, r, err = held.Boot(t.Context(), w); err != nil || r.Reason() != trust.TVSHungUp {
		t.Errorf("TVS hangs up: %v, %v", r.Reason(), err)
	}
}
