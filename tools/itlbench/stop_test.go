package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/term"

	"itlagent/platform/console/consoletest"
)

var everyStop = flag.Bool("everystop", false, "end commands by both signals both over pipes and on a terminal")

// longRunning are the commands that go on until they are ended, or that may wait for long,
// and what each says once it does; where nothing is said, a file that it opens tells.
type longRunning struct {
	line   string
	ready  string
	keeps  []string // what it leaves behind on purpose, as patterns of paths
	silent bool     // is waited for by its clock alone
}

func longRunners() []longRunning {
	return []longRunning{
		{line: "phone --tftp SILENT", silent: true},
		{line: "phone --tftp CLOSED --console --http none", ready: "SHELL"},
		{line: "cluster up --dir new", ready: "tomcat", keeps: []string{"new*"}},
		{line: "cluster events --follow --dir lab", silent: true, keeps: []string{"lab*"}},
		{line: "cluster phones --wait 3 --dir lab", silent: true, keeps: []string{"lab*"}},
		{line: "admin --dir lab", ready: "admin:", keeps: []string{"lab*"}},
		{line: "sftp --dir lab --user x", ready: "host key", keeps: []string{"lab*"}},
		{line: "audit --dir lab --listen 127.0.0.1:0", ready: "127.0.0.1:", keeps: []string{"lab*"}},
		{line: "explain --tftp SILENT --mac 64A0E71502CC", silent: true},
		{line: "check SILENT", silent: true},
		{line: "console LINE --log log", silent: true, keeps: []string{"log*", "itlbench-console"}},
		{line: "console LINE --log log --until never", silent: true, keeps: []string{"log*", "itlbench-console"}},
		{line: "board probe --console LINE", silent: true},
		{line: "pages lab --listen 127.0.0.1:0", ready: "http://", keeps: []string{"lab*"}},
		{line: "show -", silent: true},
		{line: "fleet run --tftp SILENT --count 2 --hold", silent: true},
		{line: "demo", ready: "1. "},
	}
}

// stopPatience is against hanging alone.
const stopPatience = 30 * time.Second

// silentServer takes datagrams and answers none.
func silentServer(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// Whoever is ended by SIGTERM or SIGINT, over pipes or on a terminal, leaves nothing: no
// process, no socket, no file but what it was asked for, and the terminal as it was.
func TestStopped(t *testing.T) {
	for _, r := range longRunners() {
		for _, on := range []string{"pipes", "a terminal"} {
			for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
				if !*everyStop && (sig == syscall.SIGINT) != (on == "pipes") {
					continue // each signal once, each way once
				}
				t.Run(fmt.Sprintf("%s, %s, %v", r.line, on, sig), func(t *testing.T) {
					t.Parallel()
					stopOne(t, r, on == "a terminal", sig)
				})
			}
		}
	}
}

func stopOne(t *testing.T, r longRunning, terminal bool, sig syscall.Signal) {
	home := t.TempDir()
	if strings.Contains(r.line, "lab") {
		aCluster(t, filepath.Join(home, "lab"))
	}
	line := strings.NewReplacer("SILENT", silentServer(t), "CLOSED", "127.0.0.1:1").Replace(r.line)
	if strings.Contains(line, "LINE") {
		port, _ := echoBoard(t)
		line = strings.ReplaceAll(line, "LINE", port)
	}
	cmd := exec.Command("itlbench", strings.Fields(line)...)
	cmd.Dir = home
	for _, v := range []string{"HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"} {
		cmd.Env = append(cmd.Env, v+"="+home)
	}
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "TERM=vt100")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var screen *watch
	check := func() {}
	if terminal {
		master, tty := consoletest.PTY(t)
		before, err := term.GetState(int(tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		screen = newWatch(master)
		check = func() {
			if after, err := term.GetState(int(tty.Fd())); err != nil || !reflect.DeepEqual(before, after) {
				t.Errorf("the terminal is not as it was: %v", err)
			}
		}
	} else {
		in, hold, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); hold.Close() })
		out, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { out.Close(); w.Close() })
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, w, w
		screen = newWatch(out)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	awaitRunning(t, r, screen, cmd.Process.Pid)
	cmd.Process.Signal(sig)
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		t.Logf("ended after %v", time.Since(begin).Round(time.Millisecond))
	case <-time.After(stopPatience):
		t.Fatalf("it goes on %v after the signal; it said:\n%s", stopPatience, screen)
	}
	check()
	if left := session(t, cmd.Process.Pid); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if left := filesLeft(t, home, r.keeps); len(left) > 0 {
		t.Errorf("files are left: %q", left)
	}
	if strings.Contains(screen.String(), "panic") || strings.Contains(screen.String(), "goroutine ") {
		t.Errorf("it said:\n%s", screen)
	}
}

// awaitRunning waits until a command is at what it goes on with: it says so, or it sleeps
// in the kernel with its work behind it.
func awaitRunning(t *testing.T, r longRunning, screen *watch, pid int) {
	t.Helper()
	if r.ready != "" && r.ready != "SHELL" {
		screen.sees(t, r.ready)
		return
	}
	// It sleeps, and its processor time stands still: what is left is to wait. Whatever the
	// moment, nothing may be left; one that is busy for longer is ended in its work.
	const busy = time.Second
	last, still := "", 0
	for deadline := time.Now().Add(busy); still < 10 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, fields, _ := bytes.Cut(stat, []byte(") "))
		now := strings.Join(strings.Fields(string(fields))[11:13], " ")
		if now == last && fields[0] == 'S' {
			still++
		} else {
			still = 0
		}
		last = now
	}
}

// session returns the processes of a session that are left.
func session(t *testing.T, sid int) (left []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 3 && f[3] == strconv.Itoa(sid) && f[0] != "Z" {
			left = append(left, string(stat))
		}
	}
	return left
}

// filesLeft returns what is in a folder beside what is kept.
func filesLeft(t *testing.T, dir string, keeps []string) (left []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		top, _, _ := strings.Cut(name, "/")
		kept := slices.ContainsFunc(keeps, func(p string) bool { ok, _ := filepath.Match(p, top); return ok })
		if socket := d.Type()&fs.ModeSocket != 0; name != "." && (!kept || socket) && !(d.IsDir() && emptyButFolders(path)) {
			left = append(left, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// emptyButFolders reports whether a folder has no files: those that are made once for
// good, such as that of consoles' sockets, stay.
func emptyButFolders(dir string) bool {
	empty := true
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		empty = empty && (err != nil || d.IsDir())
		return nil
	})
	return empty && !strings.Contains(filepath.Base(dir), "demo") && !strings.Contains(filepath.Base(dir), "check")
}
