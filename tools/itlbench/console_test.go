package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"itlagent/agent/holdings"
	"itlagent/platform/console/consoletest"
	"itlagent/platform/filestore"
)

// onPTY starts a program on a pty.
func onPTY(t *testing.T, program string, args ...string) (*exec.Cmd, *os.File) {
	t.Helper()
	master, tty := consoletest.PTY(t)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	// A program with the race detector sleeps for a second before it exits.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, master
}

// consoles are the programs with a phone's console, and the flags of one that reaches
// nobody and keeps its state in a directory.
func consoles(t *testing.T) map[string]func(state string) []string {
	t.Helper()
	itlagent := filepath.Join(t.TempDir(), "itlagent")
	if out, err := exec.Command("go", "build", "-o", itlagent, "itlagent/firmware/itlagent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return map[string]func(string) []string{
		"itlbench": func(state string) []string {
			return []string{"itlbench", "phone", "--console", "--tftp", "127.0.0.1:1", "--state", state}
		},
		"itlagent": func(state string) []string {
			return []string{itlagent, "-console", "-mac", "64A0E71502CC", "-tftp", "127.0.0.1:1", "-state", state}
		},
	}
}

// ending is how long a program may take to end.
const ending = time.Second

// A phone's console survives whatever is pasted, and ends with SIGTERM and SIGINT at its
// prompt, with half a line typed or none.
func TestConsoleEndsWithSignals(t *testing.T) {
	for name, flags := range consoles(t) {
		for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
			for _, typed := range []string{"", "show sta", "\x1b[" + strings.Repeat("1", 254)} {
				args := flags(t.TempDir())
				cmd, master := onPTY(t, args[0], args[1:]...)
				p := consoletest.New(t, master, master, "show status", "CP-7965G SEP64A0E71502CC")
				if !p.Sees("$ ", 20*time.Second) {
					t.Fatalf("%s: no prompt", name)
				}
				p.Type(strings.Repeat("a block that somebody has pasted, on lines of its own\r", 50<<10/54))
				p.Answered("a pasted block of 50 KB")
				p.Type(strings.Repeat("x", 50<<10))
				p.Answered("a pasted line of 50 KB")
				p.Type(typed)
				began := time.Now()
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatalf("%s: the program has ended: %v", name, err)
				}
				err := cmd.Wait()
				if d := time.Since(began); err != nil || d > ending {
					t.Errorf("%s, %v behind %.10q: it took %v, %v", name, sig, typed, d, err)
				}
			}
		}
	}
}

// A login that is stored is asked for at each start, before anything else.
func TestConsoleAsksAtEachStart(t *testing.T) {
	for name, flags := range consoles(t) {
		state := t.TempDir()
		store, err := filestore.Open(state)
		if err == nil {
			err = store.Put(holdings.Config, []byte("<device><sshUserId>admin</sshUserId><sshPassword>secret</sshPassword></device>"))
		}
		if err != nil {
			t.Fatal(err)
		}
		store.Close()
		for range 10 {
			args := flags(state)
			cmd, master := onPTY(t, args[0], args[1:]...)
			p := consoletest.New(t, master, master, "", "")
			p.Type("show status\rshow status\r")
			if !p.Sees("log in: ", 20*time.Second) || p.Sees("firmware", 100*time.Millisecond) {
				t.Errorf("%s: nobody was asked", name)
			}
			p.Type("\x03")
			p.Settle()
			p.Type("admin\rsecret\rshow status\r")
			if !p.Sees("CP-7965G SEP64A0E71502CC", 20*time.Second) {
				t.Errorf("%s: who has the password is not let in", name)
			}
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
}
