package qemu_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
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

// Patterns match in order, each behind the one before; what steers a terminal does
// not count, also where it comes in pieces.
func TestExpect(t *testing.T) {
	here, board := net.Pipe()
	e := qemu.NewExpect(here)
	re := regexp.MustCompile
	say := func(text string) {
		if _, err := io.WriteString(board, text); err != nil {
			t.Error(err)
		}
	}
	wait := func(patterns ...*regexp.Regexp) (int, []string) {
		t.Helper()
		n, groups, err := e.Wait(t.Context(), 10*time.Second, patterns...)
		if err != nil {
			t.Fatal(err)
		}
		return n, groups
	}
	say("first se")
	say("cond \x1b[2")
	say("Dthird 42 second")
	if n, g := wait(re("absent"), re("third (\\d+)"), re("second")); n != 2 || g[0] != "second" {
		t.Errorf("pattern %d, %q", n, g)
	}
	if n, g := wait(re("second"), re(`^ third (\d+)`)); n != 1 || g[1] != "42" {
		t.Errorf("pattern %d, %q", n, g)
	}
	got := make(chan string, 1)
	go func() {
		buf := make([]byte, 16)
		n, _ := board.Read(buf)
		got <- string(buf[:n])
	}()
	if err := e.Send("why"); err != nil || <-got != "why\r" {
		t.Error("a line is not sent as it is")
	}
	if _, _, err := e.Wait(t.Context(), 20*time.Millisecond, re("never")); !errors.Is(err, qemu.ErrBoard) || !strings.Contains(err.Error(), "third 42 second") {
		t.Errorf("silence: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := e.Wait(ctx, time.Minute, re("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	say("\nKernel panic - not syncing\n")
	if _, _, err := e.Wait(t.Context(), 10*time.Second, re("never")); !errors.Is(err, qemu.ErrBoard) || !strings.Contains(err.Error(), "failed") {
		t.Errorf("a panic: %v", err)
	}
	board.Close()
	other, gone := net.Pipe()
	e = qemu.NewExpect(other)
	gone.Close()
	if _, _, err := e.Wait(t.Context(), 10*time.Second, re("never")); !errors.Is(err, qemu.ErrBoard) {
		t.Errorf("the end: %v", err)
	}
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

// A board that talks without end does not take the memory of the machine.
func TestExpectIsBounded(t *testing.T) {
	here, board := net.Pipe()
	defer board.Close()
	e := qemu.NewExpect(here)
	const chunks, size = 1000, 64 << 10
	noise := []byte(strings.Repeat("\x1b[1m nothing\r\n", size/14))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range chunks {
		if _, err := board.Write(noise); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(board, "the end\n")
	if _, _, err := e.Wait(t.Context(), time.Minute, regexp.MustCompile("the end\n")); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d MiB of output take %d KiB", chunks*len(noise)>>20, grown>>10)
	}
}
