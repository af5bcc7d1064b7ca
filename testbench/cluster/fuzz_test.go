package cluster

import (
	"strings"
	"testing"
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
