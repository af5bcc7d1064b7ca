package agent_test

import (
	"testing"
	"time"

	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki/pkitest"
)

// A blank list of the same cluster from the day of some past rollback is refused,
// whatever is replayed before it: an older list that is not blank is accepted, as
// restoring a backup needs it, and does not lower the date that a blank one must have.
func TestReplayInTwoSteps(t *testing.T) {
	s := newSite(t, "pub")
	w, store := world{"pub": s}, new(holdings.MemStore)
	serve := func(hours int, records ...trustlist.RecordSpec) {
		f := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time.Add(time.Duration(hours) * time.Hour), Records: records}, s.call)
		s.files["ITLSEP"+mac+".tlv"] = f.Bytes()
	}
	blank := []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: s.call.Certificate}, {Role: trustlist.TFTP, Form: trustlist.Blank}, {Role: trustlist.TVS, Form: trustlist.Blank}}
	s.config("1")
	for _, step := range []struct {
		name    string
		hours   int
		records []trustlist.RecordSpec
		want    any
		message string
	}{
		{"today's list", 100, s.records(), trust.ViaFirstUse, installed},
		{"an old blank list", 50, blank, trust.OlderList, failed},
		{"an older list", 10, s.records(), trust.ViaITL, updated},
		{"the blank list, now newer than the one in force", 50, blank, trust.OlderList, failed},
		{"a blank list of today", 101, blank, trust.ViaITL, updated},
	} {
		serve(step.hours, step.records...)
		r := w.phone(t, store, "pub").Cycle(t.Context()) // after a restart
		v := r.ITL.Verdict
		if reason, rejects := step.want.(trust.Reason); rejects && (v.Accepted || v.Reason != reason) || !rejects && (!v.Accepted || v.Via != step.want) || r.Messages[0] != step.message {
			t.Fatalf("%s: accepted %v via %q, %v (%s), %q", step.name, v.Accepted, v.Via, v.Reason, v.Detail, r.Messages)
		}
	}
	// By hand the phone is as new.
	p := w.phone(t, store, "pub")
	if err := p.Erase(trustlist.ITL); err != nil {
		t.Fatal(err)
	}
	serve(1, s.records()...)
	if r := p.Cycle(t.Context()); r.ITL.Verdict.Via != trust.ViaFirstUse {
		t.Errorf("after an erase: %v", r.ITL.Verdict.Reason)
	}
}
