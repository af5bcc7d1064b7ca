package qemu_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/qemu"
)

// raw are the boards with a kernel of this project's own, which has a watchdog.
var raw = []string{"qemu-arm", "qemu-mips", "qemu-mipsel"}

// withInit runs a test on each of the boards with a program of testdata, and nothing
// else, as its first process.
func withInit(t *testing.T, program string, args []string, f func(t *testing.T, m *qemu.Machine, e *expect.Expect)) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	t.Parallel()
	for _, name := range raw {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := boards.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := qemu.Check(b); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			kernel, _, err := image.FindKernel(b)
			if err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			dir := t.TempDir()
			if err := prepareInit(b, dir, program, kernel); err != nil {
				t.Fatal(err)
			}
			m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: dir, Phone: args, Reboots: true})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Kill()
			defer func() {
				if log, err := os.ReadFile(filepath.Join(dir, qemu.SerialLog)); t.Failed() && err == nil {
					t.Logf("the console:\n%s", log)
				}
			}()
			f(t, m, qemu.NewExpect(m.Console))
		})
	}
}

// prepareInit makes an image with a program of testdata in it.
func prepareInit(b *board.Board, dir, program, kernel string) error {
	bin := filepath.Join(dir, "init")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/"+program)
	cmd.Env = append(os.Environ(), b.GoEnv()...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	initramfs, err := image.Initramfs(b, data, nil)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, image.InitramfsFile), initramfs, 0o644); err != nil {
		return err
	}
	if err := os.Symlink(kernel, filepath.Join(dir, image.KernelFile)); err != nil {
		return err
	}
	size, err := board.Size(b.QEMU.FlashSize)
	if err != nil {
		return err
	}
	return image.WriteFlash(dir, make([]byte, size))
}

// until waits for a line of the program; one with an error, and a panic, end the test.
func until(t *testing.T, e *expect.Expect, line string) {
	t.Helper()
	_, groups, err := e.Wait(t.Context(), 2*time.Minute, regexp.MustCompile(`(?m)(^[a-z]+: error: [^\r\n]*|Kernel panic[^\r\n]*|`+line+`\r?\n)`))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(groups[1], "error:") || strings.Contains(groups[1], "panic") {
		t.Fatalf("waiting for %q: %s", line, groups[1])
	}
}

// A program that hangs is reset by the watchdog that it fed before, and starts again.
// The watchdog is QEMU's i6300esb on arm, and the kernel's softdog on malta.
func TestWatchdogResetsHungBoard(t *testing.T) {
	withInit(t, "hang", nil, func(t *testing.T, m *qemu.Machine, e *expect.Expect) {
		for _, line := range []string{"hang: up", "hang: timeout 5s", "hang: fed 1", "hang: fed 2", "hang: fed 3", "hang: hangs"} {
			until(t, e, line)
		}
		start := time.Now()
		until(t, e, "hang: up")
		t.Logf("up again %.1f s after it began to hang", time.Since(start).Seconds())
		until(t, e, "hang: timeout 5s")
	})
}

// A program that closes the watchdog is not reset.
func TestWatchdogClosed(t *testing.T) {
	withInit(t, "hang", []string{"close"}, func(t *testing.T, m *qemu.Machine, e *expect.Expect) {
		until(t, e, "hang: up")
		until(t, e, "hang: fed 3")
		if which, _, err := e.Wait(t.Context(), 2*time.Minute, regexp.MustCompile(`hang: not reset`), regexp.MustCompile(`hang: up`)); err != nil || which != 0 {
			t.Fatalf("pattern %d, %v", which, err)
		}
		select {
		case <-m.Done():
		case <-time.After(30 * time.Second):
			t.Error("the power is still on")
		}
	})
}

// Boards with 32 bits set their clock to years that 32 bits do not hold, and once.
func TestLateClock(t *testing.T) {
	withInit(t, "clock", nil, func(t *testing.T, m *qemu.Machine, e *expect.Expect) {
		for _, year := range []string{"2038", "2106", "2200"} {
			until(t, e, "clock: set "+year+" true <nil>")
			until(t, e, "clock: again "+year+" false <nil>")
			until(t, e, "clock: now "+year+"-03-01")
		}
		until(t, e, "clock: off <nil>|.*")
		select {
		case <-m.Done():
		case <-time.After(30 * time.Second):
			t.Error("the power is still on")
		}
	})
}
