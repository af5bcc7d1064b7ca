package trust_test

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// world is a cluster on paper: identities and the lists made of them.
type world struct {
	call, next, tvs, recovery, stranger, lookalike *pki.Identity

	itl *trustlist.File // call as SAST and TFTP, tvs, recovery; signed by call
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		call: pkitest.Identity(t, "pub.example.lab", pki.Service), next: pkitest.Identity(t, "pub.example.lab", pki.Service),
		tvs: pkitest.Identity(t, "pub.example.lab", pki.Service), recovery: pkitest.Identity(t, "ITLRECOVERY_pub", pki.Recovery),
		stranger: pkitest.Identity(t, "pub.elsewhere.lab", pki.Service),
	}
	var err error
	if w.lookalike, err = pki.Lookalike(w.call, 1024); err != nil {
		t.Fatal(err)
	}
	w.itl = w.list(t, trustlist.ITL, w.call, w.call)
	return w
}

// list makes a list of a cluster whose CallManager certificate is call.
func (w *world) list(t testing.TB, kind trustlist.Kind, call, signer *pki.Identity) *trustlist.File {
	t.Helper()
	return pkitest.List(t, trustlist.ListSpec{Kind: kind, Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: call.Certificate},
		{Role: trustlist.TFTP, Certificate: call.Certificate},
		{Role: trustlist.TVS, Certificate: w.tvs.Certificate, Form: trustlist.Hashed},
		{Role: trustlist.SAST, Certificate: w.recovery.Certificate},
	}}, signer)
}

// blank is what the cluster serves before a rollback to a release before 8.0.
func (w *world) blank(t testing.TB) *trustlist.File {
	return pkitest.ITL(t, w.call,
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.call.Certificate},
		trustlist.RecordSpec{Role: trustlist.TFTP, Form: trustlist.Blank},
		trustlist.RecordSpec{Role: trustlist.TVS, Form: trustlist.Blank})
}

// about is an answer that vouches for an identity.
func about(id *pki.Identity, roles ...trustlist.Role) trust.Answer {
	return trust.Answer{Question: question(id), Server: "tvs1", Valid: true, Cert: id.Certificate.Raw, Roles: roles}
}

func question(id *pki.Identity) trust.Question {
	c := id.Certificate
	return trust.Question{Subject: trustlist.FormatName(c.Subject), Issuer: trustlist.FormatName(c.Issuer), Serial: c.SerialNumber.Bytes()}
}

func itl(f *trustlist.File) trust.Candidate { return trust.Candidate{Kind: f.Kind, Data: f.Bytes()} }

func sgn(t testing.TB, id *pki.Identity) trust.Candidate {
	const name = "SEP64A0E71502CC.cnf.xml.sgn"
	return trust.Candidate{Kind: trustlist.SGN, Name: name, Data: pkitest.Signed(t, name, "<device/>", id, trustlist.SHA1)}
}

// Every row names what a phone holds, what it is given, and what it must say.
// Together the rows give every reason that Decide has.
func TestDecide(t *testing.T) {
	w := newWorld(t)
	held := trust.State{ITL: w.itl, Servers: 1, Now: pkitest.Time}
	with := func(s trust.State, change func(*trust.State)) trust.State { change(&s); return s }
	remembered := func(a trust.Answer, expires time.Time) trust.State {
		a.Expires = expires
		return with(held, func(s *trust.State) { s.Answers = []trust.Answer{a} })
	}
	failed := func(f trust.Failure) *trust.Answer { return &trust.Answer{Question: question(w.next), Failure: f} }
	later := pkitest.Time.Add(time.Second)
	next := itl(w.list(t, trustlist.ITL, w.next, w.next))
	ctl := w.list(t, trustlist.CTL, w.call, w.call)
	foreignCTL := w.list(t, trustlist.CTL, w.stranger, w.stranger)
	same := about(w.next, trustlist.SAST, trustlist.CCMTFTP)
	mismatch := trust.Answer{Question: question(w.next), Valid: true, Cert: w.recovery.Certificate.Raw, Roles: []trustlist.Role{0}}
	lookalikeNext, err := pki.Lookalike(w.next, 1024)
	if err != nil {
		t.Fatal(err)
	}
	sha512 := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Digest: trustlist.SHA512, Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: w.call.Certificate}}}, w.call)
	older := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time.Add(-time.Second), Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: w.call.Certificate}, {Role: trustlist.TFTP, Certificate: w.call.Certificate}}}, w.call)
	threeSAST := pkitest.ITL(t, w.call, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.call.Certificate},
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.recovery.Certificate}, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.next.Certificate})
	noOwnSAST := pkitest.ITL(t, w.call, trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: w.call.Certificate})
	weak := weakSigner(t)

	seen := map[trust.Reason]bool{}
	for _, c := range []struct {
		name   string
		state  trust.State
		file   trust.Candidate
		reason trust.Reason
		via    trust.Via
		ask    bool
	}{
		{"first use", trust.State{}, itl(w.itl), trust.Accepted, trust.ViaFirstUse, false},
		{"first use of a CTL", trust.State{}, itl(ctl), trust.Accepted, trust.ViaFirstUse, false},
		{"first use, signer not in the list", trust.State{}, itl(w.list(t, trustlist.ITL, w.call, w.stranger)), trust.UnknownSigner, 0, false},
		{"first use, signer only as TFTP", trust.State{}, itl(noOwnSAST), trust.UnknownSigner, 0, false},
		{"first use, look-alike signed it", trust.State{}, itl(w.list(t, trustlist.ITL, w.call, w.lookalike)), trust.BadSignature, 0, false},
		{"the list in force again", held, itl(w.itl), trust.Accepted, trust.ViaITL, false},
		{"same signer, another list", held, itl(pkitest.ITL(t, w.call, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.call.Certificate})), trust.Accepted, trust.ViaITL, false},
		{"signed with the recovery key", held, itl(w.list(t, trustlist.ITL, w.next, w.recovery)), trust.Accepted, trust.ViaITL, false},
		{"new signer, no answer yet", held, next, trust.UnknownSigner, 0, true},
		{"new signer, a remembered answer vouches", remembered(same, later), next, trust.Accepted, trust.ViaTVS, false},
		{"new signer, a remembered answer about another", remembered(about(w.recovery, trustlist.SAST), later), next, trust.UnknownSigner, 0, true},
		{"new signer, the remembered answer has expired", remembered(same, pkitest.Time), next, trust.UnknownSigner, 0, true},
		{"new signer, the remembered answer has no expiry", remembered(same, time.Time{}), next, trust.UnknownSigner, 0, true},
		{"new signer, the remembered answer is wrong", remembered(mismatch, later), next, trust.UnknownSigner, 0, true},
		{"new signer, the remembered answer has another role", remembered(about(w.next, trustlist.CAPF), later), next, trust.UnknownSigner, 0, true},
		{"new signer, no TVS configured", with(held, func(s *trust.State) { s.Servers = 0 }), next, trust.UnknownSigner, 0, false},
		{"new signer, no TVS in the ITL", trust.State{ITL: noOwnSAST, Servers: 1}, next, trust.UnknownSigner, 0, false},
		{"look-alike of the signer", held, itl(w.list(t, trustlist.ITL, w.call, w.lookalike)), trust.BadSignature, 0, false},
		{"its own voucher alone", trust.State{ITL: w.itl}, itl(w.list(t, trustlist.ITL, w.stranger, w.stranger)), trust.UnknownSigner, 0, false},

		{"CTL held, no ITL: signer in the CTL", trust.State{CTL: ctl}, itl(w.itl), trust.Accepted, trust.ViaCTL, false},
		{"CTL held, no ITL: signer not in the CTL", trust.State{CTL: foreignCTL, Servers: 1}, itl(w.itl), trust.UnknownSigner, 0, false},
		{"ITL held, new CTL of its signer", held, itl(ctl), trust.Accepted, trust.ViaITL, false},
		{"ITL held, foreign CTL", held, itl(foreignCTL), trust.UnknownSigner, 0, true},
		{"both: the ITL's signer is in the CTL alone", trust.State{CTL: foreignCTL, ITL: w.itl}, itl(w.list(t, trustlist.ITL, w.stranger, w.stranger)), trust.Accepted, trust.ViaCTL, false},
		{"blank ITL: any list", trust.State{ITL: w.blank(t)}, itl(w.list(t, trustlist.ITL, w.stranger, w.stranger)), trust.Accepted, trust.ViaFirstUse, false},
		{"blank ITL, but a CTL", trust.State{ITL: w.blank(t), CTL: ctl, Servers: 1}, itl(foreignCTL), trust.UnknownSigner, 0, false},

		{"signed file", held, sgn(t, w.call), trust.Accepted, trust.ViaITL, false},
		{"signed file, signer in the CTL", trust.State{CTL: foreignCTL, ITL: w.itl}, sgn(t, w.stranger), trust.Accepted, trust.ViaCTL, false},
		{"signed file, signer is SAST only", trust.State{ITL: w.itl}, sgn(t, w.recovery), trust.RoleMissing, 0, false},
		{"signed file, phone with no list", trust.State{}, sgn(t, w.call), trust.UnknownSigner, 0, false},
		{"signed file, the caller's certificate", trust.State{Certificates: []*x509.Certificate{w.stranger.Certificate}}, sgn(t, w.stranger), trust.Accepted, trust.ViaCert, false},
		{"signed file, the caller's certificate is a look-alike", trust.State{Certificates: []*x509.Certificate{w.lookalike.Certificate}}, sgn(t, w.call), trust.BadSignature, 0, false},

		{"0 bytes", held, trust.Candidate{Kind: trustlist.ITL}, trust.EmptyFile, 0, false},
		{"65,536 bytes", held, trust.Candidate{Kind: trustlist.ITL, Data: make([]byte, 65536)}, trust.TooLarge, 0, false},
		{"cut", held, trust.Candidate{Kind: trustlist.ITL, Data: w.itl.Bytes()[:700]}, trust.Malformed, 0, false},
		{"XML for a signed file", held, trust.Candidate{Kind: trustlist.SGN, Data: []byte("\n<device/>")}, trust.NotSigned, 0, false},
		{"a CTL for an ITL", held, trust.Candidate{Kind: trustlist.ITL, Data: ctl.Bytes()}, trust.WrongFile, 0, false},
		{"SHA-512 on an old phone", with(held, func(s *trust.State) { s.Policy.NoSHA512 = true }), itl(sha512), trust.UnsupportedDigest, 0, false},
		{"SHA-512", held, itl(sha512), trust.Accepted, trust.ViaITL, false},
		{"3 SAST records, policy warns", held, itl(threeSAST), trust.Accepted, trust.ViaITL, false},
		{"an older list, policy refuses", with(held, func(s *trust.State) { s.Policy.RefuseOlder = true }), itl(older), trust.OlderList, 0, false},
		{"an older list, policy warns", held, itl(older), trust.Accepted, trust.ViaITL, false},
		{"the very list in force, policy refuses", with(held, func(s *trust.State) { s.Policy.RefuseOlder = true }), itl(w.itl), trust.Accepted, trust.ViaITL, false},
		{"3 SAST records, policy refuses", with(held, func(s *trust.State) { s.Policy.MaxSAST = 2 }), itl(threeSAST), trust.TooManySAST, 0, false},
		{"RSA-768", trust.State{ITL: weak.held}, weak.file, trust.WeakKey, 0, false},
		{"another file's name", held, trust.Candidate{Kind: trustlist.SGN, Name: "SEP000000000000.cnf.xml.sgn", Data: sgn(t, w.call).Data}, trust.WrongFile, 0, false},
	} {
		v := trust.Decide(c.state, c.file)
		if v.Accepted != (c.reason == trust.Accepted) || v.Reason != c.reason || v.Via != c.via || (v.Question != nil) != c.ask {
			t.Errorf("%s: accepted %v, %v via %q, question %v; want %v via %q, question %v\nsteps %v",
				c.name, v.Accepted, v.Reason, v.Via, v.Question, c.reason, c.via, c.ask, v.Steps)
		}
		if v.Question != nil && !v.Question.Same(trust.Question{Issuer: v.Question.Issuer, Serial: v.File.Signer.Serial}) {
			t.Errorf("%s: question about serial %x, signer has %x", c.name, v.Question.Serial, v.File.Signer.Serial)
		}
		seen[v.Reason] = true
	}
	for _, c := range []struct {
		name   string
		file   trust.Candidate
		answer *trust.Answer
		reason trust.Reason
	}{
		{"TVS vouches", next, &same, trust.Accepted},
		{"TVS unreachable", next, failed(trust.Unreachable), trust.TVSUnreachable},
		{"TVS hangs up", next, failed(trust.HungUp), trust.TVSHungUp},
		{"TVS not in the ITL", next, failed(trust.Untrusted), trust.TVSUntrusted},
		{"TVS garbled", next, failed(trust.Garbled), trust.TVSBadAnswer},
		{"TVS answers no certificate", next, &trust.Answer{Question: question(w.next), Valid: true, Cert: []byte("x"), Roles: []trustlist.Role{0}}, trust.TVSBadAnswer},
		{"TVS says invalid", next, &trust.Answer{Question: question(w.next)}, trust.TVSInvalid},
		{"TVS answers another certificate", next, &mismatch, trust.TVSMismatch},
		{"TVS knows the signer as CAPF only", next, ref(about(w.next, trustlist.CAPF)), trust.RoleMissing},
		{"TVS knows the signer without role", next, ref(about(w.next)), trust.RoleMissing},
		{"TVS vouches for a look-alike", next, &trust.Answer{Question: question(w.next), Valid: true, Cert: lookalikeNext.Certificate.Raw, Roles: []trustlist.Role{0}}, trust.BadSignature},
		{"signed file, TVS vouches as CCM+TFTP", sgn(t, w.next), &same, trust.Accepted},
		{"signed file, TVS vouches as SAST only", sgn(t, w.next), ref(about(w.next, trustlist.SAST)), trust.RoleMissing},
	} {
		asked := trust.Decide(held, c.file)
		v := asked.Answered(held, *c.answer)
		via := trust.ViaNone
		if c.reason == trust.Accepted {
			via = trust.ViaTVS
		}
		if asked.Question == nil || v.Question != nil || v.Reason != c.reason || v.Accepted != (c.reason == trust.Accepted) || v.Via != via {
			t.Errorf("%s: accepted %v, %v via %q, question %v; want %v\nsteps %v", c.name, v.Accepted, v.Reason, v.Via, v.Question, c.reason, v.Steps)
		}
		if v.File != asked.File || len(asked.Steps) >= len(v.Steps) {
			t.Errorf("%s: steps %v, before %v; the same file %v", c.name, v.Steps, asked.Steps, v.File == asked.File)
		}
		seen[v.Reason] = true
	}
	if v := trust.Unsigned(held); v.Accepted || v.Reason != trust.NotSigned {
		t.Errorf("unsigned file, phone with an ITL: %v", v.Reason)
	} else {
		seen[v.Reason] = true
	}
	for _, s := range []trust.State{{}, {ITL: w.blank(t)}} {
		if v := trust.Unsigned(s); !v.Accepted {
			t.Errorf("unsigned file, phone without TFTP certificate: %v", v.Reason)
		}
	}
	// What concerns servers, storage and content is the agent's to find.
	agents := []trust.Reason{trust.NotStored, trust.HeldDamaged, trust.NotFound, trust.DownloadFailed, trust.BadContent, trust.NotForThisPhone, trust.ServerNotListed}
	for _, r := range trust.Reasons() {
		if !seen[r] && !slices.Contains(agents, r) {
			t.Errorf("no row gives reason %v", r)
		}
	}
}

func ref(a trust.Answer) *trust.Answer { return &a }

// weakSigner is a list whose TFTP record has an RSA-768 key, and a file signed
// with it. Neither can be made with the builder.
func weakSigner(t *testing.T) (out struct {
	held *trustlist.File
	file trust.Candidate
}) {
	t.Helper()
	id := pkitest.Identity(t, "weak.example.lab", pki.Service)
	out.file = sgn(t, id)
	// An RSA public key of 768 bits in the record of the very signer.
	key := append([]byte{0x30, 0x68, 0x02, 0x61, 0, 0xff}, make([]byte, 95)...)
	key = append(key, 0x02, 3, 1, 0, 1)
	key[len(key)-6] = 1 // an odd modulus
	rec := func(tag byte, v []byte) []byte { return append([]byte{tag, byte(len(v) >> 8), byte(len(v))}, v...) }
	body := slices.Concat(rec(4, []byte{0, 3}), rec(5, append([]byte(trustlist.FormatName(id.Certificate.Issuer)), 0)),
		rec(6, id.Certificate.SerialNumber.Bytes()), rec(7, key))
	n := len(body) + 5
	list := pkitest.ITL(t, id, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate})
	data := slices.Concat(list.Bytes()[:list.Length], []byte{1, 0, 2, byte(n >> 8), byte(n)}, body)
	out.held = pkitest.Parse(t, trustlist.ITL, data)
	return out
}

// The words are stable and unlike each other, and each has a sentence.
func TestReasonWords(t *testing.T) {
	words := map[string]bool{}
	for _, r := range trust.Reasons() {
		if r.String() == "" || r.Text() == "" || words[r.String()] {
			t.Errorf("reason %d: word %q, text %q", r, r, r.Text())
		}
		if (r.Advice() == "") != (r == trust.Accepted) {
			t.Errorf("reason %v: advice %q", r, r.Advice())
		}
		words[r.String()] = true
	}
	if got := trust.Reason(200).String(); got != "unknown-reason" {
		t.Errorf("Reason(200) = %q", got)
	}
	for _, w := range []string{"accepted", "unknown-signer", "bad-signature", "tvs-unreachable", "tvs-invalid", "role-missing", "malformed", "too-large"} {
		if !words[w] {
			t.Errorf("the documented word %q is gone", w)
		}
	}
}

// A warning is no obstacle.
func TestWarnings(t *testing.T) {
	w := newWorld(t)
	three := pkitest.ITL(t, w.call, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.call.Certificate},
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.recovery.Certificate}, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: w.next.Certificate})
	newer := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Version: trustlist.Version{Major: 1, Minor: 7},
		Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: w.call.Certificate}}}, w.call)
	older := pkitest.List(t, trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time.Add(-time.Hour), Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: w.call.Certificate}, {Role: trustlist.TFTP, Certificate: w.call.Certificate}}}, w.call)
	other := sgn(t, w.call)
	other.Name = "SEP000000000000.cnf.xml.sgn"
	for name, c := range map[string]trust.Candidate{"3 SAST": itl(three), "older": itl(older), "version 1.7": itl(newer), "another name": other} {
		v := trust.Decide(trust.State{ITL: w.itl, Policy: trust.Policy{AllowRenamed: true}}, c)
		if !v.Accepted || len(v.Warnings) != 1 {
			t.Errorf("%s: accepted %v, warnings %q; want one warning", name, v.Accepted, v.Warnings)
		}
	}
}

// A record that came close is named, with what does not fit.
func TestNearMiss(t *testing.T) {
	w := newWorld(t)
	v := trust.Decide(trust.State{ITL: w.itl, Servers: 1}, itl(w.list(t, trustlist.ITL, w.next, w.next)))
	if len(v.Steps) < 2 || v.Steps[0].Record != 1 || v.Steps[0].Result != trust.UnknownSigner ||
		!strings.Contains(v.Steps[0].Detail, trustlist.FormatSerial(w.call.Certificate.SerialNumber.Bytes())) {
		t.Errorf("steps %v", v.Steps)
	}
	v = trust.Decide(trust.State{ITL: w.itl, Servers: 1}, itl(w.list(t, trustlist.ITL, w.stranger, w.stranger)))
	if v.Steps[0].Record != 0 {
		t.Errorf("a record of another name came close: %v", v.Steps)
	}
}

// No signature that a phone's vouchers did not make is ever accepted: each bit
// of a list that the phone would accept is flipped.
func TestNoFlippedBitIsAccepted(t *testing.T) {
	w := newWorld(t)
	list := w.list(t, trustlist.ITL, w.next, w.recovery)
	data := slices.Clone(list.Bytes())
	reasons := map[trust.Reason]int{}
	for i := range data {
		for bit := range 8 {
			if testing.Short() && bit != i%8 { // an emulated processor takes minutes for all
				continue
			}
			data[i] ^= 1 << bit
			v := trust.Decide(trust.State{ITL: w.itl, Servers: 1}, trust.Candidate{Kind: trustlist.ITL, Data: data})
			if v.Accepted {
				t.Fatalf("bit %d of byte %d flipped: accepted via %v", bit, i, v.Via)
			}
			reasons[v.Reason]++
			data[i] ^= 1 << bit
		}
	}
	t.Logf("of %d bytes: %v", len(data), fmt.Sprint(reasons))
}

func FuzzDecide(f *testing.F) {
	w := newWorld(f)
	f.Add(w.itl.Bytes(), uint8(0), "ITLFile.tlv")
	f.Add(sgn(f, w.call).Data, uint8(2), "SEP64A0E71502CC.cnf.xml.sgn")
	f.Add(w.list(f, trustlist.ITL, w.next, w.next).Bytes(), uint8(0), "ITLSEP64A0E71502CC.tlv")
	f.Add(pkitest.Signed(f, "logo.png.sgn", string(w.itl.Content()), w.call, trustlist.SHA1), uint8(0), "ITLSEP64A0E71502CC.tlv")
	f.Add(w.blank(f).Bytes(), uint8(0), "")
	answer := about(w.next, trustlist.SAST, trustlist.TFTP)
	f.Fuzz(func(t *testing.T, data []byte, number uint8, name string) {
		kind := trustlist.Kind(number%4) + 1
		for _, s := range []trust.State{{ITL: w.itl, Servers: 1}, {ITL: w.itl, CTL: w.itl}, {}} {
			v := trust.Decide(s, trust.Candidate{Kind: kind, Name: name, Data: data})
			if v.Question != nil {
				v = v.Answered(s, answer)
			}
			if v.Accepted == (v.Reason != trust.Accepted) || v.Accepted && v.Via == trust.ViaNone || v.Accepted && v.Question != nil {
				t.Errorf("accepted %v for %v via %q, question %v", v.Accepted, v.Reason, v.Via, v.Question)
			}
			if v.Accepted && (v.File.Kind != kind || trust.Renamed(name, string(v.File.FileName)) != "") {
				t.Errorf("accepted a %v named %q for a %v named %q", v.File.Kind, v.File.FileName, kind, name)
			}
		}
	})
}
