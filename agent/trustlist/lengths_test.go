package trustlist_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// lengths is testdata/show-itl-lengths.json: what a real cluster printed.
type lengths struct {
	Before, AfterReset struct {
		Length, HeaderLength, SignerID, SignerName, Signature, FileName, TimeStamp, Padding int
	}
	Records []struct {
		Function                                   string
		RecordLength, DNSName, SubjectName         int
		IssuerName, SerialNumber, PublicKey        int
		Signature, Certificate, CertHash, HashAlgo int
	}
}

// A list in the layout of the note has the lengths of the note, before and after
// its signature is replaced.
func TestLengthsOfTheNote(t *testing.T) {
	raw, err := os.ReadFile("testdata/show-itl-lengths.json")
	if err != nil {
		t.Fatal(err)
	}
	var want lengths
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	call := pkitest.Identity(t, "test10pub.joemar2.lab", pki.Service)
	recovery := pkitest.Identity(t, "ITLRECOVERY_test10pub.joe2.lab", pki.Recovery)
	big := pkitest.Make(t, pki.Request{Subject: pkitest.Name("test10sub.joemar2.lab"), Bits: 2048})
	before := pkitest.ITL(t, call,
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: call.Certificate},
		trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: call.Certificate},
		trustlist.RecordSpec{Role: trustlist.CAPF, Certificate: pkitest.Identity(t, "CAPF-75638ad9", pki.Service).Certificate, Form: trustlist.Hashed},
		trustlist.RecordSpec{Role: trustlist.TVS, Certificate: pkitest.Identity(t, "test10pub.joemar2.lab", pki.Service).Certificate, Form: trustlist.Hashed},
		trustlist.RecordSpec{Role: trustlist.SAST, Certificate: recovery.Certificate},
		trustlist.RecordSpec{Role: trustlist.TVS, Certificate: big.Certificate, Form: trustlist.Hashed},
	)
	after, err := trustlist.Resign(before, time.Unix(1393409686, 0), recovery.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		file *trustlist.File
		want struct {
			Length, HeaderLength, SignerID, SignerName, Signature, FileName, TimeStamp, Padding int
		}
	}{{"before", before, want.Before}, {"after reset", pkitest.Parse(t, trustlist.ITL, after), want.AfterReset}} {
		l := c.file.HeaderLengths()
		for _, x := range []struct {
			what      string
			got, want int
		}{
			{"length", len(c.file.Bytes()), c.want.Length},
			{"headerLength", c.file.Length, c.want.HeaderLength},
			{"signerId", l.SignerID, c.want.SignerID},
			{"signerName", l.SignerName, c.want.SignerName},
			{"signature", len(c.file.Signature), c.want.Signature},
			{"fileName", l.FileName, c.want.FileName},
			{"timeStamp", l.Timestamp, c.want.TimeStamp},
			{"padding", c.file.Pad, c.want.Padding},
		} {
			if x.got != x.want {
				t.Errorf("%s: %s = %d, want %d", c.name, x.what, x.got, x.want)
			}
		}
		if i, err := c.file.CheckOwn(); err != nil {
			t.Errorf("%s: own signature: record %d, %v", c.name, i, err)
		}
		if len(c.file.Records) != len(want.Records) {
			t.Fatalf("%s: %d records, want %d", c.name, len(c.file.Records), len(want.Records))
		}
		for i, w := range want.Records {
			r := &c.file.Records[i]
			if r.Role().String() != w.Function || r.Length() != w.RecordLength {
				t.Errorf("%s record %d: %v, %d bytes; want %v, %d", c.name, i+1, r.Role(), r.Length(), w.Function, w.RecordLength)
			}
			for tag, n := range map[trustlist.Tag]int{
				trustlist.DNSName: w.DNSName, trustlist.SubjectName: w.SubjectName, trustlist.IssuerName: w.IssuerName,
				trustlist.SerialNumber: w.SerialNumber, trustlist.PublicKey: w.PublicKey, trustlist.Signature: w.Signature,
				trustlist.Certificate: w.Certificate, trustlist.CertHash: w.CertHash,
			} {
				if got := len(r.Value(tag)); got != n {
					t.Errorf("%s record %d: element %d is %d bytes, want %d", c.name, i+1, tag, got, n)
				}
			}
		}
	}
}
