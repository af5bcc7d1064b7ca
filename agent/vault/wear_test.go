package vault_test

import (
	"errors"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

func TestFailedOperations(t *testing.T) {
	for _, g := range []geometry{small, nor(24, 4<<10, 256), nor(3, 64<<10, 1), geometries()[16], geometries()[17]} {
		steps := updates(75)
		b := newBed(t, g, steps[:60])
		d := b.d.Clone()
		failed := 0
		for _, st := range steps[60:] {
			ops := b.opsOf(t, st)
			for op := 1; op <= ops; op += effort(7, 1, 1) {
				for _, k := range []flashtest.Kind{flashtest.Fail, flashtest.FailAfter, flashtest.FailOn} {
					d.CopyFrom(b.d)
					v := open(t, d)
					d.Inject(flashtest.Fault{Op: op, Kind: k, Seed: uint64(op)})
					err := st.run(v)
					want := b.s.after(st)
					if err != nil {
						var device *flash.Error
						if !errors.As(err, &device) || !errors.Is(err, flashtest.ErrInjected) {
							t.Fatalf("%v: %v, %v of operation %d: %v tells no place", g, st, k, op, err)
						}
						want = b.s
						if st.key == "" {
							want = b.s.after(st) // shown until the power goes
						}
						failed++
					}
					if diff := want.differs(v); diff != "" {
						t.Fatalf("%v: %v, %v of operation %d (%v): %s", g, st, k, op, err, diff)
					}
					if err == nil && d.Ops() >= op && v.Health().Failures == 0 && k != flashtest.FailAfter {
						t.Fatalf("%v: %v, %v of operation %d went unnoticed", g, st, k, op)
					}
					d.PowerOn()
					again := open(t, d)
					if b.s.differs(again) != "" && b.s.after(st).differs(again) != "" {
						t.Fatalf("%v: %v, %v of operation %d (%v): mounted again: neither old (%s) nor new (%s); health %+v", g, st, k, op, err, b.s.differs(again), b.s.after(st).differs(again), again.Health())
					}
					if err == nil && b.s.after(st).differs(again) != "" {
						t.Fatalf("%v: %v, %v of operation %d: acknowledged, then %s", g, st, k, op, b.s.after(st).differs(again))
					}
					count("P4 failed operations", 1)
				}
			}
			b.step(t, st)
		}
		if failed == 0 {
			t.Errorf("%v: no failure surfaced", g)
		}
	}
}

func TestIgnoredOperations(t *testing.T) {
	for _, g := range []geometry{small, nor(24, 4<<10, 32), geometries()[16]} {
		steps := updates(75)
		b := newBed(t, g, steps[:60])
		d := b.d.Clone()
		for _, st := range steps[60:] {
			ops := b.opsOf(t, st)
			for op := 1; op <= ops; op++ {
				d.CopyFrom(b.d)
				v := open(t, d)
				d.Inject(flashtest.Fault{Op: op, Kind: flashtest.Silent})
				err := st.run(v)
				if d.Ops() >= op && v.Health().Failures == 0 && !d.Harmless() {
					t.Fatalf("%v: %v: ignored operation %d went unnoticed (%v)", g, st, op, err)
				}
				if err == nil {
					if diff := b.s.after(st).differs(open(t, d)); diff != "" {
						t.Fatalf("%v: %v: ignored operation %d: %s", g, st, op, diff)
					}
				}
				count("P7 ignored operations", 1)
			}
			b.step(t, st)
		}
	}
}

func TestWear(t *testing.T) {
	for _, g := range geometries() {
		d := g.device(t)
		v := open(t, d)
		n := effort(60, 400, 4000)
		for i, st := range updates(n) {
			before := append([]int{}, d.Wear()...)
			if err := st.run(v); err != nil {
				t.Fatalf("%v: %v: %v", g, st, err)
			}
			erased := 0
			for b, w := range d.Wear() {
				if w-before[b] > 1 {
					t.Fatalf("%v: %v erased block %d %d times", g, st, b, w-before[b])
				}
				erased += w - before[b]
			}
			most := 1
			if st.size > g.EraseSize/2 {
				most = 2 + 2*st.size/g.EraseSize // parts, and what is carried along
			}
			if erased > most {
				t.Errorf("%v: step %d, %v erased %d blocks, want at most %d", g, i, st, erased, most)
			}
			if h := v.Health(); h.MaxWear-h.MinWear > 1 {
				t.Fatalf("%v: step %d: wear %d to %d", g, i, h.MinWear, h.MaxWear)
			}
		}
		count("P6 updates", n)
	}
}

func TestWornOut(t *testing.T) {
	for _, g := range []geometry{small, nor(3, 64<<10, 32), geometries()[16]} {
		d := g.device(t)
		v := open(t, d)
		d.SetEndurance(12)
		s := state{map[string][]byte{}, nil}
		steps := updates(20_000)
		n := 0
		for ; n < len(steps); n++ {
			err := steps[n].run(v)
			if err != nil {
				break
			}
			s = s.after(steps[n])
		}
		if n == len(steps) || v.Health().ReadOnly == nil {
			t.Fatalf("%v: %d updates, read-only %v", g, n, v.Health().ReadOnly)
		}
		if steps[n].key == "" {
			s = s.after(steps[n])
		}
		if diff := s.differs(v); diff != "" {
			t.Errorf("%v: worn out after %d updates: %s", g, n, diff)
		}
		if err := v.Put("itl", []byte("x")); !errors.Is(err, vault.ErrReadOnly) {
			t.Errorf("%v: put: %v, want %v", g, err, vault.ErrReadOnly)
		}
		again := open(t, d)
		for key, want := range s.values {
			if got, err := again.Get(key); err != nil || string(got) != string(want) {
				t.Errorf("%v: mounted again: %s is %.20q, %v", g, key, got, err)
			}
		}
		t.Logf("%v: worn out after %d updates, bad blocks %v: %v", g, n, again.Health().Bad, v.Health().ReadOnly)
	}
}
