package shellcmd_test

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"itlagent/platform/shellcmd"
)

// What a command waits for ends with it: its output, which it holds open, comes to an end.
func TestEndsWithItsChildren(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := shellcmd.New(ctx, "(echo started; sleep 1000; :); :")
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("it was not stopped")
	}
	r.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a child still has the output: %v", err)
	}
}

// What a command leaves in the background runs on.
func TestBackground(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := shellcmd.New(ctx, "(read line; echo it says $line) <&3 &")
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.ExtraFiles = w, []*os.File{in}
	err = cmd.Run()
	w.Close()
	in.Close()
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	io.WriteString(out, "hello\n")
	out.Close()
	if said, err := io.ReadAll(r); err != nil || string(said) != "it says hello\n" {
		t.Errorf("%q, %v", said, err)
	}
}
