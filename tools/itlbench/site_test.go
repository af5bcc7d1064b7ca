package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/firmware/uimage"
	"itlagent/tools/rig/rigtest"
)

// targetsOf writes a file of targets with one, "bench", that is this board.
func targetsOf(t *testing.T, b *rigtest.Board) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "targets.yaml")
	text := fmt.Sprintf("targets:\n  bench:\n    console: pty:%s\n    power: %q\n    board: generic-arm\n", b.Link, b.Power)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ended runs itlbench to its end.
func ended(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk strings.Builder
	cmd := exec.CommandContext(t.Context(), "itlbench", args...)
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), talk.String()
}

// A scenario runs on a board that is there, by its name alone, whatever phone it is.
func TestScenarioOnTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("a board is a process of this test program, too slow with the race detector")
	}
	lineEnv(t)
	b := rigtest.New(t, rigtest.Board{MAC: "001122334455", Servers: []string{rigtest.Nowhere(t)}})
	config := targetsOf(t, b)
	code, out, talk := ended(t, "scenario", "run", "callmanager-regenerated", "lists-deleted", "secured-phone", "-q", "--on", "bench", "--config", config, "--listen", "127.0.0.1")
	if code != 0 || !strings.Contains(out, "passed callmanager-regenerated: ") || !strings.Contains(out, "skipped lists-deleted: ") || !strings.Contains(out, "skipped secured-phone: ") {
		t.Errorf("code %d\n%s%s", code, out, talk)
	}
	if want := "bench: SEP001122334455, a CP-7965G; its console is in "; !strings.Contains(talk, want) {
		t.Errorf("%q lacks %q", talk, want)
	}
	if !b.Running() {
		t.Error("the board was left without power")
	}
}

// The power of a board that is there is cut, and each cut is told.
func TestBoardPowercut(t *testing.T) {
	if testing.Short() {
		t.Skip("a board is a process of this test program, too slow with the race detector")
	}
	lineEnv(t)
	b := rigtest.New(t, rigtest.Board{Servers: []string{rigtest.Nowhere(t)}})
	args := []string{"board", "powercut", "bench", "--config", targetsOf(t, b), "--listen", "127.0.0.1", "--count", "2", "--seed", "7"}
	code, _, talk := ended(t, args...)
	if code != exitUsage || !strings.Contains(talk, "--yes says that this is meant") || b.Running() {
		t.Errorf("without --yes: code %d, %s", code, talk)
	}
	code, out, talk := ended(t, append(args, "--yes", "--json")...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || len(lines) != 3 {
		t.Fatalf("code %d\n%s%s", code, out, talk)
	}
	for i, line := range lines[:2] {
		var cut cutJSON
		if err := json.Unmarshal([]byte(line), &cut); err != nil || cut.Cut != i+1 || cut.During != "unknown" || cut.Keys != nil || cut.Verdict != "accepted" || len(cut.Lost) > 0 || cut.Sequence == 0 {
			t.Errorf("%s: %+v, %v", line, cut, err)
		}
	}
	var end cutsJSON
	if err := json.Unmarshal([]byte(lines[2]), &end); err != nil || end.Board != "bench" || end.Cuts != 2 || end.Lost != 0 || end.Seed != 7 || end.Updates == 0 || end.During["unknown"] != 2 {
		t.Errorf("%s: %+v, %v", lines[2], end, err)
	}
}

// What fails on a board that is there ends with one line that has a hint, and code 3.
func TestSiteFails(t *testing.T) {
	lineEnv(t)
	port, _ := echoBoard(t)
	writer := exec.CommandContext(t.Context(), "itlbench", "console", port, "--stdio")
	in, err := writer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := writer.StdoutPipe()
	if err != nil || writer.Start() != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); writer.Process.Kill(); writer.Wait() })
	io.WriteString(in, "ping\r")
	newWatch(said).sees(t, "pong")
	for name, test := range map[string]struct {
		board rigtest.Board
		more  string
		want  string
	}{
		"dead":         {rigtest.Board{Dead: true}, "--wait 8s", "scenario run: the board did not say"}, // long enough for the power command
		"broken relay": {rigtest.Board{Broken: true}, "", "scenario run: power off: the power was not switched"},
		"slow relay":   {rigtest.Board{Slow: true}, "--wait 700ms", "it has not ended after"},
		"no line":      {rigtest.Board{}, "--console /dev/none-such", "/dev/none-such: no such file or directory (itlbench serial list shows the ports that are there)"},
		"no socket":    {rigtest.Board{}, "--wait 8s --console unix:/none/such.sock", "unix:/none/such.sock is not there: "},
		"in use":       {rigtest.Board{}, "--console " + port, "the line is in use: console "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := rigtest.New(t, test.board)
			args := []string{"scenario", "run", "rollback", "-q", "--on", "bench", "--config", targetsOf(t, b), "--listen", "127.0.0.1"}
			code, out, talk := ended(t, append(args, strings.Fields(test.more)...)...)
			text := out + talk
			if code != exitInfra || strings.Count(text, "\n") != 1 || !strings.Contains(text, test.want) || !strings.HasSuffix(text, ")\n") {
				t.Errorf("code %d, %q, want %q", code, text, test.want)
			}
		})
	}
}

// Ctrl-C ends a campaign between two cuts or in the middle of one: one line, code 3, and
// the power is on.
func TestSiteInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("a board is a process of this test program, too slow with the race detector")
	}
	lineEnv(t)
	b := rigtest.New(t, rigtest.Board{Servers: []string{rigtest.Nowhere(t)}})
	cmd := exec.CommandContext(t.Context(), "itlbench", "board", "powercut", "bench", "--config", targetsOf(t, b), "--listen", "127.0.0.1", "--count", "1000", "--yes")
	talk, err := cmd.StderrPipe()
	if err != nil || cmd.Start() != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(talk)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "cut 1 of 1000: ") {
		t.Fatalf("%q", lines.Text())
	}
	cmd.Process.Signal(syscall.SIGINT)
	stopped := time.AfterFunc(linePatience, func() { cmd.Process.Kill() })
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	cmd.Wait()
	stopped.Stop()
	if code := cmd.ProcessState.ExitCode(); code != exitInfra || !strings.HasPrefix(last, "itlbench: board powercut: interrupted; ") {
		t.Errorf("code %d, %q", code, last)
	}
	if !b.Running() {
		t.Error("the board was left without power")
	}
}

// What is said of a board counts in this order: flags, the environment, the file of
// targets. Files of the target are named from that file's folder.
func TestFindTarget(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "targets.yaml")
	mine := strings.Replace(string(mustRead(t, "../../firmware/boards/openwrt-mips-uboot.yaml")), "name: openwrt-mips-uboot", "name: mine", 1)
	for name, text := range map[string]string{config: `targets:
  bbb: {console: "/dev/bbb,9600", power: relay 3, board: beaglebone-black, images: out, boot: {prompt: "bbb> ", password: secret}}
  mine: {console: "usb:1", board: mine.yaml, images: /abs}
  bare: {console: "usb:2"}
`, filepath.Join(dir, "mine.yaml"): mine} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ITLBENCH_TARGETS", config)
	for name, test := range map[string]struct {
		arg         string
		env, flags  []string
		board, want string // want is console, power and dir
		code        int
	}{
		"the file":        {arg: "bbb", board: "beaglebone-black", want: "/dev/bbb,9600 relay 3 " + filepath.Join(dir, "out")},
		"the environment": {arg: "bbb", env: []string{"ITLBENCH_CONSOLE=/dev/env", "ITLBENCH_POWER=env"}, board: "beaglebone-black", want: "/dev/env env " + filepath.Join(dir, "out")},
		"flags":           {arg: "bbb", env: []string{"ITLBENCH_CONSOLE=/dev/env", "ITLBENCH_POWER=env"}, flags: []string{"--console=/dev/flag", "--power=flag", "--dir=here"}, board: "beaglebone-black", want: "/dev/flag flag here"},
		"a file's board":  {arg: "mine", board: "mine", want: "usb:1  /abs"},
		"a board":         {arg: "mx6qsabrelite", env: []string{"ITLBENCH_CONSOLE=/dev/env"}, board: "mx6qsabrelite", want: "/dev/env  "},
		"an emulated one": {arg: "qemu-arm", env: []string{"ITLBENCH_CONSOLE=/dev/env", "ITLBENCH_POWER=env"}, board: "qemu-arm", want: "  "},
		"no board":        {arg: "bare", code: exitUsage, want: "target bare names no board"},
		"neither":         {arg: "none", code: exitUsage, want: `no board "none"`},
		"no file":         {arg: "bbb", flags: []string{"--config=/none"}, code: exitInfra, want: "/none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ITLBENCH_CONSOLE", "")
			t.Setenv("ITLBENCH_POWER", "")
			for _, v := range test.env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			var talk strings.Builder
			e := &env{stderr: &talk}
			f, s := e.flags("flash"), new(site)
			s.addLine(f)
			f.StringVar(&s.dir, "dir", "", "")
			if err := f.Parse(test.flags); err != nil {
				t.Fatal(err)
			}
			code := s.find(e, f, test.arg)
			if code != test.code {
				t.Fatalf("code %d: %s", code, &talk)
			}
			if code != exitOK {
				if !strings.Contains(talk.String(), test.want) || strings.Count(talk.String(), "\n") != 1 {
					t.Errorf("%q, want %q", &talk, test.want)
				}
				return
			}
			if got := s.console + " " + s.power + " " + s.dir; s.board.Name != test.board || got != test.want {
				t.Errorf("%s: %q, want %q", s.board.Name, got, test.want)
			}
			if b := s.board.Bootloader; test.arg == "bbb" && (b.Prompt != "bbb> " || b.Key != "secret" || b.Stop == "") {
				t.Errorf("%+v", b)
			}
		})
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A target is flashed by its name: what cannot be done says so before anything is sent.
func TestFlashTarget(t *testing.T) {
	lineEnv(t)
	b := rigtest.New(t, rigtest.Board{Broken: true})
	dir := t.TempDir()
	config := filepath.Join(dir, "targets.yaml")
	text := fmt.Sprintf("targets:\n  gone: {console: /dev/none-such, board: qemu-arm-uboot, images: images}\n  dark: {console: %q, power: %q, board: qemu-arm-uboot, images: images}\n", "pty:"+b.Link, b.Power)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// An image, as far as it is looked at before the line is opened.
	board, err := boards.Load("qemu-arm-uboot")
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(dir, "images")
	if err := os.Mkdir(images, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range board.Bootloader.Files {
		data, err := uimage.Image{Name: f.Partition, Arch: uimage.ARM, Type: uimage.Kernel, Data: []byte("x")}.Marshal()
		if err == nil {
			err = os.WriteFile(filepath.Join(images, f.File), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(images, image.ManifestFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"gone": "flash: /dev/none-such: no such file or directory",
		"dark": "flash: power cycle: the power was not switched: ",
	} {
		code, out, talk := ended(t, "flash", target, "--config", config, "--tftp", "192.0.2.1", "--over", "ymodem")
		if code != exitInfra || !strings.Contains(talk, want) || strings.Count(talk, "\n") != 1 {
			t.Errorf("%s: code %d, %q, want %q", target, code, out+talk, want)
		}
	}
	code, out, talk := ended(t, "flash", "gone", "--config", config, "--tftp", "192.0.2.1", "--dry-run")
	if code != exitOK || !strings.Contains(out, "-tftp 192.0.2.1") {
		t.Errorf("code %d\n%s%s", code, out, talk)
	}
}

// The cluster beside a board has the same ports at each run, so that the board's
// environment does not change with them.
func TestPortsStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	var first []string
	for range 2 {
		c, err := startForGuest("note", dir)
		if err != nil {
			t.Fatal(err)
		}
		now := guestServers(c)
		c.Close()
		if len(now) != 2 || first != nil && !slices.Equal(now, first) {
			t.Errorf("%v, before %v", now, first)
		}
		first = now
	}
	r := flashing{site: site{dir: filepath.Dir(dir)}}
	if dry := r.clusterBefore(); !slices.Equal(dry, first) {
		t.Errorf("a dry run has %v, want %v", dry, first)
	}
}
