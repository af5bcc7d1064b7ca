package check_test

import (
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/check"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// names are the findings about a cluster, once each, joined.
func names(findings []check.Finding) string {
	var list []string
	for _, f := range findings {
		if f.What == "" || f.Why == "" || f.Todo == "" {
			return "a finding lacks something: " + f.Name
		}
		if len(list) == 0 || list[len(list)-1] != f.Name {
			list = append(list, f.Name)
		}
	}
	return strings.Join(list, " ")
}

var keys pki.Keys

// Each thing that is not in order is found, and nothing else.
func TestFindings(t *testing.T) {
	note, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const pub, sub = "test10pub", "test10sub"
	saved := func(s *state.State) error { s.RecoverySaved = true; return nil }
	foreign, recovery := other.State().Foreign()
	for _, row := range []struct {
		name string
		do   []operation.Operation
		o    func(*check.Options, *state.State)
		want string
	}{
		{"in order", nil, nil, ""},
		{"not saved", []operation.Operation{func(s *state.State) error { s.RecoverySaved = false; return nil }}, nil, "p12"},
		{"another one saved", nil, func(o *check.Options, _ *state.State) { o.Saved = recovery }, "p12"},
		{"the right one saved", nil, func(o *check.Options, s *state.State) { o.Saved = s.Recovery().Certificate }, ""},
		{"reset", []operation.Operation{operation.ResetITL(nil)}, nil, "signer"},
		{"CallManager without a restart", []operation.Operation{operation.Regenerate(pub, profile.CallManager)}, nil, "signer"},
		{"TVS shows what the list lacks", []operation.Operation{operation.Regenerate(sub, profile.TVS), operation.RestartTVS(sub)}, nil, "tvs"},
		{"a list of another time", []operation.Operation{operation.Regenerate(sub, profile.TVS), operation.RestartTFTP(pub), operation.RestartTVS(sub)}, nil, "lists-differ tvs"},
		{"ITLRecovery without a restart", []operation.Operation{operation.Regenerate(pub, profile.ITLRecovery), saved}, nil, "recovery-list"},
		{"soon", nil, func(o *check.Options, s *state.State) { o.Now = s.Now().AddDate(4, 9, 0) }, "expires"},
		{"expired", nil, func(o *check.Options, s *state.State) { o.Now = s.Now().AddDate(5, 1, 0) }, "expired"},
		{"stopped", []operation.Operation{operation.Service(pub, profile.TVSService, operation.Stop)}, nil, "stopped"},
		{"rollback", []operation.Operation{operation.SetRollback(true)}, nil, "rollback"},
		{"mixed mode", []operation.Operation{operation.SetMixedMode(true), operation.RestartTFTP(pub), operation.RestartTFTP(sub)}, nil, ""},
		{"a CTL of another time", []operation.Operation{operation.SetMixedMode(true), operation.Regenerate(sub, profile.CallManager), operation.RestartTFTP(pub), operation.RestartTFTP(sub)}, nil, "ctl"},
		{"not prepared to move", nil, func(o *check.Options, _ *state.State) { o.Other = other.State() }, "migration"},
		{"prepared to move", []operation.Operation{operation.Import(profile.PhoneSASTTrust, append(foreign, recovery)...)}, func(o *check.Options, _ *state.State) { o.Other = other.State() }, ""},
	} {
		c := note.Fork(&keys)
		for _, op := range append([]operation.Operation{saved, operation.Advance(2 * operation.HoldTime)}, row.do...) {
			if err := c.Apply(op); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
		}
		o := check.Options{Now: c.Now()}
		if row.o != nil {
			row.o(&o, c.State())
		}
		if got := names(check.Cluster(c.State(), o)); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

// A list near what phones load, and one with too many SAST records, are found; certificates come
// soonest first.
func TestLimits(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := c.State().Clone()
	pub := s.Publisher()
	f, err := trustlist.Parse(trustlist.ITL, pub.ITL)
	if err != nil {
		t.Fatal(err)
	}
	spec := trustlist.ListSpec{Kind: trustlist.ITL, Time: f.Time()}
	for range 55 {
		spec.Records = append(spec.Records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: pub.Units[profile.CallManager].Certificate})
	}
	if pub.ITL, err = trustlist.BuildList(spec, pub.Units[profile.CallManager].SigningKey()); err != nil {
		t.Fatal(err)
	}
	findings := check.Cluster(s, check.Options{Now: s.Now().AddDate(5, 1, 0)})
	got := names(findings)
	for _, want := range []string{"size", "sast", "recovery-list", "expired"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
	last := time.Time{}
	for _, f := range findings {
		if f.Name != "expired" {
			continue
		}
		at, err := time.Parse(time.DateOnly, f.What[len(f.What)-len(time.DateOnly):])
		if err != nil || at.Before(last) {
			t.Errorf("%q: %v, after %s", f.What, err, last)
		}
		last = at
	}
}
