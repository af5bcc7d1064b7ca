package block_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"itlagent/platform/block"
	"itlagent/platform/flash"
)

func disk(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDevice(t *testing.T) {
	path := disk(t, 1<<20+1000) // what is no whole block is not used
	d, err := block.Open(path, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	if g := d.Geometry(); g != (flash.Geometry{Kind: flash.NOR, Size: 1 << 20, EraseSize: 64 << 10, ProgramSize: 512}) {
		t.Fatalf("%+v", g)
	}
	if _, err := block.Open(path, 64<<10); !errors.Is(err, block.ErrBusy) {
		t.Errorf("opened twice: %v", err)
	}
	want := make([]byte, 1<<20) // a disk of zeros
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		switch b := r.IntN(16); r.IntN(3) {
		case 0:
			if err := d.Erase(b); err != nil {
				t.Fatal(err)
			}
			copy(want[b<<16:], bytes.Repeat([]byte{0xff}, 64<<10))
		case 1:
			p := make([]byte, 512*(1+r.IntN(200)))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			off := min(r.IntN(1<<20)/512*512, 1<<20-len(p))
			if err := d.Program(p, off); err != nil {
				t.Fatal(err)
			}
			copy(want[off:], p)
		case 2:
			off := r.IntN(1 << 20)
			p := make([]byte, min(r.IntN(200<<10), 1<<20-off))
			if err := d.Read(p, off); err != nil || !bytes.Equal(p, want[off:off+len(p)]) {
				t.Fatalf("read of %d bytes at %d differs: %v", len(p), off, err)
			}
		}
	}
	var at *flash.Error
	for name, err := range map[string]error{
		"a program out of range": d.Program(make([]byte, 512), 1<<20), "a misaligned one": d.Program(make([]byte, 512), 1), "a short one": d.Program(make([]byte, 511), 0),
		"an erase out of range": d.Erase(16), "a read out of range": d.Read(make([]byte, 2), 1<<20-1),
	} {
		if !errors.As(err, &at) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Erase(0); !errors.As(err, &at) || at.Op != "erase" {
		t.Errorf("after the end: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/null", t.TempDir()} {
		if _, err := block.Open(path, 64<<10); err == nil || !strings.Contains(err.Error(), "not a block device") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for name, open := range map[string]func() (*block.Device, error){
		"no device":     func() (*block.Device, error) { return block.Open(filepath.Join(t.TempDir(), "none"), 64<<10) },
		"too small":     func() (*block.Device, error) { return block.Open(disk(t, 1000), 64<<10) },
		"an odd size":   func() (*block.Device, error) { return block.Open(path, 1000) },
		"a small block": func() (*block.Device, error) { return block.Open(path, 512) },
		"none":          func() (*block.Device, error) { return block.Open(path, 0) },
	} {
		if d, err := open(); err == nil {
			d.Close()
			t.Errorf("%s: opened", name)
		}
	}
}
