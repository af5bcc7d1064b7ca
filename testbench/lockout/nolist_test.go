package lockout_test

import (
	"slices"
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
)

// A site without CUCM serves configurations and no lists: its phones work.
func TestExplainWithoutLists(t *testing.T) {
	const config = "<device><devicePool><callManagerGroup/></devicePool></device>"
	for _, test := range []struct {
		name   string
		served lockout.Files
		works  bool
		reason trust.Reason
	}{
		{"no lists", lockout.Files{Config: []byte(config)}, true, trust.Accepted},
		{"empty lists", lockout.Files{ITL: []byte{}, CTL: []byte{}, Config: []byte(config)}, true, trust.Accepted},
		{"nothing", lockout.Files{}, false, trust.NotFound},
		{"rubbish for a list", lockout.Files{ITL: []byte("rubbish"), Config: []byte(config)}, false, trust.Malformed},
	} {
		p := lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: []string{"served"}, Stored: lockout.Stored{}}
		e, err := lockout.Explain(t.Context(), test.served, p, lockout.Hints{})
		if err != nil {
			t.Fatal(err)
		}
		if e.Works != test.works || e.Locked || e.Report.Reason() != test.reason {
			t.Errorf("%s: works %v, locked %v, %v; want works %v, not locked, %v", test.name, e.Works, e.Locked, e.Report.Reason(), test.works, test.reason)
		}
		if summary := e.Report.Summary(); strings.Contains(summary, "locked") || test.works != strings.HasSuffix(summary, "works without trust lists") {
			t.Errorf("%s: %q", test.name, summary)
		}
		for _, r := range slices.Concat(e.Remedies, e.Ineffective) {
			if r.Name == "erase" {
				t.Errorf("%s: lists that are not there are deleted", test.name)
			}
		}
	}
}

// What a plan does to a phone without lists is not called a lock.
func TestPredictWithoutLists(t *testing.T) {
	w := lockout.World{paperCluster(t, "note", 21), paperCluster(t, "10.5", 22)}
	for _, n := range w[1].Nodes() {
		if err := w[1].Apply(operation.SetFault(n.Name(), profile.TFTPService, "missing")); err != nil {
			t.Fatal(err)
		}
	}
	changes, w, err := parse(t, w, []string{"migrate other"})
	if err != nil {
		t.Fatal(err)
	}
	empty := lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: servers(w[0]), Stored: lockout.Stored{}}
	lost := empty
	lost.Servers = servers(w[1])
	plan, err := lockout.Predict(t.Context(), w, []lockout.Phone{empty, lost}, changes, lockout.Options{Online: lockout.Never})
	if err != nil {
		t.Fatal(err)
	}
	for i, before := range []trust.Reason{trust.Accepted, trust.NotFound} {
		p := &plan.Phones[i]
		if p.Outcome != lockout.Unserved || p.Locked || p.Reason != trust.NotFound || p.Before != before {
			t.Errorf("phone %d: %s, locked %v, %v, before %v", i, p.Outcome, p.Locked, p.Reason, p.Before)
		}
	}
	if plan.Safe() {
		t.Error("safe, and a phone loses its cluster")
	}
	plan, err = lockout.Predict(t.Context(), w, []lockout.Phone{lost}, changes, lockout.Options{Online: lockout.Never})
	if err != nil || !plan.Safe() {
		t.Errorf("not safe for a phone that got nothing before: %v", err)
	}
}

// lockedPhone is a phone that both certificates were taken from, with settings of its own.
func lockedPhone(t *testing.T, settings map[string]string) (*site, lockout.Phone) {
	t.Helper()
	s := newSite(t, "note")
	for name, value := range settings {
		s.must(s.w[0].Apply(operation.Set(mac, name, value)))
	}
	p, report, err := s.p.Boot(t.Context(), s.w)
	s.must(err)
	if report.Reason() != trust.Accepted {
		t.Fatalf("first boot: %v", report.Reason())
	}
	s.regenerate(profile.CallManager, profile.TVS)
	return s, p
}

// Where the phone's settings menu is disabled, nobody can delete its lists there: that is
// not offered, and a factory reset remains.
func TestSettingsMenu(t *testing.T) {
	for _, test := range []struct {
		access string
		erase  bool
	}{{"1", true}, {"0", false}} {
		s, p := lockedPhone(t, map[string]string{"settingsAccess": test.access})
		served := lockout.Files{At: s.w.Now(), ITL: s.w[0].Publisher().ITL()}
		for name, around := range map[string]lockout.Surroundings{"cluster": s.w, "files": served} {
			e, err := lockout.Explain(t.Context(), around, p, lockout.Hints{})
			s.must(err)
			if !e.Locked {
				t.Fatalf("%s: not locked: %v", name, e.Report.Reason())
			}
			var names []string
			for _, r := range slices.Concat(e.Remedies, e.Ineffective) {
				names = append(names, r.Name)
			}
			if slices.Contains(names, "erase") != test.erase || !slices.Contains(names, "factory-reset") {
				t.Errorf("settingsAccess %s, %s: remedies %v", test.access, name, names)
			}
			if notes := strings.Join(e.Notes, "\n"); strings.Contains(notes, "settings menu is disabled") == test.erase {
				t.Errorf("settingsAccess %s, %s: notes %q", test.access, name, notes)
			}
		}
	}
}

// Every row of the table is complete: what can be asked about is described, done, and
// written as commands.
func TestSyntax(t *testing.T) {
	lines := lockout.Syntax()
	seen := make(map[string]bool)
	for _, line := range lines {
		word, _, _ := strings.Cut(line, " ")
		if seen[word] || strings.TrimSpace(line[min(len(line), 40):]) == "" {
			t.Errorf("%q is there twice, or not described", line)
		}
		seen[word] = true
	}
	for _, word := range []string{"regen", "rename", "migrate", "import", "upgrade", "fips", "rollback", "restart", "itl-reset", "reset", "sign", "ctl-update"} {
		if !seen[word] {
			t.Errorf("%s is not described", word)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d changes: %v", len(seen), lines)
	}
}
