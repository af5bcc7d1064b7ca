package operation_test

import (
	"strings"
	"testing"
	"time"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

func installed(t *testing.T) *state.State {
	t.Helper()
	s, err := operation.Install(profile.Note(), false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5m": 5 * time.Minute, "36h": 36 * time.Hour, "1h2m": 62 * time.Minute, "2d": 48 * time.Hour, "1.5d": 36 * time.Hour, "1000d": 24000 * time.Hour,
		"1h2d": 0, "1d2h": 0, "-1d": 0, "1001d": 0, "d": 0, "": 0, "1e3d": 0, "infd": 0, "NaNd": 0, "..d": 0,
	} {
		got, err := operation.ParseDuration(text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

// What is neither start, stop nor restart changes nothing.
func TestService(t *testing.T) {
	s := installed(t)
	for _, action := range []operation.Action{"", "start", "paused"} {
		next := s.Clone()
		err := operation.Service("test10pub", profile.TVSService, action)(next)
		if err == nil || !strings.Contains(err.Error(), "neither start, stop nor restart") {
			t.Errorf("%q: %v", action, err)
		}
	}
	for action, active := range map[operation.Action]bool{operation.Start: true, operation.Stop: false, operation.Restart: true} {
		next := s.Clone()
		if err := operation.Service("test10pub", profile.TVSService, action)(next); err != nil || next.Nodes[0].Active(profile.TVSService) != active {
			t.Errorf("%s: %v, active %v", action, err, !active)
		}
		if !s.Nodes[0].Active(profile.TVSService) {
			t.Fatal("the state before was changed")
		}
	}
}

// The bench clock stays where lists and certificates can tell the time, and certificates
// can be made at its end.
func TestAdvance(t *testing.T) {
	s := installed(t)
	left := profile.MaxClock.Sub(s.Now())
	if err := operation.Advance(left + time.Second)(s.Clone()); err == nil || !strings.Contains(err.Error(), "2106-01-01") {
		t.Errorf("beyond the end: %v", err)
	}
	if err := operation.Advance(-time.Second)(s.Clone()); err == nil {
		t.Error("back in time")
	}
	for _, op := range []operation.Operation{operation.Advance(left), operation.Regenerate("test10pub", profile.TVS), operation.RestartTFTP("test10pub")} {
		if err := op(s); err != nil {
			t.Fatal(err)
		}
	}
	p := profile.Note()
	for _, year := range []int{1, 1969, 2106, 9999, 10_000} {
		p.Installed = time.Date(year, time.June, 1, 0, 0, 0, 0, time.UTC)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), "1970 to 2105") {
			t.Errorf("installed in %d: %v", year, err)
		}
	}
}
