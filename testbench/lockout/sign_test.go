package lockout_test

import (
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
)

// sign makes a change "sign" to a site.
func (s *site) sign(words ...string) {
	s.t.Helper()
	changes, _, err := parse(s.t, s.w, words)
	s.must(err)
	for i := range changes {
		s.must(changes[i].Do(s.w))
		s.must(s.w[0].Apply(operation.Advance(2 * operation.HoldTime)))
	}
}

// A phone that trusts what a CA has signed is explained like any other once it does not,
// and each remedy does what was said.
func TestExplainSigned(t *testing.T) {
	s := newSite(t, "note", "10.5")
	s.reset(trust.Accepted)
	s.sign("sign CallManager@multi")
	s.reset(trust.Accepted)
	s.sign("sign TVS@all")
	s.reset(trust.Accepted)
	s.sign("sign CallManager@pub", "sign TVS@all")
	s.reset(trust.TVSUntrusted) // explains it, and carries every remedy out
	e, err := lockout.Explain(t.Context(), s.w, s.p, lockout.Hints{})
	if err != nil {
		t.Fatal(err)
	}
	has := func(list []lockout.Remedy, name string) bool {
		return slices.ContainsFunc(list, func(r lockout.Remedy) bool { return r.Name == name })
	}
	// The subscriber still has the certificate that all nodes had.
	if !e.Locked || !has(e.Remedies, "reset-localkey") || !has(e.Remedies, "other-server") || !has(e.Ineffective, "restart-tvs") {
		t.Errorf("locked %v, remedies %v, ineffective %v", e.Locked, e.Remedies, e.Ineffective)
	}
	if s.n.locked != 1 || s.n.remedies < 3 || s.n.ineffective < 2 {
		t.Errorf("carried out: %+v", s.n)
	}
}

// What a plan lists for a signed certificate is what one types: typed with a CA at hand,
// it has the phone end as was predicted.
func TestSignTyped(t *testing.T) {
	for _, words := range []string{"sign CallManager@pub", "sign CallManager@multi", "sign TVS@sub", "sign tomcat@all"} {
		w := lockout.World{fresh(t, "note", 1)}
		p := lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: servers(w[0])}
		p, _, err := p.Boot(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		changes, _, err := lockout.ParseChanges(w, []string{words}, nil)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := lockout.Predict(t.Context(), w, []lockout.Phone{p}, changes, lockout.Options{Online: lockout.Always})
		if err != nil {
			t.Fatal(err)
		}
		ca, err := pki.New(pki.Request{Subject: pki.Name{CN: "Some CA"}, Bits: 1024, Usage: pki.Authority, From: w.Now()})
		if err != nil {
			t.Fatal(err)
		}
		signed := 0
		var csr string
		for _, cmd := range changes[0].Commands(w) {
			switch {
			case cmd.Where == "bench" && strings.HasPrefix(cmd.Line, "itlbench cert --sign "):
				csr = typed(t, w[0], cmd, csr, ca)
				signed++
			case cmd.Where == "admin":
				csr = typed(t, w[0], cmd, csr, ca)
			default:
				t.Errorf("%s: %v", words, cmd)
			}
		}
		_, report, err := p.Boot(t.Context(), w)
		if err != nil || signed == 0 || report.Reason() != trust.Accepted || plan.Phones[0].Outcome != lockout.Throughout {
			t.Errorf("%s: %d signed, %v, %v; predicted %s", words, signed, report.Reason(), err, plan.Phones[0].Outcome)
		}
	}
}

// typed does what a command says, and returns what was shown or signed last.
func typed(t *testing.T, c *cluster.Cluster, cmd lockout.Command, shown string, ca *pki.Identity) string {
	t.Helper()
	if cmd.Where == "bench" {
		csr, err := pki.ParseCSR([]byte(shown))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := ca.Issue(csr, c.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	answer := cmd.Answer
	switch {
	case strings.HasPrefix(cmd.Line, "set cert import trust"):
		answer = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw}))
	case strings.HasPrefix(cmd.Line, "set cert import own"):
		answer = shown
	}
	n, err := c.Node(cmd.Node)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := admin.New(n, console.NewPlain(strings.NewReader(answer+"\n"), &out)).Run(cmd.Line); code != admin.Done {
		t.Fatalf("%v: %s", cmd, out.String())
	}
	if strings.HasPrefix(cmd.Line, "show csr own") {
		return out.String()
	}
	return shown
}

// Every unit that a CA may sign for is one that a plan can have signed.
func TestSignUnits(t *testing.T) {
	w := lockout.World{fresh(t, "14", 1)}
	for _, u := range w[0].State().Release().Signable() {
		for _, at := range []string{"", "@sub", "@all"} {
			changes, _, err := lockout.ParseChanges(w, []string{"sign " + string(u) + at}, nil)
			if err == nil {
				err = changes[0].Do(w.Fork(&installed.keys))
			}
			if err != nil {
				t.Errorf("%s%s: %v", u, at, err)
			}
		}
	}
	if u := profile.ITLRecovery; slices.Contains(w[0].State().Release().Signable(), u) {
		t.Errorf("%s can be signed", u)
	}
}
