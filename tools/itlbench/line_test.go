package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/term"

	"itlagent/platform/console/consoletest"
)

// linePatience is against hanging alone.
const linePatience = 90 * time.Second

// echoBoard is a fake board at one end of a pty: it echoes, and answers "ping" with "pong".
func echoBoard(t *testing.T) (port string, master *os.File) {
	t.Helper()
	master, tty := consoletest.PTY(t)
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	go func() {
		line := ""
		in := bufio.NewReader(master)
		for {
			c, err := in.ReadByte()
			if err != nil {
				return
			}
			master.Write([]byte{c})
			if line += string(rune(c)); c == '\r' {
				if strings.HasSuffix(line, "ping\r") {
					io.WriteString(master, "\npong\r\n# ")
				}
				line = ""
			}
		}
	}()
	return tty.Name(), master
}

// watch collects what a program shows on its terminal.
type watch struct {
	mu sync.Mutex
	b  []byte
}

func newWatch(r io.Reader) *watch {
	w := new(watch)
	go io.Copy(w, r)
	return w
}

func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, b...)
	return len(b), nil
}

func (w *watch) String() string { w.mu.Lock(); defer w.mu.Unlock(); return string(w.b) }

// sees waits until a text has been shown.
func (w *watch) sees(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(linePatience); !strings.Contains(w.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in:\n%s", text, w)
		}
	}
}

// lineEnv gives consoles of a test their own folders, and returns that of the logs.
func lineEnv(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	return filepath.Join(dir, "itlbench", "console")
}

// One writes and two read, in three terminals: all see the board, whose bytes are in the
// log. Each terminal is given back as it was: by the quit key, SIGTERM, and SIGHUP.
func TestConsoleLine(t *testing.T) {
	logs := lineEnv(t)
	port, _ := echoBoard(t)
	type seat struct {
		cmd    *exec.Cmd
		master *os.File
		before *term.State
		w      *watch
	}
	var seats []seat
	for i := range 3 {
		master, tty := consoletest.PTY(t)
		before, err := term.GetState(int(tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "itlbench", "console", port)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s := seat{cmd, master, before, newWatch(master)}
		s.w.sees(t, "ctrl-t q quits")
		seats = append(seats, s)
		if i == 0 {
			io.WriteString(master, "ping\r")
		}
		s.w.sees(t, "pong") // the others as their backlog
	}
	io.WriteString(seats[0].master, "another ping\r")
	for _, s := range seats {
		s.w.sees(t, "another ping\r\npong")
	}
	io.WriteString(seats[1].master, "x")
	seats[1].w.sees(t, "is writing]")
	io.WriteString(seats[1].master, "\x14w")
	seats[0].w.sees(t, "asks to write]")
	io.WriteString(seats[0].master, "\x14f")
	seats[1].w.sees(t, "you write now]")
	io.WriteString(seats[1].master, "my ping\r")
	seats[2].w.sees(t, "my ping\r\npong")

	seats[1].cmd.Process.Signal(syscall.SIGTERM)
	seats[2].cmd.Process.Signal(syscall.SIGHUP)
	for _, i := range []int{1, 2, 0} {
		s := seats[i]
		if i == 0 {
			io.WriteString(s.master, "\x14q")
		}
		if err := s.cmd.Wait(); err != nil {
			t.Errorf("console %d: %v\n%s", i, err, s.w)
		}
		after, err := term.GetState(int(s.cmd.Stdin.(*os.File).Fd()))
		if err != nil || *after != *s.before {
			t.Errorf("console %d: the terminal is not as it was (%v)", i, err)
		}
	}
	found, err := filepath.Glob(logs + "/*/*.log")
	if err != nil || len(found) != 1 {
		t.Fatalf("logs %q, %v", found, err)
	}
	text, err := os.ReadFile(found[0])
	if want := "ping\r\npong\r\n# another ping\r\npong\r\n# my ping\r\npong\r\n# "; err != nil || string(text) != want {
		t.Errorf("log %q, %v, want %q", text, err, want)
	}
}

// The board's own shell: why is typed by one, and two others see its answer.
func TestConsoleWhy(t *testing.T) {
	lineEnv(t)
	dir := t.TempDir()
	itlagent := filepath.Join(dir, "itlagent")
	if out, err := exec.Command("go", "build", "-o", itlagent, "itlagent/firmware/itlagent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	link := filepath.Join(dir, "board")
	var watches []*watch
	var writer *os.File
	for i := range 3 {
		cmd, master := onPTY(t, "itlbench", "console", "pty:"+link)
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		w := newWatch(master)
		w.sees(t, "ctrl-t q quits")
		watches = append(watches, w)
		if i == 0 {
			writer = master
		}
	}
	tty, err := os.OpenFile(link, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	board := exec.CommandContext(t.Context(), itlagent, "-console", "-mac", "64A0E71502CC", "-tftp", "127.0.0.1:1", "-state", filepath.Join(dir, "state"))
	board.Stdin, board.Stdout, board.Stderr = tty, tty, tty
	if err := board.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { board.Process.Kill(); board.Wait() })
	watches[0].sees(t, "$ ")
	watches[0].sees(t, "SEP64A0E71502CC download-failed")
	io.WriteString(writer, "why\r")
	for _, w := range watches {
		w.sees(t, "do: start TFTP")
	}
}

// Scripts: text and exit codes.
func TestConsoleScripts(t *testing.T) {
	lineEnv(t)
	port, _ := echoBoard(t)
	for _, test := range []struct {
		args, in  string
		code      int
		out, talk string
	}{
		{"--send ping --until pong", "", 0, "pong", ""},
		{"--send x --until pong --timeout 50ms", "", 1, "x", `the board did not say "pong" within 50ms`},
		{"--stdio --until pong", "ping\r", 0, "ping\r\npong", ""},
		{"--send quiet", "", 0, "", ""},
		{"--escape x", "", 2, "", `invalid key "x"`},
		{"--enter no", "", 2, "", `--enter "no"`},
		{"--log /dev/null", "", 3, "", "is not a regular file"},
	} {
		cmd := exec.CommandContext(t.Context(), "itlbench", append([]string{"console", port}, strings.Fields(test.args)...)...)
		var out, talk bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(test.in), &out, &talk
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(out.String(), test.out) || !strings.Contains(talk.String(), test.talk) {
			t.Errorf("%s: code %d, %q, %q", test.args, code, &out, &talk)
		}
	}
	for args, want := range map[string]string{
		"/dev/ttyNONE":       "hint: itlbench serial list",
		"/dev/null":          "is not a serial port",
		"nosuchboard":        `no target "nosuchboard"`,
		"unix:/nowhere/sock": "no such file",
		"tcp:127.0.0.1:1":    "connection refused",
		"fax:1":              "invalid line",
	} {
		out, err := exec.Command("itlbench", "console", args).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") > 2 {
			t.Errorf("%s: %s", args, out)
		}
	}
}

// Another program's terminals at our line, over a pty that the console offers: what is
// typed there reaches the board, and its answer comes back.
func TestConsoleInterop(t *testing.T) {
	for program, args := range map[string][]string{
		"tio":     {"tio", "LINK"},
		"picocom": {"picocom", "-q", "--noreset", "LINK"},
		"socat":   {"socat", "-,raw,echo=0", "LINK,raw,echo=0"},
		"python3": {"/usr/bin/python3", "-c", "import serial; s = serial.Serial('LINK', 115200, timeout=60); s.write(b'ping\\r'); print(s.read_until(b'pong').decode()); input()"},
	} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skipf("SKIPPED: %s is not installed (`make deps`)", program)
			}
			lineEnv(t)
			port, _ := echoBoard(t)
			link := filepath.Join(t.TempDir(), "line")
			console := exec.CommandContext(t.Context(), "itlbench", "console", port, "--stdio", "--pty", link)
			hold, err := console.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer hold.Close()
			talk, err := console.StderrPipe()
			if err != nil || console.Start() != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { console.Process.Kill(); console.Wait() })
			newWatch(talk).sees(t, "pty "+link)
			var with []string
			for _, a := range args {
				with = append(with, strings.ReplaceAll(a, "LINK", link))
			}
			cmd, master := onPTY(t, with[0], with[1:]...)
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			w := newWatch(master)
			for deadline := time.Now().Add(linePatience); !strings.Contains(w.String(), "pong"); time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("no answer:\n%s", w)
				}
				io.WriteString(master, "ping\r") // until the program is ready to read
			}
		})
	}
}

// The device program's shell on a line of its own; its messages stay where they are.
func TestShellOnItsOwnLine(t *testing.T) {
	dir := t.TempDir()
	itlagent := filepath.Join(dir, "itlagent")
	if out, err := exec.Command("go", "build", "-o", itlagent, "itlagent/firmware/itlagent").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"-console", "LINE,9600"}, {"-console=LINE"}} {
		master, tty := consoletest.PTY(t)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "LINE", tty.Name())
		}
		cmd := exec.CommandContext(t.Context(), itlagent, append(args, "-mac", "64A0E71502CC", "-tftp", "127.0.0.1:1", "-state", filepath.Join(dir, "state"))...)
		messages, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		screen, log := newWatch(master), newWatch(messages)
		log.sees(t, "SEP64A0E71502CC download-failed")
		io.WriteString(master, "why\r")
		screen.sees(t, "do: start TFTP")
		if strings.Contains(log.String(), "do: ") || strings.Contains(screen.String(), "SEP64A0E71502CC download-failed") {
			t.Errorf("messages:\n%s\nthe line:\n%s", log, screen)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	out, err := exec.Command(itlagent, "-console", "/dev/ttyNONE", "-mac", "64A0E71502CC", "-tftp", "127.0.0.1:1", "-state", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "console: open /dev/ttyNONE: no such file or directory") {
		t.Errorf("%v: %s", err, out)
	}
}
