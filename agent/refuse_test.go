package agent_test

import (
	"testing"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/pki/pkitest"
)

// bootedPhone is a phone that trusts its cluster, and the cluster.
func bootedPhone(t *testing.T) (*site, world, *agent.Agent) {
	t.Helper()
	s := newSite(t, "pub")
	s.publish("1")
	w := world{"pub": s}
	p := w.phone(t, new(holdings.MemStore), "pub")
	want(t, "first boot", cycle(t, p), trust.ViaFirstUse, trust.ViaITL, installed)
	return s, w, p
}

// An answer of TVS that did not vouch is not remembered: once the server is repaired,
// the next reset succeeds.
func TestWrongAnswerIsNotRemembered(t *testing.T) {
	s, _, p := bootedPhone(t)
	s.regenerate(&s.call)
	s.publish("0")
	s.spoil = func(m *tvs.Message) { m.Certificate = s.recovery.Certificate.Raw }
	want(t, "a wrong answer", cycle(t, p), trust.TVSMismatch, trust.TVSMismatch, failed)
	if got := p.Snapshot().Answers; len(got) != 0 {
		t.Errorf("%d answers are remembered", len(got))
	}
	s.spoil = nil
	want(t, "repaired", cycle(t, p), trust.ViaTVS, trust.ViaITL, updated)
}

// A phone applies no configuration but its own, though the cluster has signed all of
// them with one key.
func TestAnotherPhonesConfiguration(t *testing.T) {
	for _, name := range []string{"SEP001122334455.cnf.xml.sgn", "XMLDefault.cnf.xml.sgn", "RingList.xml.sgn"} {
		s, _, p := bootedPhone(t)
		s.files[confName+".sgn"] = pkitest.Signed(t, name, "<device><vendorConfig><webAccess>0</webAccess></vendorConfig></device>", s.call, trustlist.SHA1)
		r := cycle(t, p)
		if r.Config.Verdict.Reason != trust.WrongFile || p.Snapshot().Settings.Web != "1" {
			t.Errorf("%s: %v, webAccess %q; want %v and the old settings", name, r.Config.Verdict.Reason, p.Snapshot().Settings.Web, trust.WrongFile)
		}
	}
}

// A signed file whose content reads as records is no list, under whatever name it is
// served.
func TestSignedFileIsNoList(t *testing.T) {
	s, _, p := bootedPhone(t)
	stranger := newSite(t, "elsewhere")
	records := stranger.list(trustlist.ITL, stranger.call).Content()
	for _, kind := range []string{"ITL", "CTL"} {
		s.files[kind+"SEP"+mac+".tlv"] = pkitest.Signed(t, "logo.png.sgn", string(records), s.call, trustlist.SHA1)
	}
	r := cycle(t, p)
	if r.ITL.Verdict.Reason != trust.WrongFile || r.CTL.Verdict.Reason != trust.WrongFile || r.HeldCTL != nil {
		t.Errorf("ITL %v, CTL %v, a CTL is held: %v", r.ITL.Verdict.Reason, r.CTL.Verdict.Reason, r.HeldCTL != nil)
	}
}

// A TVS that hangs up at the question is not unreachable.
func TestTVSHangsUp(t *testing.T) {
	s, _, p := bootedPhone(t)
	s.regenerate(&s.call)
	s.publish("0")
	s.tvsAsked = func() {}
	want(t, "hung up", cycle(t, p), trust.TVSHungUp, trust.TVSHungUp, failed)
}
