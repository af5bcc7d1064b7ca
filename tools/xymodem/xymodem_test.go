package xymodem_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/tools/xymodem"
	"itlagent/tools/xymodem/linetest"
)

// receive runs a receiver of lrzsz, and returns what it wrote.
func receive(t *testing.T, args []string, f xymodem.File, o xymodem.Options) []byte {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("SKIPPED: %s is not installed: make deps", args[0])
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	line := linetest.Pipes(in, out)
	if err := xymodem.Send(t.Context(), line, f, o); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// lrzsz receives what is sent, at all sizes around those of blocks.
func TestLrzsz(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int{1, 128, 129, 1025, 100_000} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f := xymodem.File{Name: "image", Data: data}
		if got := receive(t, []string{"rb", "-q"}, f, xymodem.Options{}); !bytes.Equal(got, data) {
			t.Errorf("YMODEM, %d bytes: %d came", size, len(got))
		}
		if size != 129 {
			continue // XMODEM differs in no more than the small sizes show
		}
		for _, c := range []struct {
			args  []string
			small bool
		}{{[]string{"rx", "-q", "image"}, false}, {[]string{"rx", "-q", "-c", "image"}, false}, {[]string{"rx", "-q", "-c", "image"}, true}} {
			got := receive(t, c.args, f, xymodem.Options{Kind: xymodem.XMODEM, Small: c.small})
			if !bytes.HasPrefix(got, data) || len(bytes.Trim(got[len(data):], "\x1a")) > 0 || len(got)-len(data) >= 1024 {
				t.Errorf("XMODEM %v, %d bytes: %d came", c.args, size, len(got))
			}
		}
	}
}

// A receiver that is silent, cancels, refuses or talks nonsense ends the transfer with an
// error that says so.
func TestReceivers(t *testing.T) {
	short := xymodem.Options{Start: 20 * time.Millisecond, Answer: 5 * time.Millisecond}
	f := xymodem.File{Name: "image", Data: make([]byte, 100)}
	naks := make([]string, 40)
	for i := range naks {
		naks[i] = "\x15"
	}
	for name, c := range map[string]struct {
		first   string
		answers []string
		want    error
	}{
		"silent":                {"", nil, xymodem.ErrStart},
		"cancels at once":       {"\x18\x18", nil, xymodem.ErrCancelled},
		"cancels":               {"C", []string{"\x18\x18"}, xymodem.ErrCancelled},
		"one cancel is noise":   {"\x18C", []string{"\x06C", "\x18x\x06", "\x06C", "\x06"}, nil},
		"refuses each block":    {"C", naks, xymodem.ErrBroken},
		"talks nonsense":        {string(bytes.Repeat([]byte{'x'}, 10000)), nil, xymodem.ErrStart},
		"does not ask for data": {"C", []string{"\x06"}, xymodem.ErrBroken},
		"loses one block":       {"C", []string{"\x06C", "\x15", "\x06", "\x06C", "\x06"}, nil},
		"loses one answer":      {"C", []string{"\x06C", "", "\x06", "\x06C", "\x06"}, nil},
	} {
		s := &linetest.Script{Answers: c.answers, Says: []byte(c.first)}
		err := xymodem.Send(t.Context(), s, f, short)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if cancelled := strings.Contains(strings.Join(s.Sent, ""), "\x18\x18\x18"); cancelled != (c.want != nil && c.want != xymodem.ErrCancelled) {
			t.Errorf("%s: the receiver was told to end: %v", name, cancelled)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := xymodem.Send(ctx, &linetest.Script{}, f, short); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	for _, bad := range []string{"", "../x", "a b", "a\x00b"} {
		if err := xymodem.Send(t.Context(), &linetest.Script{}, xymodem.File{Name: bad}, short); !errors.Is(err, xymodem.ErrName) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
}

// The CRC is that of the protocol's document: "123456789" has 0x31c3.
func TestCRC(t *testing.T) {
	if got := xymodem.CRC([]byte("123456789")); got != 0x31c3 {
		t.Errorf("%04x, want 31c3", got)
	}
}

// Whatever a receiver says, a transfer ends, and sends no more than each block's tries.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("C\x06C\x06\x06C\x06"), false)
	f.Add([]byte("\x15\x06\x06"), true)
	f.Add([]byte("CC\x18x\x18\x18"), false)
	f.Fuzz(func(t *testing.T, says []byte, x bool) {
		o := xymodem.Options{Start: time.Microsecond, Answer: time.Microsecond}
		if x {
			o.Kind = xymodem.XMODEM
		}
		const blocks, tries = 6, 10 // three of data, and at most three beside them
		s := &linetest.Script{Says: says}
		if err := xymodem.Send(t.Context(), s, xymodem.File{Name: "image", Data: make([]byte, 384)}, o); err == nil && !bytes.Contains(says, []byte{6}) {
			t.Fatal("sent without an answer")
		}
		if len(s.Sent) > blocks*tries+1 {
			t.Fatalf("%d writes", len(s.Sent))
		}
	})
}
