package p12

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

const password = "security"

// saved returns a key and its file.
func saved(t testing.TB) (*pki.Identity, []byte) {
	t.Helper()
	id := pkitest.Identity(t, "ITLRECOVERY_pub", 0)
	file, err := Encode(id, password)
	if err != nil {
		t.Fatal(err)
	}
	return id, file
}

// Only the file that was written opens, and gives its own key.
func FuzzOpen(f *testing.F) {
	_, file := saved(f)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Open(data, password)
		if err == nil && (got.Certificate == nil || got.Fits() != nil) {
			t.Fatal("a key that is not the certificate's")
		}
	})
}

// A file that would keep the machine busy for hours is refused at once, wherever the
// number stands that the library would take for an iteration count.
func TestIterations(t *testing.T) {
	id, file := saved(t)
	if n := iterations(file, 0); n != 2048 {
		t.Errorf("an iteration count of %d, want 2048", n)
	}
	if _, err := Open(file, password); err != nil {
		t.Error(err)
	}
	const many = MaxIterations + 1
	for _, enc := range []*pkcs12.Encoder{pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026} {
		file, err := enc.WithIterations(many).Encode(id.Key, id.Certificate, nil, password)
		if err != nil {
			t.Fatal(err)
		}
		if n := iterations(file, 0); n != many {
			t.Errorf("an iteration count of %d, want %d", n, many)
		}
		if _, err := Open(file, password); err == nil || !strings.Contains(err.Error(), "iteration count") {
			t.Errorf("%v", err)
		}
	}
	// The same number in content of the type data, as that of a shrouded key stands.
	content, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"tag:0,explicit"`
	}{oidData, []byte{0x30, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff}})
	if err != nil {
		t.Fatal(err)
	}
	for _, der := range [][]byte{{2, 4, 0x7f, 0xff, 0xff, 0xff}, {0x30, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff}, content, append([]byte{2, 20}, bytes.Repeat([]byte{0x7f}, 20)...)} {
		if n := iterations(der, 0); n < 1<<31-1 {
			t.Errorf("%x: an iteration count of %d", der, n)
		}
		if _, err := Open(der, password); err == nil || !strings.Contains(err.Error(), "iteration count") {
			t.Errorf("%x: %v", der, err)
		}
	}
}

// What is random in a file is never taken for an iteration count: files of the cluster open
// whatever their salts, digests and ciphertexts look like.
func TestRandomBytes(t *testing.T) {
	id, _ := saved(t)
	number := []byte{2, 4, 0x7f, 0xff, 0xff, 0xff} // as an INTEGER of DER
	enc := pkcs12.LegacyDES.WithRand(bytes.NewReader(bytes.Repeat(number, 1000)))
	file, err := enc.Encode(id.Key, id.Certificate, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, number) {
		t.Fatal("no salt that looks like a number")
	}
	if got, err := Open(file, password); err != nil || !got.Certificate.Equal(id.Certificate) {
		t.Error(err)
	}
	// Nobody chooses ciphertexts and digests; some of so many look like numbers.
	for range 1500 {
		file, err := pkcs12.LegacyDES.WithIterations(1).Encode(id.Key, id.Certificate, nil, password)
		if err != nil {
			t.Fatal(err)
		}
		if n := iterations(file, 0); n != 3 { // the version
			t.Fatalf("an iteration count of %d in %x", n, file)
		}
	}
}

// A trust store is opened within the same limits.
func TestTrustStore(t *testing.T) {
	cert := pkitest.Identity(t, "call.example.lab", 0).Certificate
	good, err := EncodeTrustStore([]*x509.Certificate{cert}, DefaultPassword)
	if err != nil {
		t.Fatal(err)
	}
	if certs, err := OpenTrustStore(good, DefaultPassword); err != nil || len(certs) != 1 || !certs[0].Equal(cert) {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	if _, err := OpenTrustStore(good, "another"); !errors.Is(err, ErrPassword) {
		t.Errorf("another password: %v, want %v", err, ErrPassword)
	}
	many, err := pkcs12.Modern.WithIterations(MaxIterations+1).EncodeTrustStore([]*x509.Certificate{cert}, DefaultPassword)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"iterations": many, "size": make([]byte, MaxSize+1)} {
		if _, err := OpenTrustStore(data, DefaultPassword); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: a trust store: %v, want %v", name, err, ErrLimit)
		}
		if _, err := Open(data, DefaultPassword); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: a key: %v, want %v", name, err, ErrLimit)
		}
	}
}
