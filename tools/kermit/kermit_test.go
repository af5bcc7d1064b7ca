package kermit_test

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

	"itlagent/tools/kermit"
	"itlagent/tools/xymodem/linetest"
)

// Debian's gkermit receives what is sent, whatever the bytes.
func TestGkermit(t *testing.T) {
	if _, err := exec.LookPath("gkermit"); err != nil {
		t.Skip("SKIPPED: gkermit is not installed: make deps")
	}
	for _, size := range []int{0, 1, 91, 92, 1000, 100_000} {
		data := make([]byte, size)
		random := rand.NewChaCha8([32]byte{byte(size)})
		random.Read(data)
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "gkermit", "-r", "-i", "-q", "-w")
		cmd.Dir = dir
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		told := 0
		err := kermit.Send(t.Context(), linetest.Pipes(in, out), kermit.File{Name: "image", Data: data}, kermit.Options{Progress: func(done, _ int) { told = done }})
		in.Close()
		if err := errors.Join(err, cmd.Wait()); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "image")); err != nil || !bytes.Equal(got, data) || told != size {
			t.Errorf("%d bytes: %d came, %d were told of, %v", size, len(got), told, err)
		}
	}
}

// answer is a packet of a receiver.
func answer(seq int, kind byte, field string) string {
	b := string(rune(len(field)+3+' ')) + string(rune(seq+' ')) + string(kind) + field
	sum := 0
	for _, c := range []byte(b) {
		sum += int(c)
	}
	return "\x01" + b + string(rune((sum+sum>>6&3)&63+' ')) + "\r"
}

func TestReceivers(t *testing.T) {
	const parameters = "~* @-#N1"
	yes := func(n int) string { return answer(n, 'Y', "") }
	good := []string{answer(0, 'Y', parameters), yes(1), yes(2), yes(3), yes(4)}
	with := func(at int, said ...string) []string {
		return append(append(append([]string{}, good[:at]...), said...), good[at:]...)
	}
	for name, c := range map[string]struct {
		answers []string
		packets int // sent, with the one that ends a transfer that failed
		want    error
	}{
		"good":                    {good, 5, nil},
		"noise and an old answer": {append([]string{"noise\r\n" + good[0]}, yes(0)+yes(1), yes(2), yes(3), yes(4)), 5, nil},
		"refuses a packet":        {with(2, answer(2, 'N', "")), 6, nil},
		"lost answer":             {with(2, ""), 6, nil},
		"garbled answer":          {with(2, "\x01#\"Y!\r"), 6, nil},
		"asks for the next":       {append(append([]string{}, good[:2]...), answer(3, 'N', ""), yes(3), yes(4)), 5, nil},
		"silent":                  {nil, 11, kermit.ErrStart},
		"silent in the middle":    {good[:2], 13, kermit.ErrBroken},
		"says why it stops":       {[]string{answer(0, 'E', "disk\x1b full")}, 1, kermit.ErrRefused},
		"noise without an end":    {[]string{strings.Repeat("x", 100_000)}, 11, kermit.ErrStart},
	} {
		s := &linetest.Script{Answers: c.answers}
		err := kermit.Send(t.Context(), s, kermit.File{Name: "f", Data: []byte("#\x00data\xff")}, kermit.Options{Answer: 20 * time.Millisecond})
		if !errors.Is(err, c.want) || len(s.Sent) != c.packets {
			t.Errorf("%s: %d packets, %v; want %d, %v", name, len(s.Sent), err, c.packets, c.want)
		}
		if err != nil && strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: %q", name, err)
		}
	}
	if err := kermit.Send(t.Context(), &linetest.Script{}, kermit.File{Name: "../x"}, kermit.Options{}); !errors.Is(err, kermit.ErrName) {
		t.Errorf("a name with a slash: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kermit.Send(ended, &linetest.Script{}, kermit.File{Name: "f"}, kermit.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// Whatever a receiver says, a transfer ends, and no packet is longer than the protocol's.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte(answer(0, 'Y', "~* @-#N1 \"  *U") + answer(1, 'Y', "") + answer(2, 'Y', "")))
	f.Add([]byte(answer(0, 'N', "")))
	f.Fuzz(func(t *testing.T, said []byte) {
		s := &linetest.Script{Answers: []string{string(said)}}
		kermit.Send(t.Context(), s, kermit.File{Name: "f", Data: bytes.Repeat([]byte{0, 200}, 1000)}, kermit.Options{Answer: time.Millisecond})
		for _, p := range s.Sent {
			if len(p) > 1000+9 || p[0] != 1 || p[len(p)-1] != '\r' {
				t.Fatalf("a packet of %d bytes", len(p))
			}
		}
	})
}
