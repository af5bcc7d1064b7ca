package pki_test

import (
	"crypto/rsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

func TestNew(t *testing.T) {
	from := time.Date(2014, 2, 26, 1, 2, 3, 4, time.UTC)
	for _, c := range []struct {
		name   string
		req    pki.Request
		length int // of the certificate; 0 where not known from a real one
		bits   int
	}{
		{"service", pki.Request{Subject: pkitest.Name("test10pub.joemar2.lab"), Bits: 1024}, 684, 1024},
		{"recovery", pki.Request{Subject: pkitest.Name("ITLRECOVERY_test10pub.joe2.lab"), Bits: 1024, Usage: pki.Recovery, Years: 20}, 692, 1024},
		{"EC", pki.Request{Subject: pkitest.Name("ec"), EC: true}, 0, 0},
	} {
		c.req.From = from
		id, err := pki.New(c.req)
		if err != nil {
			t.Fatal(err)
		}
		cert := id.Certificate
		if c.length != 0 && len(cert.Raw) != c.length {
			t.Errorf("%s: certificate of %d bytes, want %d", c.name, len(cert.Raw), c.length)
		}
		if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() != c.bits {
			t.Errorf("%s: %d bits, want %d", c.name, k.N.BitLen(), c.bits)
		}
		years := max(c.req.Years, 5)
		if c.req.Years == 0 {
			years = 5
		}
		if want := from.Truncate(time.Second); !cert.NotBefore.Equal(want) || !cert.NotAfter.Equal(want.AddDate(years, 0, 0)) {
			t.Errorf("%s: valid %v to %v", c.name, cert.NotBefore, cert.NotAfter)
		}
		if n := len(cert.SerialNumber.Bytes()); n != pki.SerialBytes {
			t.Errorf("%s: serial of %d bytes, want %d", c.name, n, pki.SerialBytes)
		}
	}
}

func TestFiles(t *testing.T) {
	id := pkitest.Identity(t, "pub", pki.Service)
	path := filepath.Join(t.TempDir(), "callmanager.pem")
	if err := id.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	back, err := pki.Load(data)
	if err != nil || !back.Certificate.Equal(id.Certificate) || !back.Key.Public().(*rsa.PublicKey).Equal(id.Key.Public()) {
		t.Errorf("read back: %v", err)
	}
	public, err := id.PEM(false)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := pki.Load(public); err != nil || back.Key != nil {
		t.Errorf("only the certificate: %v, key %v", err, back.Key)
	}
	for _, bad := range []string{"", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		string(public) + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := pki.Load([]byte(bad)); err == nil {
			t.Errorf("Load(%.30q) succeeded", bad)
		}
	}
}

func TestLookalike(t *testing.T) {
	id := pkitest.Identity(t, "pub", pki.Service)
	other, err := pki.Lookalike(id, 1024)
	if err != nil {
		t.Fatal(err)
	}
	a, b := id.Certificate, other.Certificate
	if a.SerialNumber.Cmp(b.SerialNumber) != 0 || string(a.RawSubject) != string(b.RawSubject) || string(a.RawIssuer) != string(b.RawIssuer) {
		t.Error("the look-alike has other names or another serial number")
	}
	if a.PublicKey.(*rsa.PublicKey).Equal(b.PublicKey) {
		t.Error("the look-alike has the same key")
	}
}

// Certificates have the form of CUCM's: the order of the name, the key usages, two
// purposes for CAPF, which makes it 10 bytes shorter.
func TestForm(t *testing.T) {
	service, capf := pkitest.Identity(t, "cucm-1051-a-pub", pki.Service).Certificate, pkitest.Identity(t, "cucm-1051-a-pub", pki.CAPF).Certificate
	var order []string
	for _, part := range service.Subject.Names {
		order = append(order, part.Type.String())
	}
	if got := strings.Join(order, " "); got != "2.5.4.6 2.5.4.10 2.5.4.11 2.5.4.3 2.5.4.8 2.5.4.7" { // C, O, OU, CN, ST, L
		t.Errorf("the name has %s", got)
	}
	const usage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign
	if service.KeyUsage != usage {
		t.Errorf("key usage %b, want %b", service.KeyUsage, usage)
	}
	if a, b := len(service.ExtKeyUsage), len(capf.ExtKeyUsage); a != 3 || b != 2 || len(service.Raw)-len(capf.Raw) != 10 {
		t.Errorf("%d and %d purposes, %d and %d bytes", a, b, len(service.Raw), len(capf.Raw))
	}
	if got := trustlist.FormatName(service.Subject); got != "CN=cucm-1051-a-pub;OU=tac;O=cisco;L=rtp;ST=nc;C=US" {
		t.Errorf("listed as %s", got)
	}
}
