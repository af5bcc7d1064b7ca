package vault_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
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
			steps := story(lead + tested)
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

// P1: two cuts, the second while the first is mended.
func TestTwoCuts(t *testing.T) {
	gs := []geometry{small}
	if *soak {
		gs = append(gs, nor(12, 4<<10, 256), nor(8, 4<<10, 32))
	}
	for _, g := range gs {
		lead := 57
		steps := story(lead + effort(6, 18, 340))
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
			// cut may come before the first mount has settled that.
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
	steps := story(60 + r.IntN(60))
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
func TestFlippedBits(t *testing.T) {
	// The lists at the end have carried everything else along.
	steps := story(58)
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

// newest returns the two newest values of each key after the steps.
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
			t.Fatalf("the story ends with %s deleted: choose another", key)
		}
	}
	return out
}

// A commit mark that lost a bit is written again once, so that losing more of the
// old one does no harm; a sound vault is mounted without a write.
func TestImperfectMark(t *testing.T) {
	b := newBed(t, small, story(58))
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

// What rots while the vault is open is noticed when it is read, and not carried
// along as if it were sound.
func TestRotWhileOpen(t *testing.T) {
	b := newBed(t, small, story(58))
	v := open(t, b.d)
	want := value("config", 56, 2100+7*56%900) // the newest, and the one before
	if string(b.s.values["config"]) != string(want) {
		t.Fatal("the story has another configuration")
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

// P4: the n-th operation fails, once or for ever. Either the update succeeds, or
// the error says where, and the old value stays in force.
func TestFailedOperations(t *testing.T) {
	for _, g := range []geometry{small, nor(24, 4<<10, 256), nor(3, 64<<10, 1), geometries()[16], geometries()[17]} {
		steps := story(75)
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

// P7: an operation that the chip ignores is noticed in the same call.
func TestIgnoredOperations(t *testing.T) {
	for _, g := range []geometry{small, nor(24, 4<<10, 32), geometries()[16]} {
		steps := story(75)
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

// P6: a block is erased at most once in an update, at most one block is where the
// value fits into one, and wear stays even.
func TestWear(t *testing.T) {
	for _, g := range geometries() {
		d := g.device(t)
		v := open(t, d)
		updates := effort(60, 400, 4000)
		for i, st := range story(updates) {
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
		count("P6 updates", updates)
	}
}

// P6: at the end of its life the vault is read-only, and readable.
func TestWornOut(t *testing.T) {
	for _, g := range []geometry{small, nor(3, 64<<10, 32), geometries()[16]} {
		d := g.device(t)
		v := open(t, d)
		d.SetEndurance(12)
		s := state{map[string][]byte{}, nil}
		steps := story(20_000)
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

// A block that cannot be read is left out, and what it held is reported.
func TestUnreadableBlock(t *testing.T) {
	b := newBed(t, small, story(58))
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

// P8: messages keep their order; a cut loses at most the one being written.
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
	// A storm of messages is held back from the flash.
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
	b := newBed(t, small, story(30))
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

// A 5.3 KiB list costs at most 1.3 times its bytes in programmed ones, and a
// mount of a full ring reads each byte at most twice.
func TestCost(t *testing.T) {
	for _, c := range []struct {
		name string
		lead []step
		most float64
	}{{"lists alone", nil, 1.3}, {"beside configuration, settings and messages", story(60), 1.5}} {
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

// A mount takes at most twice the partition in memory, whatever is in it; an open
// vault a tenth.
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
