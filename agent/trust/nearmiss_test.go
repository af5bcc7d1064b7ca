package trust_test

import (
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// A step says that a held record is nearly the signer only where it has the signer's own
// name: all that one CA has signed has that CA's name as issuer.
func TestNearMissNeedsTheName(t *testing.T) {
	ca := pkitest.Make(t, pki.Request{Subject: pki.Name{CN: "Example CA"}, Bits: 1024, Usage: pki.Authority})
	signed := func(cn string) *pki.Identity {
		return pkitest.Make(t, pki.Request{Subject: pkitest.Name(cn), Bits: 1024, Signer: ca})
	}
	self := func(cn string) *pki.Identity { return pkitest.Identity(t, cn, pki.Service) }
	for _, c := range []struct {
		name         string
		held, signer *pki.Identity
		want         string // of the step about the record; "" for none
	}{
		{"self-signed, regenerated", self("pub"), self("pub"), "the same name with another serial number, "},
		{"CA-signed, regenerated", signed("pub"), signed("pub"), "the same name with another serial number, "},
		{"two nodes of one CA", signed("pub"), signed("sub"), ""},
		{"self-signed, then CA-signed", self("pub"), signed("pub"), "the same name from another issuer, serial number "},
		{"another node", self("pub"), self("sub"), ""},
	} {
		list := func(id *pki.Identity) *trustlist.File {
			return pkitest.ITL(t, id, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate})
		}
		v := trust.Decide(trust.State{ITL: list(c.held)}, itl(list(c.signer)))
		if v.Reason != trust.UnknownSigner {
			t.Errorf("%s: %v", c.name, v.Reason)
		}
		got := ""
		for _, s := range v.Steps {
			if s.Record == 1 {
				got = s.Detail
			}
		}
		serial := trustlist.FormatSerial(c.held.Certificate.SerialNumber.Bytes())
		if c.want == "" && got != "" || c.want != "" && got != c.want+serial || strings.Contains(c.want, "issuer") != strings.Contains(got, "issuer") {
			t.Errorf("%s: step %q, want %q", c.name, got, c.want)
		}
	}
}
