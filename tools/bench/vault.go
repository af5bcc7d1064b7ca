package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"itlagent/agent/vault"
	"itlagent/platform/flash"
	"itlagent/platform/flash/flashtest"
)

// vaultRows measures the vault on a simulated NOR of 64 KiB.
func vaultRows() []row {
	return []row{
		{
			what: "vault: cut and mount on 64 KiB NOR", peerName: "5,000 a second", goal: 1, limit: 1e9 / 5000,
			ours: cutAndMount,
		},
		{
			what: "vault: mount of a full 64 KiB ring", peerName: "SHA-256 of 64 KiB", goal: 3,
			ours: mountFull, peer: hashPartition,
		},
		{
			what: "vault: put of a 5.3 KiB list", peerName: "SHA-256 of it twice", goal: 10,
			ours: putList, peer: hashListTwice,
		},
	}
}

// options make the same vault each time.
var options = vault.Options{Rand: bytes.NewReader(bytes.Repeat([]byte{7}, 1<<20)), Format: vault.FormatErased}

// usedVault is a vault whose ring has been turned.
func usedVault(b *testing.B) (*flashtest.Device, *vault.Vault) {
	d := flashtest.New(b, flash.Geometry{Size: 64 << 10, EraseSize: 4 << 10, ProgramSize: 1})
	v, err := vault.Open(d, options)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 40 {
		put(b, v, "itl", list(i))
		put(b, v, "config", list(i)[:2100])
		put(b, v, "settings", fmt.Appendf(nil, "webAccess %d", i))
	}
	return d, v
}

func put(b *testing.B, v *vault.Vault, key string, value []byte) {
	if err := v.Put(key, value); err != nil {
		b.Fatal(err)
	}
}

// list makes 5,302 bytes.
func list(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	out := make([]byte, 5302)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

// cutAndMount cuts the power in each put of a list, and mounts.
func cutAndMount(b *testing.B) {
	d, v := usedVault(b)
	value := list(1)
	kinds := flashtest.Cuts()
	i := 0
	for b.Loop() {
		i++
		d.Inject(flashtest.Fault{Op: 1 + i%40, Kind: kinds[i%len(kinds)], Seed: uint64(i)})
		v.Put("itl", value)
		d.PowerOn()
		var err error
		if v, err = vault.Open(d, options); err != nil {
			b.Fatal(err)
		}
	}
}

func mountFull(b *testing.B) {
	d, _ := usedVault(b)
	for b.Loop() {
		if _, err := vault.Open(d, options); err != nil {
			b.Fatal(err)
		}
	}
}

func hashPartition(b *testing.B) {
	data := make([]byte, 64<<10)
	for b.Loop() {
		sha256.Sum256(data)
	}
}

func putList(b *testing.B) {
	_, v := usedVault(b)
	value := list(1)
	for b.Loop() {
		put(b, v, "itl", value)
	}
}

func hashListTwice(b *testing.B) {
	data := list(1)
	for b.Loop() {
		sha256.Sum256(data)
		sha256.Sum256(data)
	}
}

// counting counts what is done to a flash.
type counting struct {
	flash.Flash
	read, programmed, erases int
}

func (c *counting) Read(p []byte, off int) error {
	c.read += len(p)
	return c.Flash.Read(p, off)
}

func (c *counting) Program(p []byte, off int) error {
	c.programmed += len(p)
	return c.Flash.Program(p, off)
}

func (c *counting) Erase(block int) error {
	c.erases++
	return c.Flash.Erase(block)
}

// wear prints how much more is written than was asked for, and what a mount reads.
func (b *bench) wear() error {
	fmt.Fprintf(b.out, "\n%-30s %10s %14s %14s %12s\n", "vault of", "values", "write ampl.", "erases/MiB", "mount reads")
	for _, g := range []flash.Geometry{
		{Size: 64 << 10, EraseSize: 4 << 10, ProgramSize: 1}, {Size: 1 << 20, EraseSize: 64 << 10, ProgramSize: 1}, {Size: 1 << 20, EraseSize: 128 << 10, ProgramSize: 256},
	} {
		var failed error
		var amplification, erased, reads float64
		const values = 600
		testing.Benchmark(func(t *testing.B) { // which the flash wants to report to
			c := &counting{Flash: flashtest.New(t, g)}
			v, err := vault.Open(c, options)
			if err != nil {
				failed = err
				return
			}
			c.programmed, c.erases = 0, 0
			asked := 0
			for i := range values {
				for key, value := range map[string][]byte{"itl": list(i), "config": list(i)[:2100]} {
					if i%10 > 0 && key == "itl" {
						continue // configurations change more often than lists
					}
					if err := v.Put(key, value); err != nil {
						failed = err
						return
					}
					asked += len(value)
				}
			}
			programmed, erases := c.programmed, c.erases
			c.read = 0
			if _, err := vault.Open(c, options); err != nil {
				failed = err
			}
			amplification, erased, reads = float64(programmed)/float64(asked), float64(erases)*(1<<20)/float64(asked), float64(c.read)
			for t.Loop() {
			}
		})
		if failed != nil {
			return failed
		}
		fmt.Fprintf(b.out, "%-30s %10d %14.2f %14.0f %9.0f KiB\n", fmt.Sprintf("%d KiB, erased by %d KiB", g.Size>>10, g.EraseSize>>10), values, amplification, erased, reads/1024)
	}
	return nil
}
