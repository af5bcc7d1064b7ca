package admin_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
)

// needs skips a test, aloud, whose program is missing.
func needs(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package %s)", program, pkg)
	}
	return path
}

func startCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := newCluster(t, "note")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// openSSH runs OpenSSH's client against a node, with more lines for its
// configuration.
func openSSH(t *testing.T, n *cluster.Node, conf string, env []string, stdin string, args ...string) (output string, code int) {
	t.Helper()
	_, port, _ := net.SplitHostPort(n.Endpoint("ssh"))
	dir := n.Cluster().Dir()
	file := filepath.Join(dir, "ssh_config")
	conf = fmt.Sprintf("Port %s\nStrictHostKeyChecking accept-new\nUserKnownHostsFile %s/known\nLogLevel ERROR\nNumberOfPasswordPrompts 1\n%s\n", port, dir, conf)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "ssh", append([]string{"-F", file, "admin@127.0.0.1"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestOpenSSHClient(t *testing.T) {
	needs(t, "ssh", "openssh-client")
	keygen := needs(t, "ssh-keygen", "openssh-client")
	c := startCluster(t)
	pub := c.Publisher()
	key := filepath.Join(c.Dir(), "key")
	if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	withKey := func(stdin string, args ...string) (string, int) {
		return openSSH(t, pub, "IdentityFile "+key+"\nBatchMode yes", nil, stdin, args...)
	}
	if out, code := withKey("", "show version active"); code == 0 {
		t.Errorf("an unknown key was let in:\n%s", out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir(), admin.AuthorizedKeys), append([]byte("# administrators\n"), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := withKey("", "show version active"); code != 0 || !strings.Contains(out, "Active Master Version: 10.0.1.10000-24") {
		t.Errorf("one command: %d\n%s", code, out)
	}
	if out, code := withKey("", "nonsense"); code != admin.Usage {
		t.Errorf("no command: %d\n%s", code, out)
	}
	if out, code := withKey("wrong\n", "utils itl reset localkey"); code != admin.Failed || !strings.Contains(out, "Nothing was changed.") {
		t.Errorf("a wrong password: %d\n%s", code, out)
	}
	if out, code := withKey(adminPassword+"\n", "utils itl reset localkey"); code != 0 || !strings.Contains(out, "Cisco Tftp service restarted on host test10sub") {
		t.Errorf("a reset: %d\n%s", code, out)
	}
	if out, code := withKey("show network cluster\nexit\n"); code != 0 || !strings.Contains(out, "admin:show network cluster") || !strings.Contains(out, "test10sub Subscriber") {
		t.Errorf("a session of lines: %d\n%s", code, out)
	}
	// A password, by the program that asks for it.
	ask := func(password string) []string {
		path := filepath.Join(c.Dir(), "askpass")
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+password+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return []string{"SSH_ASKPASS=" + path, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none"}
	}
	if out, code := openSSH(t, pub, "PubkeyAuthentication no", ask(adminPassword), "", "show version active"); code != 0 || !strings.Contains(out, "Active Master Version") {
		t.Errorf("with the password: %d\n%s", code, out)
	}
	if out, code := openSSH(t, pub, "PubkeyAuthentication no", ask("wrong"), "", "show version active"); code != 255 {
		t.Errorf("with a wrong password: %d\n%s", code, out)
	}

	// The host key is kept: a cluster opened again has the same one.
	c.Stop()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if out, code := withKey("", "show version active"); code != 0 {
		t.Errorf("after a restart: %d\n%s", code, out)
	}
}

// dial opens an SSH connection with Go's client, which gets a terminal.
func dial(t *testing.T, n *cluster.Node, name, password string) (*ssh.Client, error) {
	t.Helper()
	return ssh.Dial("tcp", n.Endpoint("ssh"), &ssh.ClientConfig{
		User: name, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second})
}

func TestTerminalOverSSH(t *testing.T) {
	c := startCluster(t)
	for _, bad := range [][2]string{{"root", adminPassword}, {admin.User, "wrong"}, {admin.User, ""}} {
		if client, err := dial(t, c.Publisher(), bad[0], bad[1]); err == nil {
			client.Close()
			t.Errorf("%s with %q was let in", bad[0], bad[1])
		}
	}
	client, err := dial(t, c.Nodes()[1], admin.User, adminPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm", 40, 120, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	if err := session.WindowChange(50, 132); err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	session.Stdout = &screen
	session.Stdin = strings.NewReader("show net\t\t\rutils itl reset localkey\rexit\r")
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	if err := session.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Welcome to the command line of test10sub.joemar2.lab", "show network cluster", "DBPub", "This is not a Publisher Node"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("the screen does not show %q:\n%q", want, screen.String())
		}
	}
	// What is no session is refused, and so are more of them than there may be.
	if _, _, err := client.OpenChannel("direct-tcpip", nil); err == nil {
		t.Error("a forwarded port was opened")
	}
	opened := 0
	for range 20 {
		if s, err := client.NewSession(); err == nil {
			defer s.Close()
			opened++
		}
	}
	if opened == 0 || opened > 8 {
		t.Errorf("%d sessions on one connection", opened)
	}
}

// Clients that say nothing, or rubbish, keep nobody else out.
func TestHostileSSH(t *testing.T) {
	c := startCluster(t)
	pub := c.Publisher()
	for i := range 48 {
		conn, err := net.Dial("tcp", pub.Endpoint("ssh"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		switch i % 4 {
		case 0: // idle
		case 1:
			io.CopyN(conn, rand.Reader, 4096)
		case 2:
			fmt.Fprint(conn, "SSH-2.0-x\r\n", strings.Repeat("A", 70_000))
		case 3:
			fmt.Fprint(conn, strings.Repeat("line\r\n", 10_000))
			conn.Close()
		}
	}
	client, err := dial(t, pub, admin.User, adminPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.CombinedOutput("show version active")
	if err != nil || !strings.Contains(string(out), "Active Master Version") {
		t.Errorf("%v\n%s", err, out)
	}
	// A line without an end is bounded.
	session, err = client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	session.Stdin = strings.NewReader(strings.Repeat("x", 1<<20))
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	session.Wait()
}

// A whole OpenSSH server keeps the recovery key: the node logs in with its key.
func TestOpenSSHServer(t *testing.T) {
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skipf("SKIPPED: %s is not installed (package openssh-server)", sshd)
	}
	keygen := needs(t, "ssh-keygen", "openssh-client")
	c := newCluster(t, "note")
	pub := c.Publisher()
	dir := t.TempDir()
	if out, err := exec.Command(keygen, "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", filepath.Join(dir, "host")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, _ := run(pub, "show sftp key")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/keys\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp %s\n", port, dir, dir, sftpServer)
	for name, data := range map[string]string{"conf": conf, "keys": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 { // where sshd drops its rights to
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), sshd, "-D", "-e", "-f", filepath.Join(dir, "conf"))
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("sshd does not start: %s", &log)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	out, code := run(pub, "file get tftp ITLRecovery.p12", "y", "127.0.0.1", port, me.Username, "unused", dir, "yes")
	if code != admin.Done || !strings.Contains(out, "Transfer completed.") {
		t.Fatalf("file get: %d\n%s\n%s", code, out, &log)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "ITLRecovery.p12")); err != nil || !bytes.Equal(data, pub.State().RecoveryP12()) {
		t.Errorf("%d bytes arrived, %v", len(data), err)
	}
	out, code = run(pub, "utils itl reset remotekey 127.0.0.1:"+port+" "+me.Username+" "+dir+"/ITLRecovery.p12", "unused", adminPassword)
	if code != admin.Done || !strings.Contains(out, "The reset ITL file was generated successfully") {
		t.Errorf("remotekey: %d\n%s\n%s", code, out, &log)
	}
}
