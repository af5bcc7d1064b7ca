package trust_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

func encrypted(t testing.TB, signer, phone *pki.Identity, name string) []byte {
	t.Helper()
	data, err := trustlist.EncryptFile(trustlist.EncryptSpec{Name: name, Content: []byte("<device/>"), To: phone.Certificate.PublicKey.(*rsa.PublicKey), Time: pkitest.Time}, rand.Reader, signer.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A signed file is the one that was asked for only if its FILENAME says so.
func TestNames(t *testing.T) {
	w := newWorld(t)
	phone := pkitest.Identity(t, "SEP64A0E71502CC", pki.Service)
	const own, other = "SEP64A0E71502CC", "SEP001122334455"
	file := func(kind trustlist.Kind, name string) []byte {
		switch kind {
		case trustlist.SGN:
			return pkitest.Signed(t, name, "<device/>", w.call, trustlist.SHA1)
		case trustlist.ENC:
			return encrypted(t, w.call, phone, name)
		}
		return pkitest.List(t, trustlist.ListSpec{Kind: kind, FileName: name, Records: []trustlist.RecordSpec{
			{Role: trustlist.SAST, Certificate: w.call.Certificate}, {Role: trustlist.TFTP, Certificate: w.call.Certificate}}}, w.call).Bytes()
	}
	for _, c := range []struct {
		kind         trustlist.Kind
		asked, named string
		same         bool
	}{
		{trustlist.SGN, own + ".cnf.xml.sgn", own + ".cnf.xml.sgn", true},
		{trustlist.SGN, own + ".cnf.xml.sgn", own + ".cnf.xml", true}, // certutils of 2020
		{trustlist.SGN, own + ".cnf.xml.sgn", "sep64a0e71502cc.cnf.xml.SGN", true},
		{trustlist.SGN, "", other + ".cnf.xml.sgn", true},
		{trustlist.SGN, own + ".cnf.xml.sgn", other + ".cnf.xml.sgn", false},
		{trustlist.SGN, own + ".cnf.xml.sgn", "XMLDefault.cnf.xml.sgn", false},
		{trustlist.SGN, "XMLDefault.cnf.xml.sgn", own + ".cnf.xml.sgn", false},
		{trustlist.SGN, own + ".cnf.xml.sgn", "RingList.xml.sgn", false},
		{trustlist.SGN, own + ".cnf.xml.sgn", own + ".cnf.xml.enc.sgn", false},
		{trustlist.ENC, own + ".cnf.xml.enc.sgn", own + ".cnf.xml.enc.sgn", true},
		{trustlist.ENC, own + ".cnf.xml.enc.sgn", other + ".cnf.xml.enc.sgn", false},
		{trustlist.ITL, "ITL" + own + ".tlv", "ITLFile.tlv", true},
		{trustlist.ITL, "ITL" + own + ".tlv", "ITL" + own + ".tlv", true},
		{trustlist.ITL, "ITLFile.tlv", "ITL" + own + ".tlv", true},
		{trustlist.ITL, "ITL" + own + ".tlv", "ITL" + other + ".tlv", false},
		{trustlist.CTL, "CTL" + own + ".tlv", "CTL" + other + ".tlv", false},
	} {
		for _, allow := range []bool{false, true} {
			state := trust.State{ITL: w.itl, Policy: trust.Policy{AllowRenamed: allow}}
			v := trust.Decide(state, trust.Candidate{Kind: c.kind, Name: c.asked, Data: file(c.kind, c.named)})
			want := trust.Accepted
			if !c.same && !allow {
				want = trust.WrongFile
			}
			if v.Reason != want || len(v.Warnings) > 0 != (!c.same && allow) {
				t.Errorf("asked for %q, named %q, allowed %v: %v (%s), warnings %q; want %v", c.asked, c.named, allow, v.Reason, v.Detail, v.Warnings, want)
			}
		}
	}
}

func TestRenamed(t *testing.T) {
	if why := trust.Renamed("SEP64A0E71502CC.cnf.xml.sgn", ""); why == "" {
		t.Error("a file without FILENAME passes for the one that was asked for")
	}
	for name, want := range map[string]string{
		"SEP64A0E71502CC.cnf.xml":        "SEP64A0E71502CC",
		"ITLSEP64a0e71502cc.tlv":         "SEP64A0E71502CC",
		"SEPSEP64A0E71502CC":             "SEP64A0E71502CC",
		"XMLDefault.cnf.xml":             "",
		"SEP64A0E71502C":                 "",
		"SEP64A0E71502CG.cnf.xml":        "",
		strings.Repeat("SEP", 20) + "64": "",
		"":                               "",
	} {
		if got := trust.Device(name); got != want {
			t.Errorf("Device(%q) = %q, want %q", name, got, want)
		}
	}
}

// The question has the signer's certificate where a list has it, and none else.
func TestQuestionHasTheCertificate(t *testing.T) {
	w := newWorld(t)
	state := trust.State{ITL: w.itl, Servers: 1}
	next := w.list(t, trustlist.ITL, w.next, w.next)
	for _, c := range []struct {
		name string
		file trust.Candidate
		want []byte
	}{
		{"a list that holds its signer", itl(next), w.next.Certificate.Raw},
		{"a list that does not", itl(w.list(t, trustlist.ITL, w.call, w.next)), nil},
		{"a signed file, no list has the signer", sgn(t, w.next), nil},
		{"a signed file, a held list has the signer in another role", sgn(t, w.recovery), w.recovery.Certificate.Raw},
	} {
		v := trust.Decide(state, c.file)
		if v.Question == nil || string(v.Question.Certificate) != string(c.want) {
			t.Errorf("%s: question %v, want a certificate of %d bytes", c.name, v.Question, len(c.want))
		}
	}
}

// An answer to another question settles nothing, and neither does one that nobody
// waits for.
func TestAnsweredElsewhere(t *testing.T) {
	w := newWorld(t)
	state := trust.State{ITL: w.itl, Servers: 1}
	asked := trust.Decide(state, itl(w.list(t, trustlist.ITL, w.next, w.next)))
	if v := asked.Answered(state, about(w.stranger, trustlist.SAST)); v.Accepted || v.Question == nil {
		t.Errorf("an answer about a stranger: accepted %v, question %v", v.Accepted, v.Question)
	}
	final := trust.Decide(trust.State{ITL: w.itl}, itl(w.list(t, trustlist.ITL, w.next, w.next)))
	if v := final.Answered(state, about(w.next, trustlist.SAST)); v.Accepted || v.Reason != final.Reason {
		t.Errorf("a final verdict changed: accepted %v, %v", v.Accepted, v.Reason)
	}
}

// Only a phone that holds a list can be locked.
func TestSummary(t *testing.T) {
	for _, c := range []struct {
		reason trust.Reason
		lists  bool
		want   string
	}{
		{trust.Accepted, true, "SEP trusts its cluster"},
		{trust.Accepted, false, "SEP works without trust lists"},
		{trust.UnknownSigner, true, "SEP is locked: unknown-signer"},
		{trust.UnknownSigner, false, "SEP holds no trust list and does not accept what it is served: unknown-signer"},
		{trust.HeldDamaged, true, "SEP is locked: held-damaged"},
		{trust.NotFound, false, "SEP gets nothing: not-found"},
	} {
		if got := trust.Summary("SEP", c.reason, c.lists); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v, lists %v: %q, want %q", c.reason, c.lists, got, c.want)
		}
	}
}

// What comes from the network cannot steer the terminal that a verdict is printed on.
func TestDescribeIsPrintable(t *testing.T) {
	v := trust.Verdict{
		File:     &trustlist.File{Header: trustlist.Header{Signer: trustlist.Signer{Name: []byte("CN=\x1b[2J\u202e")}}},
		Steps:    []trust.Step{{Where: "tvs", Result: trust.TVSInvalid, Detail: "host\x1b[31m\rx\ny"}},
		Warnings: []string{"\u009bx"},
	}
	for _, line := range v.Describe("\x1b]0;name") {
		if strings.ContainsAny(line, "\x1b\r\n\u009b\u202e") {
			t.Errorf("%q steers a terminal", line)
		}
	}
}
