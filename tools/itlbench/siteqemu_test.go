package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/tools/qemu"
	"itlagent/tools/rig/rigtest"
)

// powerScript is a power command that starts an emulator, and kills it.
const powerScript = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
gone() { while [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status"; do sleep 0.01; done; }
off() { if [ -e pid ]; then kill -9 "$(cat pid)"; gone "$(cat pid)"; rm -f pid serial qmp; fi; }
case "$1" in
cycle | on) [ "$1" = on ] || off; [ -e pid ] || { setsid EMULATOR >/dev/null 2>&1 & echo $! >pid; } ;;
off) off ;;
esac
`

// An emulated board is used as if it were a real one: its line is a socket that is gone
// with its power, which a script switches. Its flash is seen after each cut.
func TestPowercutOfEmulator(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	lineEnv(t)
	b, err := boards.Load("qemu-arm")
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
	dir, err := os.MkdirTemp("", "itlr") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		exec.Command(filepath.Join(dir, "power"), "off").Run()
		os.RemoveAll(dir)
	})
	if _, err := image.Build(b, image.Options{Dir: dir, Kernel: kernel, Source: "../.."}); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(rigtest.Nowhere(t), ":")
	args := qemu.Command(b, qemu.Options{Dir: dir, Phone: qemu.PhoneArgs("001122334455", "CP-7965G", []string{hostForGuest + ":" + port})}, dir)
	script := strings.Replace(powerScript, "EMULATOR", strings.Join(quoteAll(args), " "), 1)
	if err := os.WriteFile(filepath.Join(dir, "power"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	code, out, talk := ended(t, "board", "powercut", "qemu-arm", "--console", "unix:"+filepath.Join(dir, "serial"), "--power", filepath.Join(dir, "power"), "--dir", dir, "--count", "1", "--yes")
	if code != exitOK || !strings.HasPrefix(out, "qemu-arm: 1 power cuts among ") || !strings.Contains(out, " 0 lost; ") || strings.Contains(out, "not known") {
		t.Errorf("code %d\n%s%s", code, out, talk)
	}
	if want := "cut 1 of 1: during "; !strings.Contains(talk, want) {
		t.Errorf("no %q in\n%s", want, talk)
	}
	t.Log(talk + out)
}
