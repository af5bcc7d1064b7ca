package profile

import (
	"strings"
	"testing"
)

// What is accepted as a profile passes its own check, and an error is one line.
func FuzzProfile(f *testing.F) {
	f.Add([]byte("name: x\nrelease: \"14\"\nnodes: [{name: a, domain: b.c, role: publisher, ports: {http: 1}}]\nphones: [{mac: 64A0E71502CC, model: CP-7965G}]\n"))
	f.Add([]byte("release: 8.6\nnodes: [{name: a, domain: b}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
	})
}
