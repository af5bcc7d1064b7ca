package cluster

import (
	"bytes"
	"encoding/asn1"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"
)

// What is accepted as a profile passes its own check, and an error is one line.
func FuzzProfile(f *testing.F) {
	f.Add([]byte("name: x\nrelease: \"14\"\nnodes: [{name: a, domain: b.c, role: publisher, ports: {http: 1}}]\nphones: [{mac: 64A0E71502CC, model: CP-7965G}]\n"))
	f.Add([]byte("release: 8.6\nnodes: [{name: a, domain: b}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParseProfile(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		if err := p.check(); err != nil {
			t.Fatal(err)
		}
	})
}

// Only the file that was written opens, and gives its own key.
func FuzzP12(f *testing.F) {
	c, err := New(Note(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	p12 := c.Publisher().RecoveryP12()
	f.Add(p12)
	f.Add(p12[:len(p12)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		id, err := c.OpenP12(data)
		if err == nil && !id.Certificate.Equal(c.Recovery().Certificate) {
			t.Fatal("another key")
		}
	})
}

// A file that would keep the machine busy for hours is refused at once, wherever the
// number stands that the library would take for rounds.
func TestP12Rounds(t *testing.T) {
	c, err := New(Note(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p12 := c.Publisher().RecoveryP12()
	if n := mostRounds(p12, 0); n != 2048 {
		t.Errorf("%d rounds, want 2048", n)
	}
	if _, err := c.OpenP12(p12); err != nil {
		t.Error(err)
	}
	id, security := c.Recovery(), c.state().SecurityPassword
	const many = maxP12Rounds + 1
	for _, enc := range []*pkcs12.Encoder{pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026} {
		p12, err := enc.WithIterations(many).Encode(id.Key, id.Certificate, nil, security)
		if err != nil {
			t.Fatal(err)
		}
		if n := mostRounds(p12, 0); n != many {
			t.Errorf("%d rounds, want %d", n, many)
		}
		if _, err := c.OpenP12(p12); err == nil || !strings.Contains(err.Error(), "rounds") {
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
		if n := mostRounds(der, 0); n < 1<<31-1 {
			t.Errorf("%x: %d rounds", der, n)
		}
		if _, err := c.OpenP12(der); err == nil || !strings.Contains(err.Error(), "rounds") {
			t.Errorf("%x: %v", der, err)
		}
	}
}

// What is random in a file is never taken for rounds: files of the cluster open
// whatever their salts, digests and ciphertexts look like.
func TestP12RandomBytes(t *testing.T) {
	c, err := New(Note(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	id, security := c.Recovery(), c.state().SecurityPassword
	number := []byte{2, 4, 0x7f, 0xff, 0xff, 0xff} // as an INTEGER of DER
	enc := pkcs12.LegacyDES.WithRand(bytes.NewReader(bytes.Repeat(number, 1000)))
	p12, err := enc.Encode(id.Key, id.Certificate, nil, security)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(p12, number) {
		t.Fatal("no salt that looks like a number")
	}
	if got, err := c.OpenP12(p12); err != nil || !got.Certificate.Equal(id.Certificate) {
		t.Error(err)
	}
	// Nobody chooses ciphertexts and digests; some of so many look like numbers.
	for range 1500 {
		p12, err := pkcs12.LegacyDES.WithIterations(1).Encode(id.Key, id.Certificate, nil, security)
		if err != nil {
			t.Fatal(err)
		}
		if n := mostRounds(p12, 0); n != 3 { // the version
			t.Fatalf("%d rounds in %x", n, p12)
		}
	}
}
