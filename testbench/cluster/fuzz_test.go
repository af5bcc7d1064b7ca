package cluster

import (
	"bytes"
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

// A file that would keep the machine busy for hours is refused at once.
func TestP12Rounds(t *testing.T) {
	c, err := New(Note(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p12 := c.Publisher().RecoveryP12()
	if n := mostRounds(p12, 0); n != 2048 {
		t.Errorf("%d rounds, want 2048", n)
	}
	for _, der := range [][]byte{{2, 4, 0x7f, 0xff, 0xff, 0xff}, {0x30, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff}, {0x04, 8, 0x30, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff}, append([]byte{2, 20}, bytes.Repeat([]byte{0x7f}, 20)...)} {
		if n := mostRounds(der, 0); n < 1<<31-1 {
			t.Errorf("%x: %d rounds", der, n)
		}
		if _, err := c.OpenP12(der); err == nil || !strings.Contains(err.Error(), "rounds") {
			t.Errorf("%x: %v", der, err)
		}
	}
	if _, err := c.OpenP12(p12); err != nil {
		t.Error(err)
	}
}
