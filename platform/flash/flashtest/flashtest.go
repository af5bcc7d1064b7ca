// Package flashtest is a strict flash device in memory, for tests. It fails the
// test on what a real part would punish: a misaligned program, a second program
// of the same unit, NAND pages out of order, use of a bad block. And it fails
// itself as real parts do: power that is cut before or inside an operation,
// operations that fail or are silently ignored, bits that rot, blocks that wear
// out.
//
//	d := flashtest.New(t, flash.Geometry{Size: 64 << 10, EraseSize: 4 << 10, ProgramSize: 1})
//	d.Inject(flashtest.Fault{Op: 17, Kind: flashtest.TornBits, Seed: 1})
//	... use d until it returns ErrPowerCut
//	d.PowerOn()
//
// A torn program leaves a prefix, a random part of the bits, or all bits but one.
// One that left no trace at all cannot be known of, and may be tried again, as
// often as an SLC NAND page may be programmed in parts.
// A torn erase leaves each byte as it was, erased, or unstable: an unstable byte
// reads differently each time until its block is erased again.
//
// A Device is not safe for concurrent use. The model follows what data sheets of
// CFI NOR and SLC NAND parts say about interrupted operations.
package flashtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"itlagent/platform/flash"
)

// Kind is a way to fail.
type Kind uint8

// The kinds. CutBefore and the Torn kinds end with the power off.
const (
	None          Kind = iota
	CutBefore          // the operation does not begin
	TornPrefix         // program: a prefix arrives; erase: torn
	TornBits           // program: a random part of the bits arrives; erase: torn
	TornAllButOne      // program: all but one bit arrive; erase: torn
	Fail               // the operation returns an error and does nothing
	FailAfter          // the operation returns an error but is done
	FailOn             // this and all later program and erase operations fail
	Silent             // the operation returns nil and does nothing
	lastKind      = Silent
)

// Kinds returns the kinds that fail, CutBefore first.
func Kinds() []Kind {
	var all []Kind
	for k := CutBefore; k <= lastKind; k++ {
		all = append(all, k)
	}
	return all
}

// Cuts returns the kinds that end with the power off.
func Cuts() []Kind { return []Kind{CutBefore, TornPrefix, TornBits, TornAllButOne} }

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"none", "cut-before", "torn-prefix", "torn-bits", "torn-all-but-one", "fail", "fail-after", "fail-on", "silent"}[k]
}

// partialPrograms is how often a page of common SLC NAND may be programmed
// between erases.
const partialPrograms = 4

// Fault makes the Op-th program or erase from now on fail; the first is 1.
type Fault struct {
	Op   int
	Kind Kind
	Seed uint64 // of the random part
}

// Errors of a device that fails.
var (
	ErrPowerCut = errors.New("the power is off")
	ErrInjected = errors.New("injected failure")
	ErrWornOut  = errors.New("the block is worn out")
)

// Device is a flash in memory, erased at first.
type Device struct {
	t   testing.TB
	geo flash.Geometry

	mem        []byte
	programmed []bool  // of each unit, since its block's last erase
	traceless  []uint8 // programs of each unit that were torn and left no trace
	wear       []int   // erases of each block
	bad        []bool  // factory or marked
	unstable   []int32 // offsets of unstable bytes, ascending within a block
	endurance  int     // erases that a block survives; 0 is for ever

	fault    Fault
	counting int // operations since Inject
	off      bool
	failOn   bool
	harmless bool
	readErr  map[int]bool // blocks whose reads fail
	rng      *rand.Rand

	Stats Stats
}

// Stats counts what was done, in operations and bytes.
type Stats struct {
	Programs, Erases, Reads int
	Programmed, Read        int // bytes
}

// New returns an erased device. Its geometry must be sound.
func New(t testing.TB, g flash.Geometry) *Device {
	t.Helper()
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	d := &Device{t: t, geo: g, mem: make([]byte, g.Size), programmed: make([]bool, g.Size/g.ProgramSize),
		traceless: make([]uint8, g.Size/g.ProgramSize),
		wear:      make([]int, g.Blocks()), bad: make([]bool, g.Blocks()), rng: rand.New(rand.NewPCG(1, 2))}
	for i := range d.mem {
		d.mem[i] = 0xff
	}
	return d
}

// Clone returns an independent copy in the same state, without a fault.
func (d *Device) Clone() *Device {
	c := New(d.t, d.geo)
	c.CopyFrom(d)
	return c
}

// CopyFrom brings the device into the state of another of the same geometry,
// without a fault. It allocates nothing but for unstable bytes.
func (d *Device) CopyFrom(o *Device) {
	copy(d.mem, o.mem)
	copy(d.programmed, o.programmed)
	copy(d.traceless, o.traceless)
	copy(d.wear, o.wear)
	copy(d.bad, o.bad)
	d.unstable = append(d.unstable[:0], o.unstable...)
	d.endurance, d.off, d.failOn, d.fault, d.counting, d.Stats = o.endurance, false, false, Fault{}, 0, Stats{}
}

// Inject arms a fault. Operations count from now on.
func (d *Device) Inject(f Fault) {
	d.fault, d.counting, d.harmless = f, 0, false
	d.rng = rand.New(rand.NewPCG(f.Seed, uint64(f.Op)))
}

// PowerOn ends a power cut and disarms the fault.
func (d *Device) PowerOn() { d.off, d.failOn, d.fault = false, false, Fault{} }

// Off reports whether the power is off.
func (d *Device) Off() bool { return d.off }

// Harmless reports whether the operation that was silently ignored would have
// changed nothing.
func (d *Device) Harmless() bool { return d.harmless }

// Ops returns the program and erase operations since Inject.
func (d *Device) Ops() int { return d.counting }

// SetEndurance lets each block survive n erases.
func (d *Device) SetEndurance(n int) { d.endurance = n }

// SetBad makes blocks bad, as from the factory.
func (d *Device) SetBad(blocks ...int) {
	for _, b := range blocks {
		d.bad[b] = true
	}
}

// FailReads makes reads of a block fail, or work again.
func (d *Device) FailReads(block int, fail bool) {
	if d.readErr == nil {
		d.readErr = map[int]bool{}
	}
	d.readErr[block] = fail
}

// Flip flips one bit at rest, counted from the first bit of the partition.
func (d *Device) Flip(bit int) { d.mem[bit/8] ^= 1 << (bit % 8) }

// Bytes returns the memory itself, for images and for writing garbage into it.
func (d *Device) Bytes() []byte { return d.mem }

// Load puts bytes into the memory. What is not erased then counts as programmed,
// and on NAND everything before it in its block.
func (d *Device) Load(image []byte) {
	copy(d.mem, image)
	unit, perBlock := d.geo.ProgramSize, d.geo.EraseSize/d.geo.ProgramSize
	for i := len(d.programmed) - 1; i >= 0; i-- {
		d.programmed[i] = bytes.Count(d.mem[i*unit:(i+1)*unit], []byte{0xff}) < unit
		if d.geo.Kind == flash.NAND && (i+1)%perBlock != 0 && d.programmed[i+1] {
			d.programmed[i] = true
		}
	}
}

// Wear returns the erases of each block.
func (d *Device) Wear() []int { return d.wear }

// Geometry returns the geometry.
func (d *Device) Geometry() flash.Geometry { return d.geo }

// Read fills p. Unstable bytes read as anything.
func (d *Device) Read(p []byte, off int) error {
	if d.off {
		return &flash.Error{Op: "read", Off: off, Err: ErrPowerCut}
	}
	if err := d.geo.CheckRange("read", off, len(p)); err != nil {
		d.illegal("%v", err)
	}
	if len(p) > 0 && d.readErr != nil {
		for b := off / d.geo.EraseSize; b <= (off+len(p)-1)/d.geo.EraseSize; b++ {
			if d.readErr[b] {
				return &flash.Error{Op: "read", Off: off, Err: ErrInjected}
			}
		}
	}
	d.Stats.Reads++
	d.Stats.Read += len(p)
	copy(p, d.mem[off:])
	for _, u := range d.unstable {
		if i := int(u) - off; i >= 0 && i < len(p) {
			p[i] = byte(d.rng.Uint32())
		}
	}
	return nil
}

func (d *Device) illegal(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("illegal use of flash: "+format, args...)
}

// next counts an operation and returns the fault that meets it.
func (d *Device) next() Kind {
	d.counting++
	if d.failOn {
		return Fail
	}
	if d.fault.Kind == None || d.counting != d.fault.Op {
		return None
	}
	if d.fault.Kind == FailOn {
		d.failOn = true
		return Fail
	}
	return d.fault.Kind
}

// Program programs p at off.
func (d *Device) Program(p []byte, off int) error {
	fail := func(err error) error { return &flash.Error{Op: "program", Off: off, Err: err} }
	if d.off {
		return fail(ErrPowerCut)
	}
	if err := d.geo.CheckProgram(off, len(p)); err != nil {
		d.illegal("%v", err)
	}
	unit, units := off/d.geo.ProgramSize, len(p)/d.geo.ProgramSize
	d.checkRules(off, len(p))
	kind := d.next()
	switch kind {
	case Fail:
		return fail(ErrInjected)
	case CutBefore:
		d.off = true
		return fail(ErrPowerCut)
	}
	d.Stats.Programs++
	d.Stats.Programmed += len(p)
	for i := unit; i < unit+units; i++ {
		d.programmed[i] = true
	}
	switch kind {
	case Silent:
		d.harmless = bytes.Count(p, []byte{0xff}) == len(p)
		return nil
	case TornPrefix, TornBits, TornAllButOne:
		before := bytes.Clone(d.mem[off : off+len(p)])
		if d.tear(kind, p, off); bytes.Equal(before, d.mem[off:off+len(p)]) {
			for i := unit; i < unit+units; i++ {
				d.programmed[i] = false
				if d.traceless[i]++; d.traceless[i] >= partialPrograms {
					d.programmed[i] = true
				}
			}
		}
		d.off = true
		return fail(ErrPowerCut)
	}
	for i, b := range p {
		d.mem[off+i] &= b
	}
	if kind == FailAfter {
		return fail(ErrInjected)
	}
	return nil
}

// Erase erases a block.
func (d *Device) Erase(block int) error {
	off := block * d.geo.EraseSize
	fail := func(err error) error { return &flash.Error{Op: "erase", Off: off, Err: err} }
	if d.off {
		return fail(ErrPowerCut)
	}
	if block < 0 || block >= d.geo.Blocks() {
		d.illegal("erase of block %d of %d", block, d.geo.Blocks())
	}
	if d.bad[block] {
		d.illegal("erase of bad block %d", block)
	}
	kind := d.next()
	switch kind {
	case Fail:
		return fail(ErrInjected)
	case Silent:
		d.Stats.Erases++
		d.harmless = bytes.Count(d.mem[off:off+d.geo.EraseSize], []byte{0xff}) == d.geo.EraseSize
		return nil
	case CutBefore:
		d.off = true
		return fail(ErrPowerCut)
	}
	d.Stats.Erases++
	d.wear[block]++
	mem := d.mem[off : off+d.geo.EraseSize]
	per := d.geo.EraseSize / d.geo.ProgramSize
	d.unstable = slices.DeleteFunc(d.unstable, func(u int32) bool { return int(u)/d.geo.EraseSize == block })
	if kind == TornPrefix || kind == TornBits || kind == TornAllButOne {
		d.tornErase(kind, mem, off)
		for i := block * per; i < (block+1)*per; i++ {
			d.programmed[i] = true // not fit to be programmed
		}
		d.off = true
		return fail(ErrPowerCut)
	}
	if d.endurance > 0 && d.wear[block] > d.endurance {
		return fail(fmt.Errorf("%w after %d erases", ErrWornOut, d.endurance))
	}
	for i := range mem {
		mem[i] = 0xff
	}
	clear(d.programmed[block*per : (block+1)*per])
	clear(d.traceless[block*per : (block+1)*per])
	if kind == FailAfter {
		return fail(ErrInjected)
	}
	return nil
}

// Bad reports whether a block is bad.
func (d *Device) Bad(block int) (bool, error) {
	if d.off {
		return false, &flash.Error{Op: "read", Off: block * d.geo.EraseSize, Err: ErrPowerCut}
	}
	return d.bad[block], nil
}

// MarkBad makes a block bad.
func (d *Device) MarkBad(block int) error {
	if d.off {
		return &flash.Error{Op: "mark bad", Off: block * d.geo.EraseSize, Err: ErrPowerCut}
	}
	d.bad[block] = true
	return nil
}

var (
	_ flash.Flash     = (*Device)(nil)
	_ flash.BadBlocks = (*Device)(nil)
)
