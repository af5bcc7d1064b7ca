package state_test

import (
	"bytes"
	"fmt"
	"testing"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// installed returns the state of a cluster that knows some phones.
func installed(t *testing.T, phones int) *state.State {
	t.Helper()
	p := profile.Note()
	p.Phones = nil
	for i := range phones {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("%012X", i), Model: "CP-7965G"})
	}
	s, err := operation.Install(p, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func file(t *testing.T, s *state.State, node int, name string) []byte {
	t.Helper()
	data, err := s.Nodes[node].File(name, false)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return data
}

// A signed file is made once for a state, a node and a name. A changed copy signs what it
// has itself, also one that was asked before it was changed.
func TestSignedOnce(t *testing.T) {
	s := installed(t, 2)
	const name, other = "SEP000000000000.cnf.xml.sgn", "SEP000000000001.cnf.xml.sgn"
	first := file(t, s, 0, name)
	if again := file(t, s, 0, name); &again[0] != &first[0] {
		t.Error("it was signed twice")
	}
	for what, data := range map[string][]byte{"another phone's": file(t, s, 0, other), "another node's": file(t, s, 1, name)} {
		if bytes.Equal(data, first) {
			t.Errorf("%s file is the same", what)
		}
	}
	next := s.Clone()
	before := file(t, next, 0, name)
	if err := operation.Set("000000000000", "webAccess", "0")(next); err != nil {
		t.Fatal(err)
	}
	if after := file(t, next, 0, name); bytes.Equal(after, before) || !bytes.Contains(after, []byte("<webAccess>0<")) {
		t.Error("a changed setting is not in the file")
	}
	if err := operation.Regenerate(next.Nodes[0].Name, profile.CallManager)(next); err != nil {
		t.Fatal(err)
	}
	if err := operation.RestartTFTP(next.Nodes[0].Name)(next); err != nil {
		t.Fatal(err)
	}
	signed, err := trustlist.Parse(trustlist.SGN, file(t, next, 0, name))
	if err != nil {
		t.Fatal(err)
	}
	old, err := trustlist.Parse(trustlist.SGN, first)
	if err != nil || bytes.Equal(signed.Signer.Serial, old.Signer.Serial) {
		t.Errorf("after the certificate was regenerated it is signed by the old key: %v", err)
	}
	if now := file(t, s, 0, name); !bytes.Equal(now, first) {
		t.Error("the state in force was changed by its copy")
	}
}

// A phone is found wherever it stands, also in a list that an operation has changed since.
func TestPhonePlaces(t *testing.T) {
	s := installed(t, 3)
	has := func(s *state.State, mac string, want bool) {
		t.Helper()
		if p := s.Phone(mac); (p != nil) != want || p != nil && p.MAC != mac {
			t.Errorf("phone %s: %v, want %v", mac, p, want)
		}
	}
	for i := range 3 {
		has(s, fmt.Sprintf("%012X", i), true)
	}
	has(s, "000000000003", false)
	next := s.Clone()
	has(next, "000000000000", true)
	for _, op := range []operation.Operation{
		operation.AddPhones([]profile.PhoneSpec{{MAC: "000000000003", Model: "CP-8861"}, {MAC: "000000000001", Model: "CP-8861"}}),
		operation.RemovePhones([]string{"000000000000", "0000000000FF"}),
	} {
		if err := op(next); err != nil {
			t.Fatal(err)
		}
	}
	has(next, "000000000000", false)
	has(next, "000000000001", true)
	has(next, "000000000003", true)
	if len(next.Phones) != 3 || next.Phone("000000000001").Model != "CP-7965G" {
		t.Errorf("%+v", next.Phones)
	}
	has(s, "000000000000", true)
	has(s, "000000000003", false)
	next.Phones[0], next.Phones[1] = next.Phones[1], next.Phones[0] // behind the index's back
	has(next, "000000000001", true)
	if err := operation.AddPhones([]profile.PhoneSpec{{MAC: "x", Model: "CP-8861"}})(next); err == nil {
		t.Error("an invalid phone was added")
	}
}
