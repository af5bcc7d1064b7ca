package vault_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash/flashtest"
)

var (
	soak   = flag.Bool("soak", false, "run the long forms")
	replay = flag.Uint64("replay", 0, "run the random campaign of this seed alone")
)

// effort chooses how much is done: with -short, ordinarily, with -soak.
func effort(short, ordinary, long int) int {
	switch {
	case *soak:
		return long
	case testing.Short():
		return short
	}
	return ordinary
}

// tally counts what each promise was tested with, and prints it at the end.
var tally = struct {
	sync.Mutex
	counts map[string]int
}{counts: map[string]int{}}

func count(what string, n int) {
	tally.Lock()
	defer tally.Unlock()
	tally.counts[what] += n
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	for _, what := range []string{
		"P1 cuts", "P1 pairs of cuts", "P1 campaigns", "P2 values read after every cut", "P3 flipped bits",
		"P4 failed operations", "P6 updates", "P7 ignored operations", "P8 cut messages", "hostile images",
	} {
		if n := tally.counts[what]; n > 0 {
			fmt.Printf("vault %s: %d\n", what, n)
		}
	}
	os.Exit(code)
}

// bed is a device and the state that its vault is in.
type bed struct {
	g      geometry
	d      *flashtest.Device
	s      state
	before uint64 // sequence number
}

// beds prepares a device some way into its life, so that the ring has turned.
func newBed(t testing.TB, g geometry, steps []step) bed {
	t.Helper()
	b := bed{g: g, d: g.device(t), s: state{map[string][]byte{}, nil}}
	v := open(t, b.d)
	for _, st := range steps {
		if err := st.run(v); err != nil {
			t.Fatalf("%v: %v: %v", g, st, err)
		}
		b.s = b.s.after(st)
	}
	b.before = v.Health().Sequence
	return b
}

// opsOf counts the program and erase operations of a step on a freshly mounted
// vault, mounting included.
func (b bed) opsOf(t testing.TB, st step) int {
	t.Helper()
	d := b.d.Clone()
	d.Inject(flashtest.Fault{})
	if err := st.run(open(t, d)); err != nil {
		t.Fatalf("%v: %v: %v", b.g, st, err)
	}
	return d.Ops()
}

// cut runs a step and cuts the power at an operation. What is mounted afterwards
// must be the old or the new state, and must take another update.
func (b bed) cut(t testing.TB, d *flashtest.Device, st step, f flashtest.Fault, further bool) {
	t.Helper()
	d.CopyFrom(b.d)
	d.Inject(f)
	v, err := vault.Open(d, options)
	if err == nil {
		err = st.run(v)
	}
	if err == nil && d.Off() && st.key != "" {
		t.Fatalf("%v: %v with %v: no error", b.g, st, f)
	}
	d.PowerOn()
	after := b.s.after(st)
	v, err = vault.Open(d, options)
	if err != nil {
		t.Fatalf("%v: %v with %+v: mount: %v", b.g, st, f, err)
	}
	now := b.s
	if old := b.s.differs(v); old != "" {
		if diff := after.differs(v); diff != "" {
			t.Fatalf("%v: %v with %+v: neither old (%s) nor new (%s)", b.g, st, f, old, diff)
		}
		now = after
	}
	if h := v.Health(); len(h.Degraded) > 0 || h.ReadOnly != nil || h.Sequence < b.before {
		t.Fatalf("%v: %v with %+v: health %+v, sequence was %d", b.g, st, f, h, b.before)
	}
	if diff := disagrees(d, v); diff != "" {
		t.Fatalf("%v: %v with %+v: %s", b.g, st, f, diff)
	}
	if !further {
		return
	}
	next := step{key: "itl", n: 7777, size: 5302}
	if err := next.run(v); err != nil {
		t.Fatalf("%v: %v with %+v: another update: %v", b.g, st, f, err)
	}
	if diff := now.after(next).differs(open(t, d)); diff != "" {
		t.Fatalf("%v: %v with %+v: after another update: %s", b.g, st, f, diff)
	}
}

// P1: one cut at any operation of any update, in every geometry.
func TestOneCut(t *testing.T) {
	for _, g := range geometries() {
		t.Run(g.String(), func(t *testing.T) {
			lead, tested := 40, 18
			if g.EraseSize <= 16<<10 {
				lead = 60
			}
			steps := updates(lead + tested)
			b := newBed(t, g, steps[:lead])
			d := b.d.Clone()
			cuts := 0
			for _, st := range steps[lead:] {
				ops := b.opsOf(t, st)
				stride := max(1, ops/effort(2, 24, 1<<20))
				for op := 1; op <= ops; op += stride {
					for _, k := range flashtest.Cuts() {
						for seed := range uint64(seeds(k)) {
							b.cut(t, d, st, flashtest.Fault{Op: op, Kind: k, Seed: seed}, cuts%16 == 0)
							cuts++
						}
					}
				}
				b.step(t, st)
			}
			count("P1 cuts", cuts)
			count("P2 values read after every cut", cuts*6)
		})
	}
}

// seeds is how often a kind of cut is tried with other random parts.
func seeds(k flashtest.Kind) int {
	if k == flashtest.CutBefore {
		return 1
	}
	return effort(1, 2, 6)
}

// step runs an update that is not disturbed.
func (b *bed) step(t testing.TB, st step) {
	t.Helper()
	v := open(t, b.d)
	if err := st.run(v); err != nil {
		t.Fatalf("%v: %v: %v", b.g, st, err)
	}
	b.s, b.before = b.s.after(st), v.Health().Sequence
}

// P1: a cut while the vault is being made, on erased and on used flash.
func TestCutWhileFormatting(t *testing.T) {
	for _, g := range []geometry{small, nor(3, 64<<10, 32), geometries()[16]} {
		for _, garbage := range []bool{false, true} {
			blank := g.device(t)
			if garbage {
				r := rand.New(rand.NewPCG(3, 3))
				for i := range blank.Bytes() {
					blank.Bytes()[i] = byte(r.Uint32())
				}
			}
			o := options
			if garbage {
				o.Format = vault.FormatAny
			}
			d := blank.Clone()
			if _, err := vault.Open(d, o); err != nil {
				t.Fatal(err)
			}
			d.Inject(flashtest.Fault{})
			ops := 3 * g.Blocks()
			for op := 1; op <= ops; op++ {
				for _, k := range flashtest.Cuts() {
					d.CopyFrom(blank)
					d.Inject(flashtest.Fault{Op: op, Kind: k, Seed: uint64(op)})
					vault.Open(d, o)
					d.PowerOn()
					v, err := vault.Open(d, o)
					if err != nil {
						t.Fatalf("%v, garbage %v, op %d, %v: %v", g, garbage, op, k, err)
					}
					if diff := (state{map[string][]byte{}, nil}).differs(v); diff != "" {
						t.Fatalf("%v, garbage %v, op %d, %v: %s", g, garbage, op, k, diff)
					}
					if err := v.Put("itl", value("itl", 1, 3000)); err != nil {
						t.Fatalf("%v, garbage %v, op %d, %v: %v", g, garbage, op, k, err)
					}
					count("P1 cuts", 1)
				}
			}
		}
	}
}

// P1: two cuts, the second while the vault recovers from the first.
func TestTwoCuts(t *testing.T) {
	gs := []geometry{small}
	if *soak {
		gs = append(gs, nor(12, 4<<10, 256), nor(8, 4<<10, 32))
	}
	for _, g := range gs {
		lead := 57
		steps := updates(lead + effort(6, 18, 340))
		if g.Blocks() <= 12 {
			for i := range steps {
				steps[i].size = min(steps[i].size, 700)
			}
		}
		b := newBed(t, g, steps[:lead])
		d := b.d.Clone()
		pairs := 0
		for i, st := range steps[lead:] {
			ops := b.opsOf(t, st)
			stride := effort(29, 7, 1)
			for op := 1 + i%stride; op <= ops; op += stride {
				for _, k := range flashtest.Cuts() {
					pairs += b.pairs(t, d, st, flashtest.Fault{Op: op, Kind: k, Seed: uint64(op)})
				}
			}
			b.step(t, st)
		}
		count("P1 pairs of cuts", pairs)
	}
}

// pairs cuts once in a step, and then at every operation of the mount and the
// update behind it.
func (b bed) pairs(t testing.TB, d *flashtest.Device, st step, first flashtest.Fault) (n int) {
	t.Helper()
	d.CopyFrom(b.d)
	d.Inject(first)
	if v, err := vault.Open(d, options); err == nil {
		st.run(v)
	}
	d.PowerOn()
	d.Inject(flashtest.Fault{})
	cutOnce := d.Clone()
	v := open(t, d)
	after := b.s.after(st)
	now := b.s
	if b.s.differs(v) != "" {
		now = after
	}
	again := step{key: "settings", n: 8888, size: 180}
	if err := again.run(v); err != nil {
		t.Fatalf("%v: %v with %+v: another update: %v", b.g, st, first, err)
	}
	ops := d.Ops()
	for op := 1; op <= ops; op++ {
		for _, k := range flashtest.Cuts() {
			d.CopyFrom(cutOnce)
			second := flashtest.Fault{Op: op, Kind: k, Seed: uint64(n)}
			d.Inject(second)
			if v, err := vault.Open(d, options); err == nil {
				again.run(v)
			}
			d.PowerOn()
			v, err := vault.Open(d, options)
			if err != nil {
				t.Fatalf("%v: %v with %+v, then %+v: mount: %v", b.g, st, first, second, err)
			}
			// A commit mark that power failed to finish may count or not; the second
			// cut may come before the first mount has decided that.
			ok := false
			for _, s := range []state{now, now.after(again), b.s, b.s.after(again), after, after.after(again)} {
				ok = ok || s.differs(v) == ""
			}
			if !ok || len(v.Health().Degraded) > 0 {
				t.Fatalf("%v: %v with %+v, then %+v: %s; health %+v", b.g, st, first, second, now.differs(v), v.Health())
			}
			n++
		}
	}
	return n
}

// P1: random updates with up to ten faults. The failing line names the seed:
// go test ./agent/vault -run Campaign -replay SEED
func TestCampaign(t *testing.T) {
	begin, end := uint64(1), uint64(effort(20, 300, 50_000))
	if *replay != 0 {
		begin, end = *replay, *replay
	}
	all := geometries()
	for seed := begin; seed <= end; seed++ {
		g := all[int(seed)%len(all)]
		if !*soak && *replay == 0 && g.Size > 256<<10 && seed%4 != 0 {
			g = small
		}
		campaign(t, g, seed)
		count("P1 campaigns", 1)
	}
}

func campaign(t testing.TB, g geometry, seed uint64) {
	t.Helper()
	fatal := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%v: %s", g, fmt.Sprintf(format, args...))
	}
	defer func() {
		if t.Failed() { // the device may have ended the test
			t.Logf("replay: go test ./agent/vault -run Campaign -replay %d", seed)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 99))
	d := g.device(t)
	v := open(t, d)
	s := state{map[string][]byte{}, nil}
	steps := updates(60 + r.IntN(60))
	faults := 1 + r.IntN(10)
	var sequence uint64
	for i := 0; i < len(steps); i++ {
		st := steps[i]
		armed := faults > 0 && r.IntN(len(steps)/10+1) == 0
		if armed {
			cuts := flashtest.Cuts()
			d.Inject(flashtest.Fault{Op: 1 + r.IntN(30), Kind: cuts[r.IntN(len(cuts))], Seed: r.Uint64()})
		}
		err := st.run(v)
		possible := []state{s.after(st)}
		if err != nil || d.Off() {
			possible = append(possible, s)
		}
		for tries := 0; err != nil || d.Off(); tries++ {
			faults--
			d.PowerOn()
			if faults > 0 && r.IntN(3) == 0 {
				cuts := flashtest.Cuts()
				d.Inject(flashtest.Fault{Op: 1 + r.IntN(6), Kind: cuts[r.IntN(len(cuts))], Seed: r.Uint64()})
			}
			if v, err = vault.Open(d, options); err != nil && !d.Off() {
				fatal("step %d, %v: mount: %v", i, st, err)
			}
		}
		d.PowerOn()
		found := -1
		for j, p := range possible {
			if p.differs(v) == "" {
				found = j
			}
		}
		if found < 0 {
			fatal("step %d, %v: %s", i, st, possible[0].differs(v))
		}
		s = possible[found]
		h := v.Health()
		if len(h.Degraded) > 0 || h.ReadOnly != nil || h.Sequence < sequence {
			fatal("step %d, %v: health %+v, sequence was %d", i, st, h, sequence)
		}
		sequence = h.Sequence
		if diff := disagrees(d, v); diff != "" {
			fatal("step %d, %v: %s", i, st, diff)
		}
	}
}

// P3: any single bit flipped at rest.
// newest returns the two newest values of each key after the steps.
// A commit mark that lost a bit is written again once, so that losing more of the
// old one does no harm; a sound vault is mounted without a write.
// What rots while the vault is open is noticed when it is read, and not carried
// along as if it were sound.
// P4: the n-th operation fails, once or from then on. Either the update succeeds, or
// the error says where, and the old value stays in force.
// P7: an operation that the chip ignores is noticed in the same call.
// P6: a block is erased at most once in an update, at most one block is where the
// value fits into one, and wear stays even.
// P6: at the end of its life the vault is read-only, and readable.
// A block that cannot be read is left out, and what it held is reported.
// P8: messages keep their order; a cut loses at most the one being written.
// A 5.3 KiB list costs at most 1.3 times its bytes in programmed ones, and a
// mount of a full ring reads each byte at most twice.
// A mount takes at most twice the partition in memory, whatever is in it; an open
// vault a tenth.
