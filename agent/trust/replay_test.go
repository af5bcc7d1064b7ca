package trust_test

import (
	"testing"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// A list that would open the phone is never accepted when it is older than one that
// was in force, whatever the policy; other old lists are, as the policy has it.
func TestOlderLists(t *testing.T) {
	w := newWorld(t)
	at := func(kind trustlist.Kind, days int, records ...trustlist.RecordSpec) *trustlist.File {
		return pkitest.List(t, trustlist.ListSpec{Kind: kind, Time: pkitest.Time.Add(time.Duration(days) * 24 * time.Hour), Records: records}, w.call)
	}
	whole := func(role trustlist.Role) trustlist.RecordSpec {
		return trustlist.RecordSpec{Role: role, Certificate: w.call.Certificate}
	}
	empty := func(role trustlist.Role) trustlist.RecordSpec {
		return trustlist.RecordSpec{Role: role, Form: trustlist.Blank}
	}
	normal := []trustlist.RecordSpec{whole(trustlist.SAST), whole(trustlist.TFTP)}
	blank := []trustlist.RecordSpec{whole(trustlist.SAST), empty(trustlist.TFTP), empty(trustlist.TVS)}
	bare := []trustlist.RecordSpec{whole(trustlist.SAST)}
	mixed := []trustlist.RecordSpec{whole(trustlist.SAST), whole(trustlist.CCMTFTP)}
	nonSecure := []trustlist.RecordSpec{whole(trustlist.SAST), empty(trustlist.CCMTFTP)}
	itlHeld := trust.State{ITL: at(trustlist.ITL, 0, normal...)}
	both := trust.State{ITL: itlHeld.ITL, CTL: at(trustlist.CTL, 0, mixed...)}
	restored := itlHeld // an older list was put back since
	restored.ITL, restored.LatestITL = at(trustlist.ITL, -20, normal...), pkitest.Time
	for _, c := range []struct {
		name         string
		state        trust.State
		list         *trustlist.File
		warn, refuse trust.Reason // with the policies
	}{
		{"older", itlHeld, at(trustlist.ITL, -1, normal...), trust.Accepted, trust.OlderList},
		{"newer", itlHeld, at(trustlist.ITL, 1, normal...), trust.Accepted, trust.Accepted},
		{"older and blank", itlHeld, at(trustlist.ITL, -1, blank...), trust.OlderList, trust.OlderList},
		{"of the same second, and blank", itlHeld, at(trustlist.ITL, 0, blank...), trust.Accepted, trust.Accepted},
		{"newer and blank", itlHeld, at(trustlist.ITL, 1, blank...), trust.Accepted, trust.Accepted},
		{"older, without TFTP record", itlHeld, at(trustlist.ITL, -1, bare...), trust.OlderList, trust.OlderList},
		{"newer, without TFTP record", itlHeld, at(trustlist.ITL, 1, bare...), trust.Accepted, trust.Accepted},
		{"older and blank, with a CTL", both, at(trustlist.ITL, -1, blank...), trust.OlderList, trust.OlderList},
		{"CTL, older", both, at(trustlist.CTL, -1, mixed...), trust.Accepted, trust.OlderList},
		{"CTL, older and blank", both, at(trustlist.CTL, -1, nonSecure...), trust.OlderList, trust.OlderList},
		{"CTL, newer and blank", both, at(trustlist.CTL, 1, nonSecure...), trust.Accepted, trust.Accepted},
		{"CTL, the phone has no ITL", trust.State{CTL: both.CTL}, at(trustlist.CTL, -1, bare...), trust.OlderList, trust.OlderList},
		{"blank, older than one that was in force before", restored, at(trustlist.ITL, -10, blank...), trust.OlderList, trust.OlderList},
		{"blank, newer than all", restored, at(trustlist.ITL, 1, blank...), trust.Accepted, trust.Accepted},
		{"newer than the one in force alone", restored, at(trustlist.ITL, -10, normal...), trust.Accepted, trust.OlderList},
		{"a blank one is in force: the phone is open", trust.State{ITL: at(trustlist.ITL, 0, blank...)}, at(trustlist.ITL, -1, normal...), trust.Accepted, trust.Accepted},
		{"two nodes' blank lists", trust.State{ITL: at(trustlist.ITL, 0, blank...)}, at(trustlist.ITL, -1, blank...), trust.Accepted, trust.Accepted},
		{"no list is held", trust.State{}, at(trustlist.ITL, -1, blank...), trust.Accepted, trust.Accepted},
	} {
		for _, refuse := range []bool{false, true} {
			want := c.warn
			if c.state.Policy.RefuseOlder = refuse; refuse {
				want = c.refuse
			}
			v := trust.Decide(c.state, itl(c.list))
			if v.Reason != want || v.Accepted != (want == trust.Accepted) || v.Via != trust.ViaNone != v.Accepted {
				t.Errorf("%s, refuse %v: %v via %q (%s), want %v", c.name, refuse, v.Reason, v.Via, v.Detail, want)
			}
		}
	}
}

// The rule holds for a list that TVS vouches for as well.
func TestOlderBlankListOfTVS(t *testing.T) {
	w := newWorld(t)
	old := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time.Add(-time.Hour), Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: w.next.Certificate}, {Role: trustlist.TFTP, Form: trustlist.Blank}}}, w.next)
	state := trust.State{ITL: w.itl, Servers: 1}
	v := trust.Decide(state, itl(old)).Answered(state, about(w.next, trustlist.SAST))
	if v.Accepted || v.Reason != trust.OlderList || v.Via != trust.ViaNone {
		t.Errorf("accepted %v, %v via %q; want %v", v.Accepted, v.Reason, v.Via, trust.OlderList)
	}
}

// The way in that was: an old blank list opened the phone, an unsigned configuration
// followed, and then any stranger's list on first use.
func TestReplayedBlankListOpensNothing(t *testing.T) {
	w := newWorld(t)
	state := trust.State{ITL: pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time.AddDate(3, 0, 0), Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: w.call.Certificate}, {Role: trustlist.TFTP, Certificate: w.call.Certificate}}}, w.call)}
	for _, list := range []*trustlist.File{w.blank(t), w.list(t, trustlist.ITL, w.stranger, w.stranger)} {
		if v := trust.Decide(state, itl(list)); v.Accepted {
			state.ITL = v.File
			t.Errorf("a list of %v is accepted via %v", list.Time().UTC(), v.Via)
		}
		if v := trust.Unsigned(state); v.Accepted {
			t.Error("an unsigned configuration is accepted")
		}
	}
}

// A file that is of another kind than was asked for is refused, whoever signed it: each
// file of each kind is signed by the very signer of the phone's lists.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	state := trust.State{ITL: w.list(t, trustlist.ITL, w.call, w.call), CTL: w.list(t, trustlist.CTL, w.call, w.call), Servers: 1}
	records := w.list(t, trustlist.ITL, w.recovery, w.call).Content() // reads as the records of a list
	sign := func(name string) []byte { return pkitest.Signed(t, name, string(records), w.call, trustlist.SHA1) }
	phone := pkitest.Identity(t, "SEP64A0E71502CC", pki.Service)
	files := map[string]struct {
		kind trustlist.Kind
		data []byte
	}{
		"ITL":            {trustlist.ITL, w.list(t, trustlist.ITL, w.next, w.recovery).Bytes()},
		"CTL":            {trustlist.CTL, w.list(t, trustlist.CTL, w.next, w.recovery).Bytes()},
		"logo":           {trustlist.SGN, sign("logo.png.sgn")},
		"ring list":      {trustlist.SGN, sign("RingList.dat.sgn")},
		"configuration":  {trustlist.SGN, sign("SEP64A0E71502CC.cnf.xml.sgn")},
		"encrypted file": {trustlist.ENC, encrypted(t, w.call, phone, "SEP64A0E71502CC.cnf.xml.enc.sgn")},
	}
	for name, f := range files {
		for _, kind := range []trustlist.Kind{trustlist.ITL, trustlist.CTL, trustlist.SGN, trustlist.ENC} {
			v := trust.Decide(state, trust.Candidate{Kind: kind, Data: f.data})
			if kind == f.kind && !v.Accepted || kind != f.kind && v.Reason != trust.WrongFile {
				t.Errorf("%s as %v: accepted %v, %v (%s)", name, kind, v.Accepted, v.Reason, v.Detail)
			}
			parsed := pkitest.Parse(t, f.kind, f.data)
			if w := trust.Decide(state, trust.Candidate{Kind: kind, File: parsed}); w.Reason != v.Reason || w.Accepted && w.File != parsed {
				t.Errorf("%s as %v, parsed before: %v, want %v", name, kind, w.Reason, v.Reason)
			}
		}
	}
}
