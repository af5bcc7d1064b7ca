package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/term"

	"itlagent/platform/console/consoletest"
)

// Debian's sb and sx send a file through the console's pipes to a receiver at the other
// end of the line: every byte passes as it is, both ways.
func TestSendersThroughConsole(t *testing.T) {
	data := make([]byte, 20_000)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	for _, c := range []struct{ send, receive []string }{
		{[]string{"sb", "-q", "image"}, []string{"rb", "-q"}},
		{[]string{"sx", "-q", "image"}, []string{"rx", "-q", "-c", "image"}},
	} {
		t.Run(c.send[0], func(t *testing.T) {
			if _, err := exec.LookPath(c.send[0]); err != nil {
				t.Skipf("SKIPPED: %s is not installed (`make deps`)", c.send[0])
			}
			lineEnv(t)
			master, tty := consoletest.PTY(t)
			if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
				t.Fatal(err)
			}
			receiver := exec.CommandContext(t.Context(), c.receive[0], c.receive[1:]...)
			receiver.Dir, receiver.Stdout = t.TempDir(), struct{ io.Writer }{master}
			toReceiver, err := receiver.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(toReceiver, master) // until the test closes the pty

			console := exec.CommandContext(t.Context(), "itlbench", "console", tty.Name(), "--stdio")
			sender := exec.CommandContext(t.Context(), c.send[0], c.send[1:]...)
			sender.Dir = t.TempDir()
			if err := os.WriteFile(filepath.Join(sender.Dir, "image"), data, 0o644); err != nil {
				t.Fatal(err)
			}
			var complaints, said bytes.Buffer
			sender.Stderr, console.Stderr = &complaints, &said
			in, out := pipeOf(t), pipeOf(t)
			console.Stdin, sender.Stdout = in.r, in.w
			sender.Stdin, console.Stdout = out.r, out.w
			for _, cmd := range []*exec.Cmd{console, receiver, sender} {
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
			}
			if err := sender.Wait(); err != nil {
				t.Errorf("%v: %v: %s; the console: %s", c.send, err, &complaints, &said)
			}
			if err := receiver.Wait(); err != nil {
				t.Errorf("%v: %v", c.receive, err)
			}
			console.Process.Kill()
			console.Wait()
			got, err := os.ReadFile(filepath.Join(receiver.Dir, "image"))
			if err != nil || !bytes.HasPrefix(got, data) || len(bytes.Trim(got[len(data):], "\x1a")) > 0 {
				t.Errorf("%d of %d bytes came as they were sent, %v", len(got), len(data), err)
			}
		})
	}
}

// ends are those of a pipe.
type ends struct{ r, w *os.File }

func pipeOf(t *testing.T) ends {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return ends{r, w}
}
