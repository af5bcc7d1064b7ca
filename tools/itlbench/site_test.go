package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
	run := func(board rigtest.Board, more ...string) (int, string) {
		b := rigtest.New(t, board)
		code, out, talk := ended(t, append([]string{"scenario", "run", "rollback", "-q", "--on", "bench", "--config", targetsOf(t, b), "--listen", "127.0.0.1", "--wait", "700ms"}, more...)...)
		return code, out + talk
	}
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
		more  []string
		want  string
	}{
		"dead":         {rigtest.Board{Dead: true}, nil, "scenario run: the board did not say"},
		"broken relay": {rigtest.Board{Broken: true}, nil, "scenario run: power off: the power was not switched"},
		"slow relay":   {rigtest.Board{Slow: true}, nil, "it has not ended after"},
		"no line":      {rigtest.Board{}, []string{"--console", "/dev/none-such"}, "/dev/none-such: no such file or directory (itlbench serial list shows the ports that are there)"},
		"no socket":    {rigtest.Board{}, []string{"--console", "unix:/none/such.sock"}, "unix:/none/such.sock is not there: "},
		"in use":       {rigtest.Board{}, []string{"--console", port}, "the line is in use: console "},
	} {
		code, text := run(test.board, test.more...)
		if code != exitInfra || strings.Count(text, "\n") != 1 || !strings.Contains(text, test.want) || !strings.HasSuffix(text, ")\n") {
			t.Errorf("%s: code %d, %q, want %q", name, code, text, test.want)
		}
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
