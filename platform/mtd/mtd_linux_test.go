package mtd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"itlagent/platform/flash"
)

// chip plays the kernel's driver.
type chip struct {
	info     unix.MtdInfo
	mem      []byte
	bad      map[int64]bool
	noBad    bool // the driver knows no bad blocks
	fail     error
	unlocked []uint32
	closed   bool
}

func newChip(kind uint8) *chip {
	c := &chip{info: unix.MtdInfo{Type: kind, Flags: flagWriteable, Size: 64 << 10, Erasesize: 16 << 10, Writesize: 512}, bad: map[int64]bool{}}
	c.mem = bytes.Repeat([]byte{0xff}, int(c.info.Size))
	return c
}

func (c *chip) ReadAt(p []byte, off int64) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	return copy(p, c.mem[off:]), nil
}

func (c *chip) WriteAt(p []byte, off int64) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	for i := range p {
		c.mem[int(off)+i] &= p[i]
	}
	return len(p), nil
}

func (c *chip) Close() error { c.closed = true; return nil }

func (c *chip) ioctl(request uint, arg unsafe.Pointer) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	switch request {
	case unix.MEMGETINFO:
		*(*unix.MtdInfo)(arg) = c.info
	case unix.MEMUNLOCK:
		c.unlocked = append(c.unlocked, (*unix.EraseInfo)(arg).Start)
		return 0, unix.EOPNOTSUPP
	case unix.MEMERASE:
		e := (*unix.EraseInfo)(arg)
		copy(c.mem[e.Start:e.Start+e.Length], bytes.Repeat([]byte{0xff}, int(e.Length)))
	case unix.MEMGETBADBLOCK:
		if c.noBad {
			return 0, unix.EOPNOTSUPP
		}
		if c.bad[*(*int64)(arg)] {
			return 1, nil
		}
	case unix.MEMSETBADBLOCK:
		c.bad[*(*int64)(arg)] = true
	default:
		return 0, unix.ENOTTY
	}
	return 0, nil
}

func TestDevice(t *testing.T) {
	c := newChip(typeNAND)
	d, err := open(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := (flash.Geometry{Kind: flash.NAND, Size: 64 << 10, EraseSize: 16 << 10, ProgramSize: 512}); d.Geometry() != want {
		t.Errorf("geometry %+v, want %+v", d.Geometry(), want)
	}
	page := bytes.Repeat([]byte{0x5a}, 512)
	if err := d.Program(page, 16<<10); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 512)
	if err := d.Read(got, 16<<10); err != nil || !bytes.Equal(got, page) {
		t.Errorf("read back %x, %v", got[:4], err)
	}
	if err := d.Erase(1); err != nil || c.mem[16<<10] != 0xff || len(c.unlocked) != 1 || c.unlocked[0] != 16<<10 {
		t.Errorf("erase: %v, unlocked %v", err, c.unlocked)
	}
	if err := d.MarkBad(2); err != nil {
		t.Fatal(err)
	}
	for block, want := range map[int]bool{1: false, 2: true} {
		if bad, err := d.Bad(block); err != nil || bad != want {
			t.Errorf("block %d bad: %v, %v; want %v", block, bad, err, want)
		}
	}
	c.noBad = true
	if bad, err := d.Bad(2); err != nil || bad {
		t.Errorf("a driver without bad blocks: %v, %v", bad, err)
	}
	c.fail = unix.EIO
	for op, err := range map[string]error{
		"read": d.Read(got, 512), "program": d.Program(page, 512), "erase": d.Erase(3), "mark bad": d.MarkBad(3),
	} {
		var at *flash.Error
		if !errors.As(err, &at) || at.Op != op || !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := d.Bad(0); !errors.Is(err, unix.EIO) {
		t.Errorf("bad: %v", err)
	}
	for op, err := range map[string]error{"read": d.Read(got, 64<<10), "program": d.Program(page, 100), "erase": d.Erase(4)} {
		if err == nil || errors.Is(err, unix.EIO) {
			t.Errorf("%s out of range or misaligned: %v", op, err)
		}
	}
	if d.Close(); !c.closed {
		t.Error("not closed")
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]*chip{
		"RAM":        newChip(1),
		"read-only":  {info: unix.MtdInfo{Type: typeNOR, Size: 4096, Erasesize: 4096, Writesize: 1}},
		"no size":    {info: unix.MtdInfo{Type: typeNOR, Flags: flagWriteable}},
		"no MTD":     {fail: unix.ENOTTY},
		"odd erases": {info: unix.MtdInfo{Type: typeNOR, Flags: flagWriteable, Size: 3000, Erasesize: 3000, Writesize: 1}},
	} {
		if _, err := open(c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "not an MTD partition") {
		t.Errorf("an ordinary file: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, t.TempDir(), "/dev/null"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "not an MTD partition") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Open(path + "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
