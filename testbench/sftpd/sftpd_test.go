package sftpd_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"itlagent/testbench/sftpd"
)

func start(t *testing.T, dir string) (*sftpd.Server, *sftp.Client) {
	t.Helper()
	s, err := sftpd.Start(sftpd.Options{Dir: dir, User: "joe", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	conn, err := ssh.Dial("tcp", s.Address(), &ssh.ClientConfig{User: "joe", Auth: []ssh.AuthMethod{ssh.Password("secret")},
		HostKeyCallback: ssh.FixedHostKey(s.HostKey()), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

// A user reads, writes, renames and lists files of the directory, and none outside it.
func TestInsideOnly(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "served")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	_, c := start(t, dir)
	for _, name := range []string{secret, "../secret", "/../secret", "link", dir + "/../secret", "/etc/passwd"} {
		if f, err := c.Open(name); err == nil {
			data, _ := io.ReadAll(f)
			t.Errorf("%s could be read: %q", name, data)
		}
		if f, err := c.Create(name + "-new"); err == nil {
			f.Close()
		}
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 2 {
		t.Errorf("outside there are %v (%v), want secret and served", entries, err)
	}
	f, err := c.Create(dir + "/a") // with the directory's own path
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("recovery")); err != nil {
		t.Fatal(err)
	}
	if err := f.Chmod(0o640); err != nil {
		t.Error(err)
	}
	f.Close()
	if err := c.PosixRename("a", "/b"); err != nil {
		t.Error(err)
	}
	if f, err = c.Open("b"); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); string(data) != "recovery" {
		t.Errorf("read back %q (%v)", data, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "b")); err != nil || info.Mode() != 0o640 {
		t.Errorf("b: %v, %v", info, err)
	}
	found := false
	list, err := c.ReadDir(".")
	for _, info := range list {
		found = found || info.Name() == "b" && info.Size() == 8
	}
	if !found {
		t.Errorf("b is not listed: %v (%v)", list, err)
	}
}

// Close does not wait for users.
func TestCloseWithOpenConnections(t *testing.T) {
	s, _ := start(t, t.TempDir())
	idle, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	begin := time.Now()
	s.Close()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Close took %v", took)
	}
}
