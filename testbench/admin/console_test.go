package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"itlagent/agent/login"
	"itlagent/platform/console"
	"itlagent/platform/console/consoletest"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
)

const (
	quickCommand = "show version active"
	quickAnswer  = "Active Master Version"
)

// atPTY runs an administrator's session in this process, on a pty, again after each end.
func atPTY(t *testing.T, n *cluster.Node) *consoletest.Person {
	t.Helper()
	master, tty := consoletest.PTY(t)
	ctx, stop := context.WithCancel(t.Context())
	c, _, leave, err := console.Attach(ctx, tty, tty, admin.Prompt, admin.Complete)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer leave()
		for ctx.Err() == nil {
			admin.New(n, c).Loop()
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return consoletest.New(t, master, master, quickCommand, quickAnswer)
}

// overSSH is a person at a terminal of an SSH session.
func overSSH(t *testing.T, client *ssh.Client) *consoletest.Person {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	if err := session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	return consoletest.New(t, in, out, quickCommand, quickAnswer)
}

func logIn(t *testing.T, c *cluster.Cluster) *ssh.Client {
	t.Helper()
	client, err := dial(t, c.Publisher(), admin.User, adminPassword)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// Whatever is typed at a session, in this process or over SSH, the next command is
// answered, and nothing goes on working.
func TestHostileTyping(t *testing.T) {
	c := startCluster(t)
	for _, row := range []struct {
		name string
		open func() *consoletest.Person
	}{
		{"in process", func() *consoletest.Person { return atPTY(t, c.Publisher()) }},
		{"over SSH", func() *consoletest.Person { return overSSH(t, logIn(t, c)) }},
	} {
		p := row.open()
		kept := strings.NewReplacer()
		if row.name == "over SSH" {
			kept = strings.NewReplacer("\x04", "") // Ctrl-D ends the session where the line is empty
		}
		for name, bytes := range consoletest.Hostile(consoletest.Sizes) {
			p.Type(kept.Replace(bytes))
			p.Answered(row.name + ", " + name)
		}
		consoletest.Idle(t)
		for bytes := range consoletest.Random(t, 1_000_000) {
			p.Type(kept.Replace(bytes))
			p.Answered(row.name + ", random bytes")
		}
		consoletest.Idle(t)
	}
}

// OpenSSH's client with a forced terminal: an unfinished sequence neither stops the
// session nor keeps it alive once its client was killed.
func TestKilledClients(t *testing.T) {
	needs(t, "ssh", "openssh-client")
	c := startCluster(t)
	file := filepath.Join(c.Dir(), "ssh_config")
	_, port, _ := net.SplitHostPort(c.Publisher().Endpoint("ssh"))
	askpass := filepath.Join(c.Dir(), "askpass")
	conf := fmt.Sprintf("Port %s\nStrictHostKeyChecking accept-new\nUserKnownHostsFile %s/known\nLogLevel ERROR\nPubkeyAuthentication no\n", port, c.Dir())
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(askpass, []byte("#!/bin/sh\necho '"+adminPassword+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		cmd := exec.CommandContext(t.Context(), "ssh", "-tt", "-F", file, "admin@127.0.0.1")
		cmd.Env = append(os.Environ(), "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p := consoletest.New(t, in, out, quickCommand, quickAnswer)
		if !p.Sees(admin.Prompt, 20*time.Second) {
			t.Fatal("no session")
		}
		p.Answered("the start")
		p.Type("\x1b[" + strings.Repeat("1", 254))
		p.Answered("254 digits behind ESC [")
		p.Type("\x1b[" + strings.Repeat("1", 254))
		cmd.Process.Kill()
		cmd.Wait()
	}
	consoletest.Idle(t)
	c.Stop() // which waits for sessions
}

// Ctrl-C returns to the prompt with nothing changed, from every question.
func TestControlC(t *testing.T) {
	c := startCluster(t)
	pub := c.Publisher()
	for name, p := range map[string]*consoletest.Person{"in process": atPTY(t, pub), "over SSH": overSSH(t, logIn(t, c))} {
		before := state(t, c)
		for _, typed := range []string{
			"show ver", "utils itl reset localkey\r", "utils itl reset localkey\rhalf a passw", "set cert regen CallManager\r", "set cert regen CallManager\rye",
			"utils ctl set-cluster mixed-mode\r", "set password user security\ry\r", "set password user security\ry\r" + securityPassword + "\rnew", "file get tftp ITLRecovery.p12\ry\r127.0.0.1\r",
			"utils itl reset remotekey 127.0.0.1 a b\r", "set cert import trust CallManager\r-----BEGIN CERTIFICATE-----\r", "set network hostname other\r", "utils fips enable\r",
		} {
			p.Type(typed + "\x03")
			hidden := strings.Contains(typed, "passw") || strings.Contains(typed, "remotekey") || strings.Contains(typed, "localkey") // nothing is echoed there
			if !hidden && !p.Sees("^C", consoletest.Patience) {
				t.Errorf("%s: no ^C behind %q", name, typed)
			}
			p.Answered(name + ", " + typed)
		}
		if state(t, c) != before {
			t.Errorf("%s: something has changed", name)
		}
	}
	out := new(bytes.Buffer)
	steps := console.NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader("\x03"), out}, admin.Prompt, nil)
	if code := admin.New(pub, steps).Run("utils itl reset localkey"); code != admin.Failed || !strings.Contains(out.String(), "Control-C pressed") {
		t.Errorf("%d, %q", code, out)
	}
}

// (y/n) takes yes and no, in any case.
func TestYesAndNo(t *testing.T) {
	c := newCluster(t, "note")
	if err := c.Backup("today"); err != nil {
		t.Fatal(err)
	}
	for answer, yes := range map[string]bool{"y": true, "yes": true, "YES": true, " Y ": true, "n": false, "no": false, "": false, "yess": false} {
		if out, _ := run(c.Publisher(), "utils disaster_recovery restore today", answer); strings.Contains(out, "Operation cancelled.") == yes {
			t.Errorf("%q:\n%s", answer, out)
		}
	}
}

// The answer to the password of an SFTP server is on the line of the question, on a
// terminal as well.
func TestPasswordOnTheSameLine(t *testing.T) {
	c := newCluster(t, "note")
	var screen bytes.Buffer
	terminal := console.NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader("secret\r"), &screen}, admin.Prompt, nil)
	admin.New(c.Publisher(), terminal).Run("utils itl reset remotekey 127.0.0.1:1 joemar2 /a.p12")
	if !strings.Contains(screen.String(), "Enter Sftp password :Processing token in else 0 tac\r\ncount is 1\r\n") {
		t.Errorf("%q", screen.String())
	}
}

// A long word costs no more than its length, and a command is as long as a line at most.
func TestLongWords(t *testing.T) {
	c := startCluster(t)
	word := strings.Repeat("x", 2<<20)
	began := time.Now()
	if out, code := run(c.Publisher(), "show "+word); code != admin.Usage || len(out) > 200 {
		t.Errorf("%d, %d bytes", code, len(out))
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("a word of 2 MB took %v", d)
	}
	client := logIn(t, c)
	for size, want := range map[int]string{console.MaxLine: "No valid command", console.MaxLine + 1: "too long", 100_000: "too long"} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, _ := session.CombinedOutput(word[:size])
		if !strings.Contains(string(out), want) {
			t.Errorf("%d bytes: %.200q", size, out)
		}
	}
}

// Wrong passwords make the next one of their address wait, the right one too, and keep
// nobody else out: not the owner at another address, nor one with a key.
func TestWrongPasswordsCostTime(t *testing.T) {
	var mu sync.Mutex
	now, waited := time.Unix(1<<30, 0), time.Duration(0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	s := &admin.SSH{Logins: login.Delay{Now: clock}, Wait: func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now, waited = now.Add(d), waited+d
	}}
	c := newCluster(t, "note")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.Serve(conn, c.Publisher())
		}
	}()
	try := func(from, user, password string) bool {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client, _, _, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		if err == nil {
			client.Close()
		}
		return err == nil
	}
	for i := range 40 {
		if try("127.0.0.2", []string{admin.User, "root"}[i%2], "guess") {
			t.Fatal("a guess was let in")
		}
	}
	if waited < 5*time.Minute {
		t.Errorf("40 guesses waited %v", waited)
	}
	waited = 0
	if !try("127.0.0.1", admin.User, adminPassword) || waited != 0 {
		t.Errorf("the owner at another address waited %v", waited)
	}
	if !try("127.0.0.2", admin.User, adminPassword) || waited == 0 || waited > login.Longest {
		t.Errorf("the right password at the address of the guesses waited %v", waited)
	}
}
