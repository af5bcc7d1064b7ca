package vault_test

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
	"itlagent/testbench/vaultimage"
)

// use opens a vault on hostile bytes and does everything with it. Nothing may
// panic, hang, use the flash wrongly, or take more memory than it should.
func use(t testing.TB, d *flashtest.Device) {
	t.Helper()
	size := d.Geometry().Size
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	v, err := vault.Open(d, options)
	runtime.ReadMemStats(&after)
	if used := int(after.TotalAlloc - before.TotalAlloc); used > 4*size+64<<10 {
		t.Errorf("%d bytes to mount hostile bytes of %d", used, size)
	}
	vaultimage.Read(d.Bytes(), 0)
	if err != nil {
		return
	}
	v.Health()
	v.Messages()
	for _, key := range []string{"itl", "config", "settings", "x"} {
		v.Get(key)
	}
	if v.Put("itl", value("itl", 1, 700)) == nil {
		if got, err := v.Get("itl"); err != nil || string(got) != string(value("itl", 1, 700)) {
			t.Errorf("put on hostile bytes, and then got %.20q, %v", got, err)
		}
	}
	v.Delete("config")
}

// Random damage, with the checksums made to fit again: what a thief with a
// programmer could write.
func TestHostileImages(t *testing.T) {
	runs := effort(200, 4000, 1_000_000)
	b := newBed(t, small, updates(58))
	d := b.d.Clone()
	places := fragments(b.d.Bytes())
	if len(places) < 20 {
		t.Fatalf("only %d fragments found", len(places))
	}
	extremes := []uint32{0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x10000, 0x10001, 0x7fffffff, 0x80000000, 0xffffffff}
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 5))
		d.CopyFrom(b.d)
		mem := d.Bytes()
		for range 1 + r.IntN(4) {
			at := places[r.IntN(len(places))]
			switch r.IntN(5) {
			case 0: // any field of a header
				binary.BigEndian.PutUint32(mem[at+4*r.IntN(15):], extremes[r.IntN(len(extremes))])
			case 1: // a length, an offset, a total
				binary.BigEndian.PutUint32(mem[at+36+4*r.IntN(3):], extremes[r.IntN(len(extremes))])
			case 2: // the payload: a mark or message is read as MessagePack
				for range 1 + r.IntN(20) {
					mem[min(at+64+r.IntN(200), len(mem)-1)] = byte(r.Uint32())
				}
			case 3: // kind and flags
				mem[at+4], mem[at+5] = byte(r.IntN(6)), byte(r.IntN(8))
			case 4: // a block header
				h := mem[r.IntN(16)*4096:]
				binary.BigEndian.PutUint32(h[4*(7+r.IntN(6)):], extremes[r.IntN(len(extremes))])
				vault.SealHeader(h)
			}
			vault.SealFragment(mem, at, 4096, 16)
		}
		use(t, d)
		count("hostile images", 1)
	}
}

// fragments finds where fragments begin.
func fragments(mem []byte) (places []int) {
	for at := 0; at+64 <= len(mem); at += 16 {
		if string(mem[at:at+4]) == "ITLf" {
			places = append(places, at)
		}
	}
	return places
}

func FuzzOpen(f *testing.F) {
	g := flash.Geometry{Size: 12 << 10, EraseSize: 4 << 10, ProgramSize: 1}
	d := flashtest.New(f, g)
	v, err := vault.Open(d, options)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.Bytes())
	for i := range 12 {
		if err := v.Put("settings", value("settings", i, 300)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(d.Bytes())
	f.Add([]byte("ITLVAULT"))
	f.Fuzz(func(t *testing.T, image []byte) {
		d := flashtest.New(t, g)
		d.Load(image[:min(len(image), g.Size)])
		use(t, d)
	})
}
