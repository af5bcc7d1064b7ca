package image_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"itlagent/platform/flash"
	"itlagent/platform/flash/image"
)

var nor = flash.Geometry{Size: 64 << 10, EraseSize: 4 << 10, ProgramSize: 4}

func TestImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flash.img")
	d, err := image.Open(path, nor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.Open(path, nor); !errors.Is(err, image.ErrBusy) {
		t.Errorf("opened twice: %v, want %v", err, image.ErrBusy)
	}
	if err := d.Program([]byte{0xf0, 0, 1, 2}, 8192); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) != nor.Size || bytes.Count(data, []byte{0xff}) != nor.Size-4 {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	if d, err = image.Open(path, nor); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := make([]byte, 4)
	if err := d.Read(got, 8192); err != nil || !bytes.Equal(got, []byte{0xf0, 0, 1, 2}) {
		t.Errorf("read %x, %v", got, err)
	}
	if err := d.Program([]byte{0x70, 0, 0, 0}, 8192); err != nil {
		t.Errorf("bits that fall: %v", err)
	}
	for name, err := range map[string]error{
		"a bit that rises":   d.Program([]byte{0xff, 0, 0, 0}, 8192),
		"misaligned":         d.Program([]byte{0, 0, 0, 0}, 2),
		"across a block":     d.Program(make([]byte, 8), 4092),
		"program behind":     d.Program(make([]byte, 4), 64<<10),
		"read behind":        d.Read(got, 64<<10),
		"erase behind":       d.Erase(16),
		"erase a negative":   d.Erase(-1),
		"read of a negative": d.Read(got, -4),
	} {
		var at *flash.Error
		if !errors.As(err, &at) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Erase(2); err != nil {
		t.Fatal(err)
	}
	if d.Read(got, 8192); !bytes.Equal(got, []byte{255, 255, 255, 255}) {
		t.Errorf("erased: %x", got)
	}
}

func TestNAND(t *testing.T) {
	g := flash.Geometry{Kind: flash.NAND, Size: 64 << 10, EraseSize: 16 << 10, ProgramSize: 512}
	d, err := image.Open(filepath.Join(t.TempDir(), "flash.img"), g)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	page := bytes.Repeat([]byte{0x55}, 512)
	if err := d.Program(page, 512); err != nil {
		t.Fatal(err)
	}
	if err := d.Program(page, 512); err == nil {
		t.Error("a page was programmed twice")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		short: "it has 100 bytes", dir: "", filepath.Join(dir, "none", "x"): "no such file", "/dev/null": "not a regular file", fifo: "not a regular file",
	} {
		if d, err := image.Open(path, nor); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
			if d != nil {
				d.Close()
			}
		}
	}
	if _, err := image.Open(filepath.Join(dir, "x"), flash.Geometry{}); err == nil {
		t.Error("a flash without size was opened")
	}
}
