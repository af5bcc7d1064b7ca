package expect_test

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"itlagent/tools/expect"
)

func armed(rw io.ReadWriter) *expect.Expect {
	e := expect.New(rw)
	e.Arm(expect.System)
	return e
}

// Patterns match in order, each behind the one before; what steers a terminal does
// not count, also where it comes in pieces.
func TestExpect(t *testing.T) {
	here, board := net.Pipe()
	e := armed(here)
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
	if _, _, err := e.Wait(t.Context(), 20*time.Millisecond, re("never")); !errors.Is(err, expect.ErrBoard) || !strings.Contains(err.Error(), "third 42 second") {
		t.Errorf("silence: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := e.Wait(ctx, time.Minute, re("never")); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	say("\nKernel panic - not syncing\n")
	if _, _, err := e.Wait(t.Context(), 10*time.Second, re("never")); !errors.Is(err, expect.ErrBoard) || !strings.Contains(err.Error(), "failed") {
		t.Errorf("a panic: %v", err)
	}
	board.Close()
	other, gone := net.Pipe()
	e = armed(other)
	gone.Close()
	if _, _, err := e.Wait(t.Context(), 10*time.Second, re("never")); !errors.Is(err, expect.ErrBoard) {
		t.Errorf("the end: %v", err)
	}
}

// A board that talks without end does not take the memory of the machine.
func TestExpectIsBounded(t *testing.T) {
	here, board := net.Pipe()
	defer board.Close()
	e := expect.New(here)
	const chunks, size = 400, 64 << 10
	line := "\x1b[1m" + strings.Repeat(" nothing", 31) + "\r\n"
	noise := []byte(strings.Repeat(line, size/len(line)))
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
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d MiB of output take %d KiB", chunks*len(noise)>>20, grown>>10)
	}
}

// A boot loader that starts again behind our back is a failure while that is armed, and
// bytes of a file transfer are read one by one.
func TestArmedAndBytes(t *testing.T) {
	here, board := net.Pipe()
	defer board.Close()
	e := expect.New(here)
	say := func(text string) {
		if _, err := io.WriteString(board, text); err != nil {
			t.Error(err)
		}
	}
	say("U-Boot 2023.01 (Jan 01 2023)\n\nDRAM:  256 MiB\n=> ")
	prompt := regexp.MustCompile("=> ")
	if _, _, err := e.Wait(t.Context(), 10*time.Second, prompt); err != nil {
		t.Fatal(err)
	}
	e.Arm(expect.Loader)
	say("CC\x06")
	for _, want := range []byte("CC\x06") {
		if b, err := e.Byte(t.Context(), 10*time.Second); b != want || err != nil {
			t.Errorf("byte %q, %v; want %q", b, err, want)
		}
	}
	if _, err := e.Byte(t.Context(), 10*time.Millisecond); !errors.Is(err, expect.ErrSilent) {
		t.Errorf("no byte: %v", err)
	}
	say("\nU-Boot 2023.01 (Jan 01 2023)\n\nDRAM:  256 MiB\n=> ")
	if _, _, err := e.Wait(t.Context(), 10*time.Second, prompt); !errors.Is(err, expect.ErrBad) || !strings.Contains(err.Error(), "was reset") {
		t.Errorf("a reset: %v", err)
	}
	var lines strings.Builder
	for i := range 30 {
		lines.WriteString(strings.Repeat("x", i) + "\n")
	}
	say(lines.String())
	e.Discard()
	if _, _, err := e.Wait(t.Context(), 10*time.Millisecond, prompt); !errors.Is(err, expect.ErrSilent) || errors.Is(err, expect.ErrOff) {
		t.Errorf("discarded: %v", err)
	}
	if got := strings.Count(e.Last(), "\n"); got != 19 {
		t.Errorf("%d line ends in the last lines, want 19", got)
	}
}
