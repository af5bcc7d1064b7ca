package admin_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// lines are those of a certificate in PEM form, as somebody pastes them.
func lines(der []byte) []string {
	return strings.Split(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), "\n")
}

// An administrator has a certificate signed: every command on the way says what it did,
// or what is wrong.
func TestSignedCertificate(t *testing.T) {
	c := newCluster(t, "note")
	pub := c.Publisher()
	if err := c.Apply(operation.Advance(time.Hour)); err != nil { // past pkitest.Time
		t.Fatal(err)
	}
	root := pkitest.Make(t, pki.Request{Subject: pki.Name{CN: "Root \x1b[2J"}, Bits: 1024, Usage: pki.Authority})
	ca := pkitest.Make(t, pki.Request{Subject: pki.Name{CN: "Issuing"}, Bits: 1024, Usage: pki.Authority, Signer: root})
	expect := func(n *cluster.Node, code int, want, line string, answers ...string) string {
		t.Helper()
		before := state(t, c)
		out, got := run(n, line, answers...)
		if got != code || !strings.Contains(out, want) || strings.Contains(out, "\x1b") {
			t.Errorf("%q: code %d, want %d with %q:\n%s", line, got, code, want, out)
		}
		if code != admin.Done && state(t, c) != before {
			t.Errorf("%q has changed the state", line)
		}
		return out
	}
	expect(pub, admin.Usage, "not a valid certificate name. There are: CallManager, TVS, CAPF, tomcat, ipsec", "set csr gen ITLRecovery")
	expect(pub, admin.Usage, "multi-server, or nothing", "set csr gen tomcat all")
	expect(pub, admin.Failed, "in release 10.0 every node has a certificate TVS of its own. Nothing was changed.", "set csr gen TVS multi-server")
	expect(pub, admin.Done, "No CSR is outstanding", "show csr list")
	expect(pub, admin.Failed, "there is no CSR for tomcat", "show csr own tomcat")
	expect(pub, admin.Failed, "there is no CSR for tomcat. Nothing was changed.", "set csr delete tomcat")
	expect(pub, admin.Failed, "there is no CSR for tomcat. Nothing was changed.", "set cert import own tomcat")

	expect(pub, admin.Done, "Successfully Generated CSR for tomcat", "set csr gen Tomcat")
	first := expect(pub, admin.Done, "-----BEGIN CERTIFICATE REQUEST-----\n", "show csr own tomcat/tomcat.csr")
	expect(pub, admin.Failed, "Nothing was changed.", "set csr gen tomcat", "no")
	expect(pub, admin.Done, "WARNING: Generating a new CSR for tomcat will overwrite the existing CSR", "set csr gen tomcat", "yes")
	expect(pub, admin.Done, "Successfully Generated CSR for CallManager", "set csr gen CallManager multi-server")
	expect(pub, admin.Done, "CallManager/CallManager.csr: Multi-server(SAN)\ntomcat/tomcat.csr\n", "show csr list own")
	expect(c.Nodes()[1], admin.Done, "No CSR is outstanding", "show csr list")

	signed := func(text string) []string {
		t.Helper()
		csr, err := pki.ParseCSR([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := ca.Issue(csr, c.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return lines(cert.Raw)
	}
	tomcat := signed(expect(pub, admin.Done, "", "show csr own tomcat"))
	expect(pub, admin.Failed, "the public key of the certificate is not that of the CSR. Nothing was changed.", "set cert import own tomcat", signed(first)...)
	expect(pub, admin.Failed, "CA certificate is not available in the trust-store tomcat-trust: the certificate of its issuer is missing: CN=Issuing. Nothing", "set cert import own tomcat", tomcat...)
	expect(pub, admin.Done, "successful", "set cert import trust tomcat", lines(ca.Certificate.Raw)...)
	expect(pub, admin.Failed, "CA certificate is not available in the trust-store tomcat-trust", "set cert import own tomcat", tomcat...)
	expect(pub, admin.Done, "successful", "set cert import trust tomcat-trust", lines(root.Certificate.Raw)...)
	expect(pub, admin.Failed, "There is no certificate tomcat-trust/Nobody", "set cert import own tomcat tomcat-trust/Nobody", tomcat...)
	expect(pub, admin.Failed, "tomcat-trust/test10pub.joemar2.lab.pem has not signed this certificate", "set cert import own tomcat tomcat-trust/test10pub.joemar2.lab.pem", tomcat...)
	expect(pub, admin.Failed, "not a certificate in PEM form", "set cert import own tomcat", "rubbish")
	expect(pub, admin.Done, "Successfully imported certificate for tomcat.\nPlease restart services related to tomcat", "set cert import own tomcat tomcat-trust/Issuing.pem", tomcat...)
	expect(pub, admin.Done, "tomcat/tomcat.pem: Certificate Signed by Issuing\n", "show cert list own")

	call := signed(expect(pub, admin.Done, "", "show csr own CallManager"))
	for _, above := range []*pki.Identity{root, ca} {
		expect(pub, admin.Done, "successful", "set cert import trust CallManager", lines(above.Certificate.Raw)...)
	}
	expect(pub, admin.Failed, "tomcat certificate was modified in the last 5 minutes.", "set cert import own CallManager", call...)
	if out := expect(pub, admin.Done, "CallManager", "show csr list"); out != "CallManager/CallManager.csr: Multi-server(SAN)\n" {
		t.Errorf("CSRs:\n%s", out)
	}
}

// The key of a CSR is made on the node, and stays there: in a file of its owner alone.
func TestCSRKey(t *testing.T) {
	c := newCluster(t, "note")
	out, code := run(c.Publisher(), "set csr gen tomcat")
	shown, _ := run(c.Publisher(), "show csr own tomcat")
	if code != admin.Done || strings.Contains(out+shown, "PRIVATE") {
		t.Errorf("%d\n%s%s", code, out, shown)
	}
	info, err := os.Stat(filepath.Join(c.Dir(), "state.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
