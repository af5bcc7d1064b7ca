package rig

import (
	"bytes"
	"crypto/rand"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

// What a cut fell into is seen on the flash: cut before an operation, inside a program
// that left a trace, and inside an erase, at every operation of a vault that goes round
// its blocks.
func TestDuring(t *testing.T) {
	d := flashtest.New(t, flash.Geometry{Size: 32 << 10, EraseSize: 4 << 10, ProgramSize: 1})
	put := func(d *flashtest.Device, n int) error {
		v, err := vault.Open(d, vault.Options{Rand: rand.Reader, Format: vault.FormatErased})
		for i := 0; err == nil && i < n; i++ {
			err = v.Put("itl", bytes.Repeat([]byte{byte(i)}, 700))
		}
		return err
	}
	if err := put(d, 30); err != nil {
		t.Fatal(err)
	}
	before := stateOf(bytes.Clone(d.Bytes()))
	if before.broken != "" || len(before.blocks) != 8 || !before.held {
		t.Fatalf("%+v", before)
	}
	type outcome struct{ what, seen string }
	count := make(map[outcome]int)
	for op := 1; ; op++ {
		cut := func(kind flashtest.Kind) (*flashtest.Device, error) {
			c := d.Clone()
			c.Inject(flashtest.Fault{Op: op, Kind: kind, Seed: uint64(op)})
			return c, put(c, 12)
		}
		clean, err := cut(flashtest.CutBefore)
		if err == nil {
			break
		}
		torn, _ := cut(flashtest.TornPrefix)
		what := "program"
		if torn.Stats.Erases > clean.Stats.Erases {
			what = "erase"
		}
		seen := stateOf(torn.Bytes()).during(before)
		count[outcome{what, string(seen)}]++
		if seen == Neither && !bytes.Equal(torn.Bytes(), clean.Bytes()) {
			t.Errorf("operation %d, %s: what is torn is not seen", op, what)
		}
		if what == "erase" && seen == Program {
			t.Errorf("operation %d: an erase is taken for a program", op)
		}
	}
	t.Log(count)
	for _, want := range []outcome{{"program", "program"}, {"erase", "erase"}} {
		if count[want] == 0 {
			t.Errorf("no %v among %v", want, count)
		}
	}
}
