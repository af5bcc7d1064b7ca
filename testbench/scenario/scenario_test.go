package scenario_test

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"itlagent/testbench/scenario"
)

// Every built-in scenario ends as it says.
func TestScenarios(t *testing.T) {
	names := scenario.Names()
	if len(names) < 12 {
		t.Fatalf("only %d scenarios: %v", len(names), names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			r := scenario.Run(t.Context(), s, scenario.Options{Dir: t.TempDir()})
			if r.Err != nil || r.Checks == 0 {
				t.Errorf("%d checks, %v\n%s", r.Checks, r.Err, r.Journal)
			}
		})
	}
}

const short = "name: short\nabout: a phone boots\nsteps:\n  - reset: phone\n    expect: "

// An expectation that does not hold fails the scenario, and every report says so.
func TestUnmet(t *testing.T) {
	var results []scenario.Result
	for _, expect := range []string{"{trusted: true}", "{trusted: false}", "{message: Trust List Update Failed}", "{settings: {webAccess: \"7\"}}",
		"{itl: unknown-signer}", "{via: tvs}", "{changed: false}", "{unsigned: true}", "{reason: tvs-invalid}", "{ctl: accepted}", "{ctlVia: itl}"} {
		s, err := scenario.Parse([]byte(short + expect))
		if err != nil {
			t.Fatalf("%s: %v", expect, err)
		}
		r := scenario.Run(t.Context(), s, scenario.Options{})
		if wantOK := expect == "{trusted: true}"; (r.Err == nil) != wantOK || r.Failed == wantOK {
			t.Errorf("%s: failed %v, %v", expect, r.Failed, r.Err)
		}
		results = append(results, r)
	}
	for name, steps := range map[string]string{
		"a command that fails":         "- admin: set cert regen nonsense",
		"a command that does not":      "- {admin: show itl, fails: true}",
		"a command that prints less":   "- {admin: show itl, prints: [\"^nonsense$\"]}",
		"alerts that did not come":     "- alerts: 1",
		"a shell that does not print":  "- {shell: help, prints: [\"^nonsense$\"]}",
		"a shell that fails":           "- shell: nonsense",
		"no certificate":               "- encrypt: phone",
		"a list that nobody saved":     "- serve: nothing",
		"nothing that could go wrong":  "- clock: +1m",
		"a node that is not there":     "- {admin: show itl, on: nobody}",
		"a fault that is not there":    "- fault: {node: test10pub, service: tvs, kind: nonsense}",
		"a setting that is not there":  "- set: {name: colour, value: \"1\"}",
		"a password that is too short": "- rebuild: x",
	} {
		s, err := scenario.Parse([]byte("name: x\nabout: y\nsteps:\n  " + steps))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r := scenario.Run(t.Context(), s, scenario.Options{}); r.Err == nil {
			t.Errorf("%s: the scenario passed", name)
		}
	}
	var tap bytes.Buffer
	scenario.WriteTAP(&tap, results[:2])
	if got := tap.String(); !strings.HasPrefix(got, "TAP version 13\n1..2\nok 1 - short # 1 checks\nnot ok 2 - short\n# step 1: trusted is true, want false\n") {
		t.Errorf("TAP:\n%s", got)
	}
	report, err := scenario.JUnit(results[:2])
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name    string `xml:"name,attr"`
			Failure *struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
			Out string `xml:"system-out"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(report, &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 2 || suite.Failures != 1 || len(suite.Cases) != 2 || suite.Cases[0].Failure != nil ||
		suite.Cases[1].Failure == nil || suite.Cases[1].Failure.Message != "step 1: trusted is true, want false" || !strings.Contains(suite.Cases[1].Out, "ITL installed") {
		t.Errorf("JUnit: %+v", suite)
	}
}

func TestParse(t *testing.T) {
	for name, bad := range map[string]string{
		"empty":              "",
		"an unknown key":     short + "{trusted: true, colour: red}",
		"no steps":           "name: x\nabout: y",
		"two things at once": "name: x\nabout: y\nsteps: [{reset: phone, clock: +1m}]",
		"nothing to do":      "name: x\nabout: y\nsteps: [{cluster: cluster}]",
		"an unknown phone":   "name: x\nabout: y\nsteps: [{reset: nobody}]",
		"an unknown cluster": "name: x\nabout: y\nsteps: [{reset: phone, cluster: nowhere}]",
		"an unknown reason":  short + "{reason: because}",
		"expects nothing":    short + "{}",
		"an unknown service": "name: x\nabout: y\nsteps: [{fault: {node: test10pub, service: nonsense, kind: none}}]",
		"no duration":        "name: x\nabout: y\nsteps: [{clock: soon}]",
		"on and all":         "name: x\nabout: y\nsteps: [{admin: show itl, on: test10pub, all: true}]",
		"a key of another":   "name: x\nabout: y\nsteps: [{say: x, fails: true}]",
		"a deep file":        strings.Repeat("[", 1000),
		"a bad pattern":      "name: x\nabout: y\nsteps: [{admin: show itl, prints: [\"(\"]}]",
		"answers to nobody":  "name: x\nabout: y\nsteps: [{reset: phone, answers: [x]}]",
		"expects of nobody":  "name: x\nabout: y\nsteps: [{clock: +1m, expect: {trusted: true}}]",
		"a shell of nobody":  "name: x\nabout: y\nsteps: [{shell: why, on: nobody}]",
		"two of one name":    "name: x\nabout: y\nclusters: [{name: a, profile: note}, {name: a, profile: note}]\nsteps: [{reset: phone}]",
		"two sources":        "name: x\nabout: y\nclusters: [{name: a, profile: note, config: z}]\nsteps: [{reset: phone}]",
		"not YAML":           "\t{",
	} {
		if s, err := scenario.Parse([]byte(bad)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, err := scenario.Load("nonsense"); err == nil {
		t.Error("a scenario that is not there was loaded")
	}
}

// A scenario that is read has something to do, and an error is one line.
func FuzzScenario(f *testing.F) {
	f.Add([]byte("name: a\nabout: b\nsteps:\n  - reset: phone\n    expect: {trusted: true}\n"))
	f.Add([]byte("name: a\nabout: b\nclusters: [{name: x, profile: note}]\nphones: [{name: p, cluster: x}]\nsteps: [{admin: show itl, prints: [\"^a\"]}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scenario.Parse(data)
		if err == nil && (len(s.Steps) == 0 || s.Name == "") {
			t.Fatal("an empty scenario")
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
