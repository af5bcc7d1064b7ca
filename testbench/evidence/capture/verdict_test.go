package capture_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"testing"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence/capture"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

const (
	itlName  = "ITLSEP" + mac + ".tlv"
	confName = "SEP" + mac + ".cnf.xml.sgn"
)

// weakSigner is the case of a phone that holds nothing.
const weakSigner = "weak signer of the first list"

// cases are boots behind a first one that was accepted; want is the phone's own verdict.
var cases = []struct {
	name string
	want trust.Reason
	dark bool // the network does not show it
	do   func(b *bench)
}{
	{"nothing changed", trust.Accepted, false, func(*bench) {}},
	{"TVS vouches", trust.Accepted, false, func(b *bench) { b.regenerate(profile.CallManager) }},
	{"HTTP is busy", trust.Accepted, false, func(b *bench) { b.fault(profile.TFTPService, "busy") }},
	{"rollback", trust.Accepted, false, func(b *bench) {
		b.must(b.c.Apply(operation.SetRollback(true)))
		b.restart(profile.TVSService, profile.TFTPService)
	}},
	{"TVS is stopped", trust.TVSUnreachable, false, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.stop(profile.TVSService)
	}},
	{"TVS closes at once", trust.TVSUnreachable, false, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.fault(profile.TVSService, "close")
	}},
	{"TVS is not trusted", trust.TVSUntrusted, false, func(b *bench) { b.regenerate(profile.TVS, profile.CallManager) }},
	{"TVS does not vouch", trust.TVSInvalid, false, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.fault(profile.TVSService, "invalid")
	}},
	{"TVS hangs up", trust.TVSHungUp, false, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.fault(profile.TVSService, "hangup")
	}},
	{"TVS answers rubbish", trust.TVSBadAnswer, true, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.fault(profile.TVSService, "garbage")
	}},
	{"TVS answers for another", trust.TVSMismatch, true, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.fault(profile.TVSService, "mismatch")
	}},
	{"TVS gives no role", trust.RoleMissing, true, func(b *bench) {
		b.regenerate(profile.CallManager)
		b.fault(profile.TVSService, "norole")
	}},
	{"large list", trust.TooLarge, false, func(b *bench) { b.fault(profile.TFTPService, "large") }},
	{"half a list", trust.Malformed, false, func(b *bench) { b.fault(profile.TFTPService, "truncate") }},
	{"no file", trust.NotFound, false, func(b *bench) { b.fault(profile.TFTPService, "missing") }},
	{"no server", trust.DownloadFailed, false, func(b *bench) {
		b.stop(profile.TFTPService)
		b.patience = 600 * time.Millisecond
		b.serve(b.c.Publisher().Address())
	}},
	{"empty list", trust.EmptyFile, false, func(b *bench) { b.replace(itlName, []byte{}); b.front() }},
	{"CTL for an ITL", trust.WrongFile, false, func(b *bench) {
		call := b.c.Publisher().Identity(profile.CallManager)
		b.replace(itlName, pkitest.List(b.t, trustlist.ListSpec{Kind: trustlist.CTL, Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: call.Certificate}}}, call).Bytes())
		b.front()
	}},
	{"unknown digest", trust.UnsupportedDigest, false, func(b *bench) {
		b.change(func(data []byte, f *trustlist.File) { data[f.DigestOffset()] = 9 })
	}},
	{"changed list", trust.BadSignature, false, func(b *bench) {
		b.change(func(data []byte, f *trustlist.File) {
			i := bytes.LastIndex(data, []byte("joe"))
			data[i] ^= 0x20
		})
	}},
	{"older blank list", trust.OlderList, false, func(b *bench) {
		call := b.c.Publisher().Identity(profile.CallManager)
		b.replace(itlName, pkitest.List(b.t, trustlist.ListSpec{Kind: trustlist.ITL, Time: pkitest.Time.Add(-1000 * time.Hour), Records: []trustlist.RecordSpec{
			{Role: trustlist.SAST, Certificate: call.Certificate}}}, call).Bytes())
		b.front()
	}},
	{"unsigned configuration", trust.NotSigned, false, func(b *bench) { b.replace(confName, []byte("<device></device>")); b.front() }},
	{"configuration signed by the recovery key", trust.RoleMissing, false, func(b *bench) {
		b.withoutTVS()
		b.replace(confName, pkitest.Signed(b.t, confName, "<device></device>", b.c.State().Recovery(), trustlist.SHA1))
	}},
	{"configuration signed by nobody known", trust.UnknownSigner, false, func(b *bench) {
		b.withoutTVS()
		b.replace(confName, pkitest.Signed(b.t, confName, "<device></device>", pkitest.Identity(b.t, "stranger", pki.Service), trustlist.SHA1))
	}},
	{"configuration that is none", trust.BadContent, false, func(b *bench) {
		b.replace(confName, pkitest.Signed(b.t, confName, "<device><unclosed>", b.c.Publisher().Identity(profile.CallManager), trustlist.SHA1))
		b.front()
	}},
	{"server that the CTL lacks", trust.ServerNotListed, false, func(b *bench) {
		b.must(b.c.Apply(operation.SetMixedMode(true)))
		b.fault(profile.TFTPService, "unlisted")
		b.must(b.c.Apply(operation.UpdateCTL()))
		b.restart(profile.TFTPService)
	}},
	{weakSigner, trust.WeakKey, false, func(b *bench) {
		b.t.Setenv("GODEBUG", "rsa1024min=0")
		call := b.c.Publisher().Identity(profile.CallManager)
		key, err := rsa.GenerateKey(rand.Reader, 768)
		b.must(err)
		// It has the signer's names and number, and is not its certificate.
		der, err := x509.CreateCertificate(rand.Reader, call.Certificate, call.Certificate, &key.PublicKey, call.Key)
		b.must(err)
		weak, err := x509.ParseCertificate(der)
		b.must(err)
		b.replace(itlName, pkitest.List(b.t, trustlist.ListSpec{Kind: trustlist.ITL, Records: []trustlist.RecordSpec{{Role: trustlist.SAST, Certificate: weak}}}, call).Bytes())
		b.front()
	}},
}

// invisible are the reasons that the network does not show, beside the dark cases.
var invisible = map[trust.Reason]string{
	trust.TooManySAST:     "a policy of the phone",
	trust.NotStored:       "inside the phone",
	trust.HeldDamaged:     "inside the phone",
	trust.NotForThisPhone: "the key of the phone decides",
}

// change serves the list that is served with a change.
func (b *bench) change(do func(data []byte, f *trustlist.File)) {
	data := bytes.Clone(b.c.Publisher().ITL())
	do(data, pkitest.Parse(b.t, trustlist.ITL, data))
	b.replace(itlName, data)
	b.front()
}

// withoutTVS gives the phone a list without TVS.
func (b *bench) withoutTVS() {
	call := b.c.Publisher().Identity(profile.CallManager)
	b.replace(itlName, pkitest.List(b.t, trustlist.ListSpec{Kind: trustlist.ITL, Time: b.c.Now().Add(time.Hour), Records: []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: call.Certificate}, {Role: trustlist.TFTP, Certificate: call.Certificate},
		{Role: trustlist.SAST, Certificate: b.c.State().Recovery().Certificate}}}, call).Bytes())
	b.front()
	if r := b.reset(); r.Reason() != trust.Accepted {
		b.t.Fatalf("a list without TVS: %v", r.Reason())
	}
}

// Every reason that the network shows: what is said of the capture is what the phone said itself.
func TestVerdicts(t *testing.T) {
	missing := map[trust.Reason]bool{}
	for _, r := range trust.Reasons() {
		missing[r] = invisible[r] == ""
	}
	for _, c := range cases {
		missing[c.want] = false
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			d := tcpdump(t)
			if c.name != weakSigner {
				if r := b.reset(); r.Reason() != trust.Accepted {
					t.Fatalf("first boot: %v", r.Reason())
				}
			}
			c.do(b)
			if r := b.reset(); r.Reason() != c.want {
				t.Fatalf("the phone says %v, want %v", r.Reason(), c.want)
			}
			check(t, "recorded", b, forms[0].write(t, b.rec.packets), c.dark)
			if d == nil {
				t.Skip("SKIPPED: tcpdump is not installed (package tcpdump; `make deps`), or needs root: only the recorded form was judged")
			}
			check(t, "tcpdump", b, d.end(t), c.dark)
		})
	}
	for r, is := range missing {
		if is {
			t.Errorf("no case gives %v, and it is not said to be invisible", r)
		}
	}
}

// check judges a capture of all boots, and the last one alone beside what the phone held.
func check(t *testing.T, how string, b *bench, file []byte, dark bool) {
	t.Helper()
	c, err := capture.Read(t.Context(), bytes.NewReader(file), capture.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Phones) != 1 || c.Phones[0].Device != "SEP"+mac || c.Damage != nil {
		t.Fatalf("%s: %d phones, %v", how, len(c.Phones), c.Damage)
	}
	p := c.Phones[0]
	all, err := p.Judge(t.Context(), capture.Held{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(b.saw) {
		t.Fatalf("%s: %d boots, want %d", how, len(all), len(b.saw))
	}
	for i, v := range all {
		compare(t, how, v, b.saw[i].Reason(), dark && i == len(all)-1)
	}
	last := *p
	boots := p.Boots()
	last.Events = boots[len(boots)-1].Events
	stored, err := b.held(len(b.was) - 1)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := last.Judge(t.Context(), capture.Held{Stored: stored})
	if err != nil || len(alone) != 1 {
		t.Fatalf("%s: the last boot alone: %d verdicts, %v", how, len(alone), err)
	}
	compare(t, how+", the last boot with what was held", alone[0], b.saw[len(b.saw)-1].Reason(), dark)
}

func (b *bench) held(i int) (lockout.Stored, error) {
	all := lockout.Stored{}
	for _, key := range []string{"itl", "ctl", "config", "newest"} {
		if data, err := b.was[i].Get(key); err == nil {
			all[key] = data
		}
	}
	return all, nil
}

func compare(t *testing.T, how string, v *capture.Verdict, want trust.Reason, dark bool) {
	t.Helper()
	switch {
	case dark && v.Known:
		t.Errorf("%s: says %v of what is not visible; the phone says %v", how, v.Reason, want)
	case !dark && (!v.Known || v.Reason != want):
		t.Errorf("%s: %s, the phone says %v\n%q", how, v.Word(), want, v.Notes)
		for _, e := range v.Boot.Events {
			t.Logf("  %s %v %s", e.Kind(), e.Server, e.Text())
		}
	}
}
