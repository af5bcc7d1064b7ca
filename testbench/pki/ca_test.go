package pki_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// authorities returns a root CA, and one below it.
func authorities(t *testing.T) (root, issuing *pki.Identity) {
	t.Helper()
	root = pkitest.Make(t, pki.Request{Subject: pkitest.Name("Root"), Bits: 1024, Usage: pki.Authority})
	return root, pkitest.Make(t, pki.Request{Subject: pkitest.Name("Issuing"), Bits: 1024, Usage: pki.Authority, Signer: root})
}

// A CA signs what a request asks for, and the chain is found among other certificates.
func TestIssue(t *testing.T) {
	root, issuing := authorities(t)
	for _, ec := range []bool{false, true} {
		csr, err := pki.NewCSR(pki.Request{Subject: pkitest.Name("pub"), Bits: 1024, EC: ec, Hosts: []string{"pub.example.lab", "sub.example.lab"}})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := issuing.Issue(csr.Request, pkitest.Time, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(cert.RawSubject, csr.Request.RawSubject) || !bytes.Equal(cert.RawIssuer, issuing.Certificate.RawSubject) ||
			!slices.Equal(cert.DNSNames, csr.Request.DNSNames) || !csr.Fits(cert) || csr.Fits(root.Certificate) {
			t.Errorf("certificate of %v for %v by %v, names %v", cert.PublicKeyAlgorithm, cert.Subject, cert.Issuer, cert.DNSNames)
		}
		if want := pkitest.Time.AddDate(5, 0, 0); !cert.NotBefore.Equal(pkitest.Time) || !cert.NotAfter.Equal(want) {
			t.Errorf("valid from %v to %v", cert.NotBefore, cert.NotAfter)
		}
		roots := x509.NewCertPool()
		roots.AddCert(root.Certificate)
		between := x509.NewCertPool()
		between.AddCert(issuing.Certificate)
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: pkitest.Time, DNSName: "sub.example.lab"}); err != nil {
			t.Error(err)
		}
		stranger := pkitest.Identity(t, "Issuing", pki.Service).Certificate
		chain, err := pki.Chain(cert, []*x509.Certificate{stranger, root.Certificate, issuing.Certificate})
		if err != nil || len(chain) != 2 || !chain[0].Equal(issuing.Certificate) || !chain[1].Equal(root.Certificate) {
			t.Errorf("chain of %d certificates, %v", len(chain), err)
		}
		for missing, among := range map[string][]*x509.Certificate{"CN=Root;": {stranger, issuing.Certificate}, "CN=Issuing;": {stranger, root.Certificate}} {
			if _, err := pki.Chain(cert, among); !errors.Is(err, pki.ErrNoIssuer) || !strings.Contains(err.Error(), missing) {
				t.Errorf("without %s: %v", missing, err)
			}
		}
	}
	if _, err := pkitest.Identity(t, "pub", pki.Service).Issue(new(x509.CertificateRequest), pkitest.Time, 0); !errors.Is(err, pki.ErrNoCA) {
		t.Errorf("a certificate that is not a CA's signs: %v", err)
	}
}

// A request for more than a server's certificate does not make a CA.
func TestIssueNoCA(t *testing.T) {
	root, _ := authorities(t)
	key := pkitest.Identity(t, "pub", pki.Service).Key
	usage, err := asn1.Marshal(asn1.BitString{Bytes: []byte{0x06}, BitLength: 7}) // keyCertSign, cRLSign
	if err != nil {
		t.Fatal(err)
	}
	ca, err := asn1.Marshal(struct{ CA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "pub"}, ExtraExtensions: []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: usage}, {Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: ca}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := root.Issue(request, pkitest.Time, 0)
	if err != nil {
		t.Fatal(err)
	}
	if cert.IsCA || cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		t.Errorf("CA %v, key usage %b", cert.IsCA, cert.KeyUsage)
	}
}

// What is written of an identity and of a request is read again, with the chain, and
// without certificates that are not of it.
func TestChainText(t *testing.T) {
	root, issuing := authorities(t)
	id := pkitest.Make(t, pki.Request{Subject: pkitest.Name("pub"), Bits: 1024, Signer: issuing})
	text, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	var back pki.Identity
	if err := json.Unmarshal(text, &back); err != nil || len(back.Chain) != 2 || !back.Chain[1].Equal(root.Certificate) || back.Fits() != nil {
		t.Errorf("chain of %d certificates, %v", len(back.Chain), err)
	}
	if shown := back.TLS().Certificate; len(shown) != 3 || !bytes.Equal(shown[1], issuing.Certificate.Raw) {
		t.Errorf("a server presents %d certificates", len(shown))
	}
	own, err := id.PEM(false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pkitest.Identity(t, "other", pki.Service).PEM(false)
	if err != nil {
		t.Fatal(err)
	}
	first := own[:bytes.Index(own[1:], []byte("-----BEGIN"))+1]
	if read, err := pki.Load(slices.Concat(first, other, own[len(first):])); err != nil || len(read.Chain) != 2 {
		t.Errorf("with a stranger's certificate between: chain of %d, %v", len(read.Chain), err)
	}
	csr, err := pki.NewCSR(pki.Request{Subject: pkitest.Name("pub"), Bits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(csr); err != nil {
		t.Fatal(err)
	}
	var again pki.CSR
	if err := json.Unmarshal(text, &again); err != nil || !bytes.Equal(again.Request.Raw, csr.Request.Raw) {
		t.Errorf("request: %v", err)
	}
	mixed, err := id.PEM(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.UnmarshalText(append(csr.PEM(), mixed[bytes.Index(mixed, []byte("-----BEGIN PRIVATE")):]...)); err == nil {
		t.Error("a request with a key that is not its own is read")
	}
}

// Requests that are none, or that are not signed with their key, are errors.
func TestParseCSR(t *testing.T) {
	csr, err := pki.NewCSR(pki.Request{Subject: pkitest.Name("pub"), Bits: 1024})
	if err != nil {
		t.Fatal(err)
	}
	good := string(csr.PEM())
	if _, err := pki.ParseCSR([]byte(good)); err != nil {
		t.Error(err)
	}
	tampered := []byte(good)
	at := len(good) / 2
	tampered[at] = map[bool]byte{true: 'B', false: 'A'}[tampered[at] == 'A']
	for name, text := range map[string]string{"nothing": "", "a certificate": strings.ReplaceAll(good, " REQUEST", ""), "tampered": string(tampered),
		"large": "-----BEGIN CERTIFICATE REQUEST-----\n" + strings.Repeat("AAAA", pki.MaxDER/3+1) + "\n-----END CERTIFICATE REQUEST-----\n"} {
		if _, err := pki.ParseCSR([]byte(text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// A request, or a chain of certificates, in PEM form from anybody: nothing panics, and what
// is read is what was signed.
func FuzzPEM(f *testing.F) {
	ca, err := pki.New(pki.Request{Subject: pki.Name{CN: "CA"}, EC: true, Usage: pki.Authority, From: pkitest.Time})
	if err != nil {
		f.Fatal(err)
	}
	csr, err := pki.NewCSR(pki.Request{Subject: pki.Name{CN: "pub"}, EC: true, Hosts: []string{"pub"}})
	if err != nil {
		f.Fatal(err)
	}
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: "pub"}, EC: true, Signer: ca, From: pkitest.Time})
	if err != nil {
		f.Fatal(err)
	}
	text, err := id.PEM(true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(csr.PEM())
	f.Fuzz(func(t *testing.T, data []byte) {
		if id, err := pki.Load(data); err == nil {
			for last := id.Certificate; len(id.Chain) > 0; id.Chain = id.Chain[1:] {
				if err := last.CheckSignatureFrom(id.Chain[0]); err != nil {
					t.Errorf("a chain that is none: %v", err)
				}
				last = id.Chain[0]
			}
		}
		request, err := pki.ParseCSR(data)
		if err != nil {
			return
		}
		cert, err := ca.Issue(request, pkitest.Time, 1)
		if err != nil {
			return
		}
		if cert.IsCA || cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 || cert.CheckSignatureFrom(ca.Certificate) != nil {
			t.Errorf("signed: CA %v, key usage %b", cert.IsCA, cert.KeyUsage)
		}
	})
}
