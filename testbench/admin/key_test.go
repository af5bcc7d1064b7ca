package admin_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"itlagent/testbench/admin"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
	"itlagent/testbench/sftpd"
)

// A saved key is named before it signs: one of the list that is served signs as in the
// CUCM 10.0 note, one of an earlier list is shown, and one that no list ever had is used
// only when its name is typed.
func TestSavedKeyIsNamed(t *testing.T) {
	c := newCluster(t, "note")
	pub, dir := c.Publisher(), t.TempDir()
	now := c.Now()
	write := func(name string, key any, cert *x509.Certificate) {
		t.Helper()
		data, err := pkcs12.Modern.Encode(key, cert, nil, c.State().SecurityPassword)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	made := func(name, cn string, bits int, from time.Time) {
		t.Helper()
		id, err := pki.New(pki.Request{Subject: pki.Name{CN: cn}, Bits: bits, From: from, Usage: pki.Recovery})
		if err != nil {
			t.Fatal(err)
		}
		write(name, id.Key, id.Certificate)
	}
	made("stranger.p12", "evil.example", 2048, now)
	made("short.p12", "short.example", 1024, now)
	made("nameless.p12", "", 2048, now)
	made("expired.p12", "of 2003", 2048, now.AddDate(-11, 0, 0))
	made("future.p12", "of the future", 2048, now.AddDate(19, 0, 0))
	for name, key := range map[string]func() (any, any){
		"ec.p12":      func() (any, any) { k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); return k, k.Public() },
		"ed25519.p12": func() (any, any) { p, k, _ := ed25519.GenerateKey(rand.Reader); return k, p },
	} {
		private, public := key()
		spec := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "x"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, spec, spec, public, private)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		write(name, private, cert)
	}
	if err := os.WriteFile(filepath.Join(dir, "own.p12"), pub.State().RecoveryP12(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, host, port := startSFTP(t, sftpd.Options{Dir: dir})
	reset := func(file string, answers ...string) (string, int) {
		return run(pub, "utils itl reset remotekey "+net.JoinHostPort(host, port)+" joemar2 "+file, append([]string{"sftp-password"}, answers...)...)
	}
	if out, code := reset("own.p12", "yes", adminPassword); code != admin.Done || strings.Contains(out, "The file has") {
		t.Fatalf("the key of the list that is served: %d\n%s", code, out)
	}
	for _, c2 := range []struct {
		file    string
		answers []string
		want    string
	}{
		{"stranger.p12", []string{""}, `The file has the key of "evil.example"`},
		{"stranger.p12", []string{"y"}, "Phones that have reported such a list: 0."},
		{"stranger.p12", []string{"evil.example.com"}, "phones will refuse what it signs"},
		{"stranger.p12", nil, "RSA 2048 bits, valid from"},
		{"nameless.p12", []string{""}, "it has no name to confirm it by"},
		{"short.p12", []string{"y"}, "RSA 1024 bits"},
		{"expired.p12", []string{"yes"}, "It is not valid now"},
		{"future.p12", []string{"yes"}, "It is not valid now"},
		{"ec.p12", []string{"x"}, "an EC key (P-256)"},
		{"ed25519.p12", []string{"x"}, "an Ed25519 key"},
	} {
		before := state(t, c)
		out, code := reset(c2.file, append(c2.answers, adminPassword)...)
		if code != admin.Failed || !strings.Contains(out, c2.want) || !strings.Contains(out, "Nothing was changed.") {
			t.Errorf("%s, %q: code %d, want %q in:\n%s", c2.file, c2.answers, code, c2.want, out)
		}
		if after := state(t, c); after != before {
			t.Errorf("%s, %q: the state has changed", c2.file, c2.answers)
		}
	}
	// One of an earlier list is what the command is for: it is shown, and signs.
	if err := c.Apply(operation.Advance(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(operation.Regenerate(pub.Name(), profile.ITLRecovery)); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		if err := c.Apply(operation.RestartTFTP(n.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := reset("own.p12", adminPassword); code != admin.Done || !strings.Contains(out, "A list that is served has it: no.") {
		t.Errorf("the key of an earlier list: %d\n%s", code, out)
	}
	// On purpose, by name.
	if out, code := reset("stranger.p12", "evil.example", adminPassword); code != admin.Done {
		t.Errorf("by name: %d\n%s", code, out)
	}
	// A shorter one than the CallManager's signs nothing, whoever confirms it.
	for _, o := range []operation.Operation{operation.Advance(time.Hour), operation.SetKeyBits(2048), operation.Regenerate(pub.Name(), profile.CallManager)} {
		if err := c.Apply(o); err != nil {
			t.Fatal(err)
		}
	}
	before := state(t, c)
	if out, code := reset("short.p12", "short.example", adminPassword); code != admin.Failed || !strings.Contains(out, "shorter than the CallManager key") || state(t, c) != before {
		t.Errorf("a short key by name: %d\n%s", code, out)
	}
}
