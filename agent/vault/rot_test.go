package vault_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash/flashtest"
)

func TestFlippedBits(t *testing.T) {
	// The lists at the end have carried everything else along.
	steps := updates(58)
	for i := range 14 {
		steps = append(steps, step{key: "itl", n: 58 + i, size: 5302})
	}
	b := newBed(t, small, steps)
	live := newest(t, b, steps)
	stride := effort(997, 61, 1)
	d := b.d.Clone()
	damaged := 0
	for bit := 0; bit < small.Size*8; bit += stride {
		d.CopyFrom(b.d)
		d.Flip(bit)
		v, err := vault.Open(d, options)
		if err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
		degraded := map[string]bool{}
		for _, key := range v.Health().Degraded {
			degraded[key] = true
		}
		damaged += len(degraded)
		for key, revs := range live {
			got, err := v.Get(key)
			switch {
			case !degraded[key] && string(got) != revs[0]:
				t.Fatalf("bit %d: %s is %.20q (%v), not the newest, and it is not reported", bit, key, got, err)
			case degraded[key] && revs[1] == deleted && !errors.Is(err, vault.ErrDamaged):
				t.Fatalf("bit %d: %s is %.20q (%v), and was deleted before: want %v", bit, key, got, err, vault.ErrDamaged)
			case degraded[key] && revs[1] != deleted && string(got) != revs[1]:
				t.Fatalf("bit %d: %s is %.20q (%v), want the revision before", bit, key, got, err)
			}
		}
		if diff := disagrees(d, v); diff != "" {
			t.Fatalf("bit %d: %s", bit, diff)
		}
		if len(degraded) > 1 {
			t.Fatalf("bit %d: %v degraded by one bit", bit, v.Health().Degraded)
		}
		count("P3 flipped bits", 1)
	}
	if damaged == 0 {
		t.Error("no flipped bit met the newest value of a key")
	}
}

// deleted stands for the value of a key that was deleted.
const deleted = "(deleted)"

func newest(t testing.TB, b bed, steps []step) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for i := len(steps) - 1; i >= 0; i-- {
		if st := steps[i]; st.key != "" && len(out[st.key]) < 2 {
			v := deleted
			if !st.delete {
				v = string(value(st.key, st.n, st.size))
			}
			out[st.key] = append(out[st.key], v)
		}
	}
	for key, revs := range out {
		if string(b.s.values[key]) != revs[0] {
			t.Fatalf("the updates end with %s deleted: choose another", key)
		}
	}
	return out
}

func TestImperfectMark(t *testing.T) {
	b := newBed(t, small, updates(58))
	key, mark := "settings", 0
	if err := open(t, b.d).Put(key, value(key, 999, 100)); err != nil {
		t.Fatal(err)
	}
	for at := 0; at+32 <= small.Size; at += 16 {
		if string(b.d.Bytes()[at:at+4]) == "ITLc" && bytes.HasPrefix(b.d.Bytes()[at+8:], []byte(key)) &&
			binary.BigEndian.Uint64(b.d.Bytes()[at+20:]) == open(t, b.d).Health().Sequence {
			mark = at
		}
	}
	d := b.d.Clone()
	d.Flip(mark*8 + 7)
	d.Inject(flashtest.Fault{})
	open(t, d)
	if d.Ops() == 0 {
		t.Fatal("nothing was written again")
	}
	for bit := 40; bit < 60; bit++ { // the old mark is gone for good
		d.Flip(mark*8 + bit)
	}
	d.Inject(flashtest.Fault{})
	v := open(t, d)
	if got, err := v.Get(key); err != nil || string(got) != string(value(key, 999, 100)) || len(v.Health().Degraded) != 0 {
		t.Errorf("%s is %.20q, %v; degraded %v", key, got, err, v.Health().Degraded)
	}
	if d.Ops() != 0 {
		t.Errorf("a sound vault was mounted with %d writes", d.Ops())
	}
}

func TestRotWhileOpen(t *testing.T) {
	b := newBed(t, small, updates(58))
	v := open(t, b.d)
	want := value("config", 56, 2100+7*56%900) // the newest, and the one before
	if string(b.s.values["config"]) != string(want) {
		t.Fatal("the updates have another configuration")
	}
	at := bytes.Index(b.d.Bytes(), want[:32])
	b.d.Flip((at + 20) * 8)
	last := b.s.messages[len(b.s.messages)-1]
	b.d.Flip(bytes.LastIndex(b.d.Bytes(), []byte(last)) * 8)
	for i := range 40 { // the ring turns
		if err := v.Put("itl", value("itl", 2000+i, 5302)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []*vault.Vault{v, open(t, b.d)} {
		got, err := v.Get("config")
		if err == nil && string(got) != string(value("config", 47, 2100+7*47%900)) || v.Health().Failures == 0 && !slices.Contains(v.Health().Degraded, "config") {
			t.Errorf("config is %.20q, %v; health %+v", got, err, v.Health())
		}
		for _, m := range v.Messages() {
			if !slices.Contains(b.s.messages, m.Text) {
				t.Errorf("message %q was never said", m.Text)
			}
		}
	}
}

func TestUnreadableBlock(t *testing.T) {
	b := newBed(t, small, updates(58))
	for i := range small.Blocks() {
		d := b.d.Clone()
		d.FailReads(i, true)
		v := open(t, d)
		degraded := map[string]bool{}
		for _, key := range v.Health().Degraded {
			degraded[key] = true
		}
		for key, want := range b.s.values {
			if got, err := v.Get(key); !degraded[key] && (err != nil || string(got) != string(want)) {
				t.Errorf("block %d unreadable: %s is %.20q, %v, and not reported", i, key, got, err)
			}
		}
		if v.Health().Failures == 0 {
			t.Errorf("block %d unreadable: no failure counted", i)
		}
	}
}
