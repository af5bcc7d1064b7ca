package probe_test

import (
	"strings"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/probe"
	"itlagent/tools/qemu"
	"itlagent/tools/uboot"
)

// An emulated board with U-Boot, of which nothing is known but its line, is described as
// its own file does.
func TestProbeBoard(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	for _, name := range []string{"qemu-arm-uboot", "qemu-mips-uboot"} {
		t.Run(name, func(t *testing.T) {
			b, err := boards.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := qemu.Check(b); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			dir := t.TempDir()
			if _, err := image.PrepareFlash(b, dir); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Kill()
			e := expect.New(m.Console)
			prompt, stop, err := probe.Prompt(t.Context(), e, 3*time.Minute)
			want := b.Bootloader.Stop
			if b.Arch == "mips" { // whose variables have nothing to boot yet: it comes to its prompt at once
				want = ""
			}
			if err != nil || prompt != b.Bootloader.Prompt || stop != want {
				t.Fatalf("%s\nprompt %q, stop %q, %v; want %q and %q", e.Last(), prompt, stop, err, b.Bootloader.Prompt, want)
			}
			l, err := uboot.Attach(t.Context(), e, uboot.Options{Prompt: prompt})
			if err != nil {
				t.Fatal(err)
			}
			answers, err := probe.Ask(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			text, open := probe.Describe("my-board", prompt, stop, answers)
			got, err := board.Parse([]byte(text))
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if got.Arch != b.Arch || got.Memory != b.Memory || got.Bootloader.Storage.Kind != "nor" || strings.Contains(strings.Join(open, "\n"), "the loader has no") {
				t.Errorf("%s, %d MiB, open %q\n%s", got.Arch, got.Memory, open, text)
			}
		})
	}
}
