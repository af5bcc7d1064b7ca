package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

var formatAny = vault.Options{Rand: constant(9), Format: vault.FormatAny}

// ways to damage one block.
var damages = []struct {
	name string
	do   func(block []byte)
}{
	{"a bit of the header flipped", func(b []byte) { b[20] ^= 4 }},
	{"the header erased", func(b []byte) { erase(b[:64]) }},
	{"the header zero", func(b []byte) { clear(b[:64]) }},
	{"half of the header erased", func(b []byte) { erase(b[16:64]) }},
	{"erased", erase},
	{"zero", func(b []byte) { clear(b) }},
	{"random", func(b []byte) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}},
}

func erase(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

// A vault that has lost its headers, or the only block that it has written, is not
// formatted without being asked: the phone would trust the next list on first use.
func TestDamagedVaultIsNotFormatted(t *testing.T) {
	for _, g := range []geometry{small, nor(3, 64<<10, 32), geometries()[16]} {
		for _, life := range []int{1, 2, 10, 60} { // updates
			b := newBed(t, g, updates(life))
			d := b.d.Clone()
			for _, damage := range damages {
				for which := -2; which < g.Blocks(); which++ { // all, all but the last, each
					d.CopyFrom(b.d)
					for i := range g.Blocks() {
						if i == which || which == -1 || which == -2 && i < g.Blocks()-1 {
							damage.do(d.Bytes()[i*g.EraseSize : (i+1)*g.EraseSize])
						}
					}
					if blank := bytes.Count(d.Bytes(), []byte{0xff}) == g.Size; blank {
						continue // it is erased, whoever did that
					}
					d.Load(d.Bytes())
					name := fmt.Sprintf("%v, %d updates, block %d: %s", g, life, which, damage.name)
					before := bytes.Clone(d.Bytes())
					v, err := vault.Open(d, options)
					if err != nil {
						if !bytes.Equal(before, d.Bytes()) {
							t.Errorf("%s: %v, and the flash was written", name, err)
						}
						if !errors.Is(err, vault.ErrDamaged) && !errors.Is(err, vault.ErrNoVault) || strings.Contains(err.Error(), "\n") {
							t.Errorf("%s: %v", name, err)
						}
						continue
					}
					if v.Health().Sequence == 0 {
						t.Errorf("%s: it was formatted", name)
					}
				}
			}
		}
	}
}

// What is found is said in one line, and an explicit format makes a vault of it.
func TestFormatAsked(t *testing.T) {
	head := func(bytes string) func(t *testing.T) *flashtest.Device {
		return func(t *testing.T) *flashtest.Device {
			d := small.device(t)
			d.Load([]byte(bytes))
			return d
		}
	}
	used := func(change func(mem []byte)) func(t *testing.T) *flashtest.Device {
		return func(t *testing.T) *flashtest.Device {
			b := newBed(t, small, updates(58))
			change(b.d.Bytes())
			b.d.Load(b.d.Bytes())
			return b.d
		}
	}
	everyBlock := func(f func(b []byte)) func(mem []byte) {
		return func(mem []byte) {
			for at := 0; at < len(mem); at += small.EraseSize {
				f(mem[at:])
			}
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T) *flashtest.Device
		err  error
		want string
	}{
		{"all headers damaged", used(everyBlock(func(b []byte) { b[20] ^= 4 })), vault.ErrDamaged, "0 of 16 blocks are erased, 16 have a damaged header of a vault, "},
		{"all headers erased", used(everyBlock(func(b []byte) { erase(b[:64]) })), vault.ErrDamaged, " have parts of a vault"},
		{"a newer version", used(everyBlock(func(b []byte) { b[9] = 2; vault.SealHeader(b) })), vault.ErrVersion, "version 2, this program reads up to 1"},
		{"other erase blocks", used(everyBlock(func(b []byte) { b[10]++; vault.SealHeader(b) })), vault.ErrDamaged, "made for erase blocks of 8192 bytes"},
		{"JFFS2", head("\x85\x19\x03\x20"), vault.ErrNoVault, "15 of 16 blocks are erased, block 0 begins like JFFS2"},
		{"UBI", head("UBI#\x01"), vault.ErrNoVault, "block 0 begins like UBI"},
		{"SquashFS", head("hsqs"), vault.ErrNoVault, "block 0 begins like SquashFS"},
		{"a kernel", head("\x27\x05\x19\x56"), vault.ErrNoVault, "block 0 begins like a U-Boot image"},
		{"something else", head("hello"), vault.ErrNoVault, "15 of 16 blocks are erased, the others hold unknown data"},
		{"zeros", func(t *testing.T) *flashtest.Device {
			d := small.device(t)
			d.Load(make([]byte, small.Size))
			return d
		}, vault.ErrNoVault, "0 of 16 blocks are erased, 16 are zero"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.make(t)
			for _, format := range []vault.Format{vault.FormatNever, vault.FormatErased} {
				_, err := vault.Open(d, vault.Options{Rand: constant(7), Format: format})
				if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("format %d: %v, want %v and %q", format, err, c.err, c.want)
				}
			}
			v, err := vault.Open(d, formatAny)
			if err != nil {
				t.Fatal(err)
			}
			if diff := (state{}).differs(v); diff != "" {
				t.Errorf("formatted: %s", diff)
			}
			if err := v.Put("itl", []byte("list")); err != nil {
				t.Fatal(err)
			}
			v, err = vault.Open(d, formatAny) // a vault that can be mounted stays
			if err != nil {
				t.Fatal(err)
			}
			if got, err := v.Get("itl"); err != nil || string(got) != "list" {
				t.Errorf("itl is %q, %v", got, err)
			}
		})
	}
	d := small.device(t)
	if _, err := vault.Open(d, vault.Options{}); !errors.Is(err, vault.ErrNoVault) || !strings.Contains(err.Error(), "all 16 blocks are erased") {
		t.Errorf("erased flash: %v", err)
	}
}

// meter is flash whose power fails after a number of steps: a byte that is
// programmed is one, an erase is three. A part that is erasing has first cleared
// every bit.
type meter struct {
	*flashtest.Device
	left  int // steps; below 0 the power is off
	taken int
}

func (m *meter) off() bool { return m.left < 0 }

func (m *meter) Read(p []byte, off int) error {
	if m.off() {
		return &flash.Error{Op: "read", Off: off, Err: flashtest.ErrPowerCut}
	}
	return m.Device.Read(p, off)
}

func (m *meter) Program(p []byte, off int) error {
	if m.off() || m.left < len(p) {
		mem := m.Bytes()[off:]
		for i := range max(m.left, 0) {
			mem[i] &= p[i]
		}
		m.left = -1
		return &flash.Error{Op: "program", Off: off, Err: flashtest.ErrPowerCut}
	}
	m.left, m.taken = m.left-len(p), m.taken+len(p)
	return m.Device.Program(p, off)
}

func (m *meter) Erase(block int) error {
	const steps = 3
	if m.off() || m.left < steps {
		size := m.Geometry().EraseSize
		mem := m.Bytes()[block*size : (block+1)*size]
		switch m.left {
		case 1:
			clear(mem)
		case 2:
			r := rand.New(rand.NewPCG(uint64(block), 3))
			for i := range mem {
				mem[i] = byte(r.Uint32())
			}
		}
		m.left = -1
		return &flash.Error{Op: "erase", Off: block * m.Geometry().EraseSize, Err: flashtest.ErrPowerCut}
	}
	m.left, m.taken = m.left-steps, m.taken+steps
	return m.Device.Erase(block)
}

// The first format is cut after every byte that is programmed and inside every
// erase, once, twice and three times. It is completed without being asked.
func TestCutFirstFormat(t *testing.T) {
	for _, g := range []geometry{nor(3, 2<<10, 1), nor(5, 2<<10, 32), nor(4, 4<<10, 256), {flash.Geometry{Kind: flash.NAND, Size: 5 * 4096, EraseSize: 4096, ProgramSize: 512}, []int{1}}} {
		blank := g.device(t)
		all := &meter{Device: blank.Clone(), left: 1 << 30}
		open(t, all)
		d, once := blank.Clone(), blank.Clone()
		cut := func(steps int) bool {
			m := &meter{Device: d, left: steps}
			_, err := vault.Open(m, options)
			if err != nil && !m.off() {
				t.Fatalf("%v: %v", g, err)
			}
			d.Load(d.Bytes())
			return m.off()
		}
		check := func(cuts ...int) {
			t.Helper()
			v, err := vault.Open(d, options)
			if err != nil {
				t.Fatalf("%v: cut after %v steps: %v", g, cuts, err)
			}
			if diff := (state{}).differs(v); diff != "" {
				t.Fatalf("%v: cut after %v steps: %s", g, cuts, diff)
			}
			if err := v.Put("itl", value("itl", 1, 100)); err != nil {
				t.Fatalf("%v: cut after %v steps: %v", g, cuts, err)
			}
			v, err = vault.Open(d, vault.Options{})
			if err != nil {
				t.Fatalf("%v: cut after %v steps, formatted and used: %v", g, cuts, err)
			}
			if got, err := v.Get("itl"); err != nil || !bytes.Equal(got, value("itl", 1, 100)) || len(v.Health().Degraded) > 0 {
				t.Fatalf("%v: cut after %v steps: itl is %.20q, %v, health %+v", g, cuts, got, err, v.Health())
			}
			if diff := disagrees(d, v); diff != "" {
				t.Fatalf("%v: cut after %v steps: %s", g, cuts, diff)
			}
			// No trace is left that would let a later loss pass for a first format.
			d.Load(d.Bytes())
			for i := range g.Blocks() {
				mem := bytes.Clone(d.Bytes())
				erase(d.Bytes()[i*g.EraseSize : (i+1)*g.EraseSize])
				if v, err := vault.Open(d, options); err == nil {
					if _, err := v.Get("itl"); errors.Is(err, fs.ErrNotExist) {
						t.Fatalf("%v: cut after %v steps, formatted and used, block %d erased: formatted again", g, cuts, i)
					}
				}
				d.Load(mem)
			}
			count("P1 cuts", len(cuts))
		}
		n, stride := 0, max(1, all.taken/effort(12, 40, 400))
		for a := 0; a <= all.taken; a++ {
			d.CopyFrom(blank)
			if cut(a) {
				n++
			}
			once.CopyFrom(d)
			check(a)
			if a%stride > 1 {
				continue
			}
			for b := a % 5; b <= all.taken; b += stride {
				d.CopyFrom(once)
				if !cut(b) {
					break
				}
				if b%2 == 0 && g.Blocks() > 3 {
					cut(b / 2)
				}
				check(a, b)
			}
		}
		if n < all.taken {
			t.Errorf("%v: %d of %d cuts met the format", g, n, all.taken)
		}
	}
}

// unreadable is flash with error correction, which gives up on one range.
type unreadable struct {
	*flashtest.Device
	from, to int
}

func (u *unreadable) Read(p []byte, off int) error {
	if off < u.to && off+len(p) > u.from {
		return &flash.Error{Op: "read", Off: off, Err: flashtest.ErrInjected}
	}
	return u.Device.Read(p, off)
}

func (u *unreadable) Erase(block int) error {
	if size := u.Geometry().EraseSize; block*size <= u.from && u.from < (block+1)*size {
		u.from, u.to = 0, 0
	}
	return u.Device.Erase(block)
}

// log tells of every program before it is made.
type log struct {
	*flashtest.Device
	program func(off int)
}

func (l *log) Program(p []byte, off int) error {
	l.program(off)
	return l.Device.Program(p, off)
}

// A page whose program was interrupted cannot be read on NAND: in the first format
// that is no reason to ask.
func TestUnreadablePageInFirstFormat(t *testing.T) {
	g := geometry{flash.Geometry{Kind: flash.NAND, Size: 4 * 16 << 10, EraseSize: 16 << 10, ProgramSize: 512}, nil}
	var pages []int // that are programmed, in order
	all := &log{Device: g.device(t), program: func(off int) { pages = append(pages, off) }}
	open(t, all)
	for op, page := range pages {
		d := g.device(t)
		n := 0
		l := &log{Device: d, program: func(int) {
			if n++; n == op+1 {
				d.Inject(flashtest.Fault{Op: 1, Kind: flashtest.TornBits, Seed: uint64(op)})
			}
		}}
		if _, err := vault.Open(l, options); !d.Off() {
			t.Fatalf("program %d: %v", op, err)
		}
		d.PowerOn()
		u := &unreadable{d, page, page + 512}
		v, err := vault.Open(u, options)
		if err != nil {
			t.Fatalf("program %d, the page at 0x%x cannot be read: %v", op, page, err)
		}
		if diff := (state{}).differs(v); diff != "" {
			t.Errorf("program %d: %s", op, diff)
		}
		if err := v.Put("itl", []byte("list")); err != nil {
			t.Errorf("program %d: %v", op, err)
		}
	}
	// The same page of a vault in use is a loss.
	d := g.device(t)
	if err := open(t, d).Put("itl", []byte("list")); err != nil {
		t.Fatal(err)
	}
	for page := 0; page < g.Size; page += 512 {
		v, err := vault.Open(&unreadable{d, page, page + 512}, options)
		if err != nil {
			continue
		}
		if _, err := v.Get("itl"); errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the page at 0x%x cannot be read: the vault is empty", page)
		}
	}
}
