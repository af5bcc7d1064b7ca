package flashtest_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

var (
	nor  = flash.Geometry{Size: 16 << 10, EraseSize: 4 << 10, ProgramSize: 4}
	nand = flash.Geometry{Kind: flash.NAND, Size: 64 << 10, EraseSize: 16 << 10, ProgramSize: 512}
)

// referee is a test that an illegal use fails.
type referee struct {
	testing.TB
	fouls []string
}

func (r *referee) Helper() {}
func (r *referee) Fatalf(format string, args ...any) {
	r.fouls = append(r.fouls, format)
	panic(r)
}

// What a real part would punish fails the test that does it.
func TestFouls(t *testing.T) {
	page := make([]byte, 512)
	for _, c := range []struct {
		name string
		g    flash.Geometry
		do   func(d *flashtest.Device)
	}{
		{"misaligned offset", nor, func(d *flashtest.Device) { d.Program(make([]byte, 4), 2) }},
		{"misaligned length", nor, func(d *flashtest.Device) { d.Program(make([]byte, 3), 0) }},
		{"out of range", nor, func(d *flashtest.Device) { d.Program(make([]byte, 4), 16<<10) }},
		{"read out of range", nor, func(d *flashtest.Device) { d.Read(make([]byte, 4), -1) }},
		{"across a block", nor, func(d *flashtest.Device) { d.Program(make([]byte, 8), 4092) }},
		{"second program", nor, func(d *flashtest.Device) { d.Program(make([]byte, 4), 0); d.Program(make([]byte, 4), 0) }},
		{"erase out of range", nor, func(d *flashtest.Device) { d.Erase(4) }},
		{"half a page", nand, func(d *flashtest.Device) { d.Program(page[:256], 0) }},
		{"pages out of order", nand, func(d *flashtest.Device) { d.Program(page, 512); d.Program(page, 0) }},
		{"bad block programmed", nand, func(d *flashtest.Device) { d.SetBad(1); d.Program(page, 16<<10) }},
		{"bad block erased", nand, func(d *flashtest.Device) { d.MarkBad(1); d.Erase(1) }},
		{"program of a torn erase", nor, func(d *flashtest.Device) {
			d.Inject(flashtest.Fault{Op: 1, Kind: flashtest.TornBits})
			d.Erase(0)
			d.PowerOn()
			d.Program(make([]byte, 4), 0)
		}},
	} {
		r := &referee{TB: t}
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(r) {
					panic(p)
				}
			}()
			c.do(flashtest.New(r, c.g))
		}()
		if len(r.fouls) != 1 {
			t.Errorf("%s: %d fouls, want 1", c.name, len(r.fouls))
		}
	}
}

func TestProgramAndErase(t *testing.T) {
	d := flashtest.New(t, nor)
	data := []byte{0x12, 0x34, 0x56, 0x78}
	if err := d.Program(data, 4096); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if d.Read(got, 4096); !bytes.Equal(got, data) {
		t.Errorf("read %x, want %x", got, data)
	}
	if err := d.Erase(1); err != nil {
		t.Fatal(err)
	}
	if d.Read(got, 4096); !bytes.Equal(got, []byte{255, 255, 255, 255}) || d.Wear()[1] != 1 {
		t.Errorf("erased: %x, wear %v", got, d.Wear())
	}
}

// Each kind of fault does what it says.
func TestFaults(t *testing.T) {
	data := bytes.Repeat([]byte{0}, 256)
	for _, k := range flashtest.Kinds() {
		d := flashtest.New(t, nor)
		d.Inject(flashtest.Fault{Op: 2, Kind: k, Seed: 5})
		if err := d.Program(data[:4], 0); err != nil {
			t.Fatal(err)
		}
		err := d.Program(data, 256)
		zeros := bytes.Count(d.Bytes()[256:512], []byte{0})
		rest := bytes.Count(d.Bytes()[512:], []byte{0xff})
		var at *flash.Error
		ok := rest == nor.Size-512
		switch k {
		case flashtest.CutBefore:
			ok = ok && zeros == 0 && d.Off()
		case flashtest.TornPrefix, flashtest.TornBits:
			ok = ok && zeros < 256 && d.Off()
		case flashtest.TornAllButOne:
			ok = ok && zeros == 255 && d.Off()
		case flashtest.Fail, flashtest.FailOn:
			ok = ok && zeros == 0 && errors.Is(err, flashtest.ErrInjected) && errors.As(err, &at) && at.Off == 256
		case flashtest.FailAfter:
			ok = ok && zeros == 256 && errors.Is(err, flashtest.ErrInjected)
		case flashtest.Silent:
			ok = ok && zeros == 0 && err == nil
		}
		if !ok {
			t.Errorf("%v: %d of 256 bytes programmed, error %v, off %v", k, zeros, err, d.Off())
		}
		if d.Off() {
			if err := d.Read(make([]byte, 1), 0); !errors.Is(err, flashtest.ErrPowerCut) {
				t.Errorf("%v: read without power: %v", k, err)
			}
		}
		if (err != nil) != (k != flashtest.Silent) || err != nil && !strings.HasPrefix(err.Error(), "program at 0x100: ") {
			t.Errorf("%v: error %v", k, err)
		}
		failing := d.Program(data[:4], 1024) != nil
		if want := d.Off() || k == flashtest.FailOn; failing != want {
			t.Errorf("%v: the next operation fails: %v, want %v", k, failing, want)
		}
		if d.PowerOn(); d.Program(data[:4], 2048) != nil {
			t.Errorf("%v: still failing with the power on again", k)
		}
	}
}

// A torn erase leaves a mix in which some bytes are unstable until the block is
// erased again.
func TestTornErase(t *testing.T) {
	unstable, survivors := 0, 0
	for seed := range uint64(40) {
		d := flashtest.New(t, nor)
		if err := d.Program(bytes.Repeat([]byte{0x5a}, 4096), 0); err != nil {
			t.Fatal(err)
		}
		d.Inject(flashtest.Fault{Op: 1, Kind: flashtest.TornBits, Seed: seed})
		if err := d.Erase(0); !errors.Is(err, flashtest.ErrPowerCut) {
			t.Fatal(err)
		}
		d.PowerOn()
		a, b := make([]byte, 4096), make([]byte, 4096)
		d.Read(a, 0)
		d.Read(b, 0)
		if !bytes.Equal(a, b) {
			unstable++
		}
		survivors += bytes.Count(a, []byte{0x5a})
		if err := d.Erase(0); err != nil {
			t.Fatal(err)
		}
		d.Read(a, 0)
		if bytes.Count(a, []byte{0xff}) != 4096 {
			t.Fatalf("seed %d: still unstable when erased whole", seed)
		}
	}
	if unstable < 20 || survivors == 0 {
		t.Errorf("%d of 40 torn erases read differently, %d bytes survived", unstable, survivors)
	}
}

func TestWearsOut(t *testing.T) {
	d := flashtest.New(t, nor)
	d.SetEndurance(2)
	for i := 1; i <= 3; i++ {
		err := d.Erase(0)
		if want := i > 2; errors.Is(err, flashtest.ErrWornOut) != want {
			t.Errorf("erase %d: %v", i, err)
		}
	}
}

func TestClone(t *testing.T) {
	d := flashtest.New(t, nor)
	d.Program([]byte{1, 2, 3, 4}, 0)
	c := d.Clone()
	c.Program([]byte{5, 6, 7, 8}, 4)
	d.Flip(0)
	if d.Bytes()[4] != 0xff || c.Bytes()[0] != 1 || d.Bytes()[0] != 0 {
		t.Error("the copies share memory")
	}
}
