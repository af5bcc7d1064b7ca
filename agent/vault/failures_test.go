package vault_test

import (
	"errors"
	"fmt"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

// failure is how an operation fails; the power stays on.
type failure uint8

const (
	undone failure = iota // an error, and nothing is done
	done                  // an error, and all is done
	half                  // an error, and a part is done
	lastFailure
)

func (f failure) String() string { return [...]string{"undone", "done", "half done"}[f] }

// flaky is flash of which operations fail, reads too, by a pattern. Operations
// count from 1 once it is armed.
type flaky struct {
	*flashtest.Device
	fails func(op int) bool // nil: none
	how   failure
	reads bool // whether reads fail too
	n     int
	met   int
}

func (f *flaky) fail() bool {
	f.n++
	if f.fails == nil || !f.fails(f.n) {
		return false
	}
	f.met++
	return true
}

func (f *flaky) Read(p []byte, off int) error {
	if f.fails != nil && f.reads && f.fail() {
		return &flash.Error{Op: "read", Off: off, Err: flashtest.ErrInjected}
	}
	return f.Device.Read(p, off)
}

func (f *flaky) Program(p []byte, off int) error {
	if !f.fail() {
		return f.Device.Program(p, off)
	}
	switch f.how {
	case done:
		if err := f.Device.Program(p, off); err != nil {
			return err
		}
	case half:
		mem := f.Bytes()[off : off+len(p)]
		for i := range len(p) / 2 {
			mem[i] &= p[i]
		}
	}
	return &flash.Error{Op: "program", Off: off, Err: flashtest.ErrInjected}
}

func (f *flaky) Erase(block int) error {
	if !f.fail() {
		return f.Device.Erase(block)
	}
	size := f.Geometry().EraseSize
	switch f.how {
	case done:
		if err := f.Device.Erase(block); err != nil {
			return err
		}
	case half:
		mem := f.Bytes()[block*size : (block+1)*size]
		erase(mem[size/3:])
	}
	return &flash.Error{Op: "erase", Off: block * size, Err: flashtest.ErrInjected}
}

// pattern is which operations fail.
type pattern struct {
	name  string
	fails func(op int) bool
}

// patterns are every single operation, pairs of them, and bursts, endless ones
// included.
func patterns(ops, stride int) (all []pattern) {
	for i := 1; i <= ops; i++ {
		all = append(all, pattern{fmt.Sprintf("operation %d", i), func(op int) bool { return op == i }},
			pattern{fmt.Sprintf("operations from %d on", i), func(op int) bool { return op >= i }})
		for n := 2; n <= 24; n += 1 + n/4 {
			all = append(all, pattern{fmt.Sprintf("operations %d to %d", i, i+n-1), func(op int) bool { return op >= i && op < i+n }})
		}
		for j := i + 1 + i%stride; j <= ops+8; j += stride {
			all = append(all, pattern{fmt.Sprintf("operations %d and %d", i, j), func(op int) bool { return op == i || op == j }})
		}
		all = append(all, pattern{fmt.Sprintf("every second operation from %d on", i), func(op int) bool { return op >= i && (op-i)%2 == 0 }})
	}
	return all
}

// After an error of Put or Delete, what Get returns is what it returns after a
// restart: the old value. Where the vault cannot see to that it says so, and writes
// nothing more. No other value is touched.
func TestWhatAnErrorPromises(t *testing.T) {
	ordinary := []step{
		{key: "settings", n: 1000, size: 170},
		{key: "itl", n: 1000, size: 5302},
		{key: "big", n: 1000, size: 300}, // for the first time
		{key: "big", n: 1000, size: 0},
		{key: "config", n: 1000, delete: true},
		{key: "tvs", n: 1000, size: 2500}, // deleted before
		{n: 1000},                         // a message
	}
	tight := []step{{key: "config", n: 1, size: 1100}, {key: "settings", n: 1, size: 100}, {n: 1}, {key: "settings", n: 2, size: 90}}
	total := outcomes{}
	for _, b := range []struct {
		bed
		steps []step
	}{
		{newBed(t, small, updates(59)), ordinary},
		{newBed(t, nor(3, 64<<10, 1), updates(59)), ordinary},
		{newBed(t, geometries()[16], updates(59)), ordinary},
		{newBed(t, nor(3, 4<<10, 1), tight), []step{{key: "config", n: 1000, size: 100}, {key: "settings", n: 1000, size: 100}, {key: "tvs", n: 1000, size: 100}}},
	} {
		for _, st := range b.steps {
			for _, reads := range []bool{false, true} {
				b.failEverywhere(t, st, reads, &total)
			}
		}
	}
	t.Logf("after %d errors the old value is certain, after %d it is not; %d updates succeeded", total.certain, total.uncertain, total.succeeded)
	if total.certain == 0 || total.uncertain == 0 || total.succeeded == 0 {
		t.Error("not every outcome was met")
	}
}

// outcomes counts updates with failing operations.
type outcomes struct{ succeeded, certain, uncertain int }

// failEverywhere runs a step with every pattern of failing operations.
func (b bed) failEverywhere(t *testing.T, st step, reads bool, total *outcomes) {
	t.Helper()
	d := &flaky{Device: b.d.Clone(), reads: reads}
	v := open(t, d)
	d.fails = func(int) bool { return false }
	if err := st.run(v); err != nil {
		t.Fatalf("%v: %v: %v", b.g, st, err)
	}
	ops := d.n
	for i, p := range patterns(ops, effort(23, 7, 1)) {
		if b.g.EraseSize > 4<<10 && i%effort(7, 3, 1) != 0 {
			continue
		}
		for how := range lastFailure {
			d.CopyFrom(b.d)
			d.fails = nil
			v := open(t, d)
			d.fails, d.how, d.n = p.fails, how, 0
			err := st.run(v)
			d.fails = nil
			if wrong := b.judge(t, d.Device, v, st, err, total); wrong != "" {
				t.Fatalf("%v: %v, reads fail %v, %s of %d %v: %v: %s", b.g, st, reads, p.name, ops, how, err, wrong)
			}
			count("P4 failed operations", 1)
		}
	}
}

// judge says what is wrong after a step that returned err, now and after a restart.
func (b bed) judge(t *testing.T, d *flashtest.Device, v *vault.Vault, st step, err error, total *outcomes) string {
	t.Helper()
	fresh := d.Clone()
	fresh.Load(fresh.Bytes())
	restarted := open(t, fresh)
	old, new := b.s, b.s.after(st)
	expect := old
	if err == nil || st.key == "" { // a message is shown until the power goes
		expect = new
	}
	if diff := expect.differs(v); diff != "" {
		return diff
	}
	after := expect.differs(restarted)
	switch {
	case err == nil:
		total.succeeded++
	case errors.Is(err, vault.ErrUncertain), st.key == "":
		if total.uncertain++; after != "" && old.differs(restarted) != "" && new.differs(restarted) != "" {
			return fmt.Sprintf("after a restart neither old (%s) nor new (%s)", old.differs(restarted), new.differs(restarted))
		}
		if after = ""; st.key != "" && v.Health().ReadOnly == nil {
			return "it is not read-only"
		}
	default:
		total.certain++
	}
	if after != "" {
		return "after a restart " + after
	}
	if h := restarted.Health(); len(h.Degraded) > 0 {
		return fmt.Sprintf("after a restart %v are damaged", h.Degraded)
	}
	// The next update holds, unless the vault says that there is none.
	next := step{key: "settings", n: 2000, size: 90}
	if v.Health().ReadOnly != nil {
		return ""
	}
	if err := next.run(v); err != nil {
		return fmt.Sprintf("the next update: %v", err)
	}
	fresh.CopyFrom(d)
	fresh.Load(fresh.Bytes())
	if diff := expect.after(next).differs(open(t, fresh)); diff != "" && st.key != "" {
		return "after the next update and a restart " + diff
	}
	return ""
}
