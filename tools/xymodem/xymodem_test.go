package xymodem_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"itlagent/tools/xymodem"
)

// pipes is a line to a program.
type pipes struct {
	io.Writer
	bytes chan byte
}

func newPipes(w io.Writer, r io.Reader) *pipes {
	p := &pipes{w, make(chan byte, 4096)}
	go func() {
		defer close(p.bytes)
		buf := make([]byte, 1024)
		for {
			n, err := r.Read(buf)
			for _, b := range buf[:n] {
				p.bytes <- b
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pipes) Byte(ctx context.Context, limit time.Duration) (byte, error) {
	select {
	case b, ok := <-p.bytes:
		if !ok {
			return 0, io.ErrClosedPipe
		}
		return b, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(limit):
		return 0, os.ErrDeadlineExceeded
	}
}

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
	line := newPipes(in, out)
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

// script is a receiver that answers each write by its next bytes, and then is silent.
type script struct {
	answers []string
	pending []byte
	sent    bytes.Buffer
	writes  int
}

func (s *script) Write(b []byte) (int, error) {
	s.writes++
	s.sent.Write(b)
	if len(s.answers) > 0 {
		s.pending, s.answers = append(s.pending, s.answers[0]...), s.answers[1:]
	}
	return len(b), nil
}

func (s *script) Byte(ctx context.Context, limit time.Duration) (byte, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(s.pending) == 0 {
		time.Sleep(limit) // of milliseconds, in these tests
		return 0, os.ErrDeadlineExceeded
	}
	b := s.pending[0]
	s.pending = s.pending[1:]
	return b, nil
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
		s := &script{answers: c.answers, pending: []byte(c.first)}
		err := xymodem.Send(t.Context(), s, f, short)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if cancelled := bytes.Contains(s.sent.Bytes(), []byte("\x18\x18\x18")); cancelled != (c.want != nil && c.want != xymodem.ErrCancelled) {
			t.Errorf("%s: the receiver was told to end: %v", name, cancelled)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := xymodem.Send(ctx, &script{}, f, short); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	for _, bad := range []string{"", "../x", "a b", "a\x00b"} {
		if err := xymodem.Send(t.Context(), &script{}, xymodem.File{Name: bad}, short); !errors.Is(err, xymodem.ErrName) {
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
		s := &script{pending: says}
		if err := xymodem.Send(t.Context(), s, xymodem.File{Name: "image", Data: make([]byte, 384)}, o); err == nil && !bytes.Contains(says, []byte{6}) {
			t.Fatal("sent without an answer")
		}
		if s.writes > blocks*tries+1 {
			t.Fatalf("%d writes", s.writes)
		}
	})
}
