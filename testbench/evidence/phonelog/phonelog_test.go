package phonelog_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/testbench/evidence/phonelog"
)

// Each line of the public traces and catalogues is read as what it means, and quoted.
func TestLines(t *testing.T) {
	for _, row := range []struct {
		line   string
		reason trust.Reason
		step   string
		fault  bool
	}{
		{"[8:52:30am 10/01/19] Trust List update failed", trust.UnknownSigner, "lists", true},
		{"1:33:26a TRUST LIST UPDATE FAILED", trust.UnknownSigner, "lists", true},
		{"16:04:06, 04/05/2018 : invalid file SEP64A0E71502CC.cnf.xml.sgn, authenticated fail. Reason:14.", trust.UnknownSigner, "configuration", true},
		{"12:00:01a TFTP Error : SEPB8BEBF9D2061.cnf.xml.sgn", trust.DownloadFailed, "configuration", true},
		{"1234: ERR 12:00:01.1 SECD: EROR:clpState: SSL3 alert read:fatal:handshake failure:<192.168.136.6>", trust.TVSUntrusted, "TVS", true},
		{"1234: ERR 12:00:01.1 SECD: EROR:clpSetupSsl: ** SSL handshake failed, <192.168.136.6> c:14 s:15", trust.TVSUntrusted, "TVS", true},
		{"2345 ERR Mar 09 18:32:40.1 SECUREAPP-connect failed errcode 19", trust.TVSUnreachable, "TVS", true},
		{"2345 NOT Mar 09 18:32:40.1 SECUREAPP-SSL session setup Cert Verification - returning validation result = 0", trust.TVSUntrusted, "TVS", true},
		{"SECD: -Authentication Response received, status : 1", trust.TVSInvalid, "TVS", true},
		{"SECD: -Authentication Response received, status : 0", trust.Accepted, "TVS", false},
		{"2345 NOT Mar 09 18:32:40.1 SECUREAPP-TL file verified successfully.", trust.Accepted, "lists", false},
		{"[8:52:30am 10/01/19] ITL installed", trust.Accepted, "lists", false},
		{"SECD: WARN:lookupCTL: ** no CTL, assume TFTP NONSECURE", trust.NotFound, "lists", true},
	} {
		log, err := phonelog.Read(strings.NewReader("first line\r\n"+row.line+"\r\nlast"), nil)
		if err != nil || log.Lines != 3 || len(log.Findings) != 1 {
			t.Fatalf("%q: %+v, %v", row.line, log, err)
		}
		f := log.Findings[0]
		if f.Reason != row.reason || f.Step != row.step || f.Fault != row.fault || f.Count != 1 || len(f.Quotes) != 1 || f.Quotes[0] != (phonelog.Quote{Line: 2, Text: row.line}) {
			t.Errorf("%q: %+v", row.line, f)
		}
	}
}

// The fault that counts is the most exact one, and none that was healed later.
func TestFault(t *testing.T) {
	read := func(lines ...string) *phonelog.Finding {
		log, err := phonelog.Read(strings.NewReader(strings.Join(lines, "\n")), nil)
		if err != nil {
			t.Fatal(err)
		}
		return log.Fault()
	}
	failed, tls := "Trust List update failed", "SECD: EROR:clpSetupSsl: ** SSL handshake failed"
	if f := read(tls, failed); f == nil || f.Reason != trust.TVSUntrusted {
		t.Errorf("%+v", f)
	}
	if f := read(failed); f == nil || f.Reason != trust.UnknownSigner {
		t.Errorf("%+v", f)
	}
	if f := read(tls, failed, "Trust List updated"); f != nil {
		t.Errorf("healed: %+v", f)
	}
	if f := read("nothing"); f != nil {
		t.Errorf("%+v", f)
	}
}

// A long log is read in constant memory: of a finding some lines are kept, with the last one.
func TestLongLog(t *testing.T) {
	var b bytes.Buffer
	const lines = 100_000
	for i := range lines {
		fmt.Fprintf(&b, "%d Trust List update failed %s\n", i, strings.Repeat("x", i%200))
	}
	b.WriteString(strings.Repeat("y", 1<<20) + "\n")
	total := 0
	log, err := phonelog.Read(bytes.NewReader(b.Bytes()), func(n int) { total += n })
	if err != nil || log.Lines != lines+1 || total != b.Len() || len(log.Findings) != 1 {
		t.Fatalf("%d lines, %d bytes of %d, %v", log.Lines, total, b.Len(), err)
	}
	f := log.Findings[0]
	if f.Count != lines || len(f.Quotes) != phonelog.MaxQuotes || f.Quotes[phonelog.MaxQuotes-1].Line != lines {
		t.Errorf("%d lines, %d quotes, the last of line %d", f.Count, len(f.Quotes), f.Quotes[len(f.Quotes)-1].Line)
	}
}

// Nothing of a log reaches a terminal raw.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x1b[31mTrust List update failed\u202e\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := phonelog.Read(bytes.NewReader(data), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range log.Findings {
			for _, q := range f.Quotes {
				if strings.ContainsAny(q.Text, "\x1b\u202e\n") {
					t.Fatalf("%q", q.Text)
				}
			}
		}
	})
}
