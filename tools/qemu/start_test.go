package qemu_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/tools/qemu"
)

func seed(t *testing.T) uint64 {
	t.Helper()
	s := *cutSeed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("the moments are those of -cutseed %d", s)
	return s
}

// What is missing is said in one line before anything is started.
func TestCannotStart(t *testing.T) {
	b, err := boards.Load("qemu-arm")
	if err != nil {
		t.Fatal(err)
	}
	missing := *b
	q := *b.QEMU
	missing.QEMU = &q
	q.Program = "qemu-system-nonsense"
	if err := qemu.Check(&missing); err == nil || !strings.Contains(err.Error(), "qemu-system-nonsense is not installed: make deps") {
		t.Errorf("no emulator: %v", err)
	}
	generic, err := boards.Load("generic-arm")
	if err != nil {
		t.Fatal(err)
	}
	if err := qemu.Check(generic); err == nil {
		t.Error("a real board is emulated")
	}
	if err := qemu.Check(b); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	q = *b.QEMU
	q.Minimum = "99.0"
	if err := qemu.Check(&missing); err == nil || !strings.Contains(err.Error(), "at least 99.0 is needed") {
		t.Errorf("an old emulator: %v", err)
	}
	dir := t.TempDir()
	try := func(want string) {
		t.Helper()
		if m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
			if m != nil {
				m.Kill()
			}
		}
	}
	try("kernel is missing in " + dir + ": itlbench image qemu-arm makes it")
	for _, name := range []string{image.KernelFile, image.InitramfsFile, image.FlashFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	try("has 1 bytes, the board's flash has 67108864")
	// An emulator that does not like its arguments did not start.
	if err := os.WriteFile(filepath.Join(dir, image.FlashFile), make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	q = *b.QEMU
	q.Args = []string{"-M", "nonsense"}
	if m, err := qemu.Start(t.Context(), &missing, qemu.Options{Dir: dir}); !errors.Is(err, qemu.ErrStart) || strings.Contains(err.Error(), "\n") {
		t.Errorf("bad arguments: %v", err)
		if m != nil {
			m.Kill()
		}
	}
}
