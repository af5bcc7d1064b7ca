package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/term"

	"itlagent/platform/console"
	"itlagent/platform/console/consoletest"
)

const prompt = "$ "

// person is somebody at a pty, with a program behind it that answers each line. done
// gets the error that ended the program, stop ends its context.
func person(t *testing.T) (p *consoletest.Person, done chan error, stop context.CancelFunc) {
	t.Helper()
	master, tty := consoletest.PTY(t)
	ctx, stop := context.WithCancel(t.Context())
	c, isTTY, leave, err := console.Attach(ctx, tty, tty, prompt, nil)
	if err != nil || !isTTY {
		t.Fatal(isTTY, err)
	}
	done = make(chan error, 1)
	go func() {
		defer leave()
		for {
			line, err := c.Ask(prompt, console.Shown)
			switch {
			case err == nil:
				fmt.Fprintf(c, "<%s>\n", line)
			case errors.Is(err, console.ErrInterrupt), errors.Is(err, console.ErrTooLong), errors.Is(err, io.EOF):
				fmt.Fprintf(c, "<%v>\n", err)
			default:
				done <- err
				return
			}
		}
	}()
	return consoletest.New(t, master, master, "show status", "<show status>"), done, stop
}

func TestPTY(t *testing.T) {
	p, _, _ := person(t)
	for name, bytes := range consoletest.Hostile(consoletest.Sizes) {
		p.Type(bytes)
		p.Answered(name)
	}
	consoletest.Idle(t)
	for bytes := range consoletest.Random(t, 1_000_000) {
		p.Type(bytes)
		p.Answered("random bytes")
	}
	consoletest.Idle(t)
}

// What is asked ends with its context, and the terminal is as it was.
func TestAttachEnds(t *testing.T) {
	for _, typed := range []string{"", "half a li", "\x1b[1"} {
		p, done, stop := person(t)
		p.Answered("the start")
		p.Type(typed)
		stop()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		case <-time.After(consoletest.Patience):
			t.Fatal("the question outlives its context")
		}
	}
	_, tty := consoletest.PTY(t)
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_, _, leave, err := console.Attach(t.Context(), tty, tty, prompt, nil)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	after, err := term.GetState(int(tty.Fd()))
	if err != nil || *before != *after {
		t.Errorf("the terminal was not given back: %v", err)
	}
}

// A pipe's end is the end, and its wait ends with the context too.
func TestAttachPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, stop := context.WithCancel(t.Context())
	c, tty, leave, err := console.Attach(ctx, r, io.Discard, prompt, nil)
	if err != nil || tty {
		t.Fatal(tty, err)
	}
	defer leave()
	io.WriteString(w, "one\n")
	if line, err := c.Ask(prompt, console.Shown); line != "one" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	time.AfterFunc(10*time.Millisecond, stop)
	if _, err := c.Ask(prompt, console.Shown); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What was typed ahead can be forgotten, in the console and in the terminal's driver.
func TestDiscard(t *testing.T) {
	master, tty := consoletest.PTY(t)
	c, _, leave, err := console.Attach(t.Context(), tty, tty, prompt, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	go io.Copy(io.Discard, master)
	io.WriteString(master, "first\r"+strings.Repeat("guess\r", 300))
	for _, want := range []string{"first", "last"} {
		if line, err := c.Ask(prompt, console.Shown); line != want || err != nil {
			t.Errorf("%q, %v, want %q", line, err, want)
		}
		c.Discard()
		io.WriteString(master, "last\r")
	}
}
