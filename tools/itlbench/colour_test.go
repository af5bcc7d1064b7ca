package main

import (
	"bytes"
	"os"
	"testing"

	"itlagent/platform/console/consoletest"
)

// Only a terminal whose user has not said otherwise gets colours.
func TestColour(t *testing.T) {
	_, tty := consoletest.PTY(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	t.Setenv("NO_COLOR", "")
	if !colour(tty) || colour(w) || colour(new(bytes.Buffer)) {
		t.Errorf("a terminal: %v, a pipe: %v, memory: %v", colour(tty), colour(w), colour(new(bytes.Buffer)))
	}
	t.Setenv("NO_COLOR", "1")
	if colour(tty) {
		t.Error("NO_COLOR is not heeded")
	}
}
