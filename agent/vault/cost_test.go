package vault_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"itlagent/agent/vault"
	"itlagent/platform/flash/flashtest"
)

func TestMessages(t *testing.T) {
	d := small.device(t)
	v := open(t, d)
	at := time.Unix(1_700_000_000, 0)
	say := func(text string) {
		t.Helper()
		if err := v.Append(at, text); err != nil {
			t.Fatal(err)
		}
		at = at.Add(2 * time.Minute)
	}
	say("ITL installed")
	for range 50 {
		say("Trust List Update Failed")
	}
	say("Trust List updated")
	for _, v := range []*vault.Vault{v, open(t, d)} {
		m := v.Messages()
		if len(m) != 3 || m[0].Text != "ITL installed" || m[2].Text != "Trust List updated" {
			t.Fatalf("messages %v", m)
		}
	}
	if m := v.Messages()[1]; m.Count != 50 || m.Last.Sub(m.Time) != 98*time.Minute {
		t.Errorf("50 equal messages in 98 minutes: %+v", m)
	}
	if m := open(t, d).Messages()[1]; m.Count < 25 || m.Count > 50 {
		t.Errorf("in flash: %+v", m)
	}
	// A storm of messages does not reach the flash.
	programs := d.Stats.Programmed
	for i := range 5000 {
		if err := v.Append(at, fmt.Sprintf("message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.Stats.Programmed - programs; n > 128*400 {
		t.Errorf("5,000 messages in an instant programmed %d bytes", n)
	}
	m := v.Messages()
	if len(m) < 10 || m[len(m)-1].Text != "message 4999" {
		t.Errorf("%d messages, last %v", len(m), m[len(m)-1])
	}
}

func TestCutMessages(t *testing.T) {
	b := newBed(t, small, updates(30))
	d := b.d.Clone()
	for i := range 40 {
		st := step{n: 1000 + i}
		ops := b.opsOf(t, st)
		for op := 1; op <= ops; op++ {
			for _, k := range flashtest.Cuts() {
				b.cut(t, d, st, flashtest.Fault{Op: op, Kind: k, Seed: uint64(i)}, false)
				count("P8 cut messages", 1)
			}
		}
		b.step(t, st)
	}
}

func TestCost(t *testing.T) {
	for _, c := range []struct {
		name string
		lead []step
		most float64
	}{{"lists alone", nil, 1.3}, {"beside configuration, settings and messages", updates(60), 1.5}} {
		d := small.device(t)
		v := open(t, d)
		for _, st := range c.lead {
			if err := st.run(v); err != nil {
				t.Fatal(err)
			}
		}
		before, payload := d.Stats.Programmed, 0
		for i := range 60 {
			if err := v.Put("itl", value("itl", i, 5302)); err != nil {
				t.Fatal(err)
			}
			payload += 5302
		}
		ratio := float64(d.Stats.Programmed-before) / float64(payload)
		if t.Logf("%s: %.3f bytes programmed for each byte of a list", c.name, ratio); ratio > c.most {
			t.Errorf("%s: %.3f bytes programmed for each byte of a list, want at most %.1f", c.name, ratio, c.most)
		}
		m := d.Clone()
		open(t, m)
		reads := float64(m.Stats.Read) / float64(small.Size)
		if t.Logf("%s: a mount read each byte %.2f times", c.name, reads); reads > 2 {
			t.Errorf("%s: a mount read each byte %.2f times, want at most 2", c.name, reads)
		}
	}
}

func TestMemory(t *testing.T) {
	for _, g := range []geometry{small, nor(16, 64<<10, 1), nor(24, 4<<10, 256)} {
		d := g.device(t)
		v := open(t, d)
		for i := range 1500 { // as many small records as there can be
			if err := v.Put("settings", value("settings", i, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.Put("itl", value("itl", 1, 5302)); err != nil {
			t.Fatal(err)
		}
		var before, mounted, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		v = open(t, d)
		runtime.ReadMemStats(&mounted)
		runtime.GC()
		runtime.ReadMemStats(&after)
		peak, held := int(mounted.TotalAlloc-before.TotalAlloc), int(after.HeapAlloc)-int(before.HeapAlloc)
		t.Logf("%v: %d bytes while mounting, %d held", g, peak, held)
		if peak > 2*g.Size {
			t.Errorf("%v: %d bytes while mounting a partition of %d", g, peak, g.Size)
		}
		if held > g.Size/10+8<<10 {
			t.Errorf("%v: %d bytes held of a partition of %d", g, held, g.Size)
		}
		runtime.KeepAlive(v)
	}
}
