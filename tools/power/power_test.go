package power

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	s, err := Parse("echo >>" + out + " relay 3")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []Action{On, Off, Cycle} {
		if err := s.Switch(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "relay 3 on\nrelay 3 off\nrelay 3 cycle\n" {
		t.Errorf("%q, %v", text, err)
	}
	s, _ = Parse("echo first; echo 'no \x1b[2J relay' >&2; false")
	if err := s.Switch(t.Context(), On); err == nil || !strings.Contains(err.Error(), `no \x1b[2J relay`) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q", err)
	}
	s, _ = Parse("sleep 1000; :")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Switch(ctx, On); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Error(err)
	}
	if err := s.Switch(ctx, On); !errors.Is(err, ErrSwitch) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	s, _ = Parse("sleep 30 & echo $! >" + out + "; :") // an emulator that keeps the output open
	if err := s.Switch(t.Context(), On); err != nil {
		t.Errorf("what it started in the background: %v", err)
	}
	if pid, err := os.ReadFile(out); err != nil || exec.Command("kill", strings.TrimSpace(string(pid))).Run() != nil {
		t.Errorf("it does not run: %q, %v", pid, err)
	}
	for _, bad := range []string{"", " ", "a\nb"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// An emulated board is switched as a real one is.
func TestQMP(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-arm")
	if err != nil {
		t.Skip("SKIPPED: qemu-system-arm is not installed (`make deps`)")
	}
	socket := filepath.Join(t.TempDir(), "qmp")
	cmd := exec.CommandContext(t.Context(), qemu, "-M", "virt", "-m", "16", "-display", "none", "-nic", "none", "-S", "-qmp", "unix:"+socket+",server=on,wait=off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
	}
	s, err := Parse("qmp:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ a, state string }{{"on", `"running"`}, {"off", `"p`}, {"on", `"running"`}, {"cycle", `"running"`}} {
		if err := s.Switch(t.Context(), Action(test.a)); err != nil {
			t.Fatal(err)
		}
		if got := status(t, socket); !strings.Contains(got, `"status": `+test.state) {
			t.Errorf("%s: %s", test.a, got)
		}
	}
	if err := s.Switch(t.Context(), "sideways"); err == nil {
		t.Error("an unknown action was taken")
	}
	if err := qmp("/nowhere").Switch(t.Context(), On); err == nil {
		t.Error("a socket that is not there")
	}
}

func status(t *testing.T, socket string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"query-status\"}\n")
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	var all []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(all), `"status"`) {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err, string(all))
		}
		all = append(all, buf[:n]...)
	}
	return string(all)
}
