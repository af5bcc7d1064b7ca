package filestore_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"itlagent/platform/filestore"
)

func TestTwoStores(t *testing.T) {
	dir := t.TempDir()
	s, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := filestore.Open(dir); !errors.Is(err, filestore.ErrBusy) || other != nil {
		t.Errorf("opened twice: %v, want %v", err, filestore.ErrBusy)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := s.Put("itl", nil); err == nil {
		t.Error("a closed Store was written")
	}
	store(t, dir)
}

// TestHolder is the other process of TestTwoProcesses.
func TestHolder(t *testing.T) {
	dir := os.Getenv("FILESTORE_TEST_DIR")
	if dir == "" {
		return // it is the test itself that runs
	}
	store(t, dir)
	fmt.Println("open")
	io.Copy(io.Discard, os.Stdin)
}

// The second process is told who has the directory; a process that ends, in whatever
// way, leaves it free.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	holder := exec.Command(os.Args[0], "-test.run=^TestHolder$")
	holder.Env = append(os.Environ(), "FILESTORE_TEST_DIR="+dir)
	stdin, err1 := holder.StdinPipe()
	stdout, err2 := holder.StdoutPipe()
	err := holder.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("SKIPPED: this program is emulated, and cannot start itself")
	}
	if err := errors.Join(err1, err2, err); err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, err = filestore.Open(dir)
	want := fmt.Sprintf("process %d, filestore.test", holder.Process.Pid)
	if !errors.Is(err, filestore.ErrBusy) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want %q", err, want)
	}
	holder.Process.Kill()
	holder.Wait()
	store(t, dir)
}
