// Package consoletest is a person at a console, for tests: one who types whatever there
// is, over a pty or any other line, and expects an answer within a second.
//
//	master, tty := consoletest.PTY(t)
//	p := consoletest.New(t, master, master, "show status", "firmware")
//	for name, bytes := range consoletest.Hostile(consoletest.Sizes) {
//		p.Type(bytes)
//		p.Answered(name)
//	}
//	consoletest.Idle(t)
//
// A Person is not safe for concurrent use.
package consoletest

import (
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// Patience is how long a person waits for an answer. On an idle machine it comes within
// milliseconds; tests that run beside others may take seconds. What hangs, hangs for ever.
const Patience = 30 * time.Second

// PTY returns the two ends of a pty, until the test ends.
func PTY(t testing.TB) (master, tty *os.File) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		master.Close()
		tty.Close()
	})
	return master, tty
}

// maxScreen bounds what a person remembers of the screen, in bytes.
const maxScreen = 64 << 10

// Person types at a console.
type Person struct {
	t             testing.TB
	in            io.Writer
	command, want string
	marks         int

	mu      sync.Mutex
	screen  []byte
	changed chan struct{}
}

// New returns a person who types to in and reads from out. The command's answer has the
// text want.
func New(t testing.TB, in io.Writer, out io.Reader, command, want string) *Person {
	p := &Person{t: t, in: in, command: command, want: want, changed: make(chan struct{}, 1)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := out.Read(buf)
			p.mu.Lock()
			p.screen = append(p.screen, buf[:n]...)
			if len(p.screen) > maxScreen {
				p.screen = append(p.screen[:0], p.screen[len(p.screen)-maxScreen/2:]...)
			}
			p.mu.Unlock()
			select {
			case p.changed <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// Type types.
func (p *Person) Type(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatal(err)
	}
}

// Sees reports whether the screen shows a text within a time. What it showed up to
// there is forgotten then.
func (p *Person) Sees(text string, within time.Duration) bool {
	limit := time.After(within)
	for {
		p.mu.Lock()
		_, rest, ok := strings.Cut(string(p.screen), text)
		if ok {
			p.screen = append(p.screen[:0], rest...)
		}
		p.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-p.changed:
		case <-limit:
			return false
		}
	}
}

// Settle waits until the screen has not changed for a while, and forgets it.
func (p *Person) Settle() {
	const still = 50 * time.Millisecond
	for {
		select {
		case <-p.changed:
		case <-time.After(still):
			p.mu.Lock()
			defer p.mu.Unlock()
			p.screen = p.screen[:0]
			return
		}
	}
}

// Answered types the command on a line of its own, and fails the test where it is not
// answered in time.
func (p *Person) Answered(after string) {
	p.t.Helper()
	p.marks++
	mark := fmt.Sprintf("mark%d", p.marks)
	p.Type("\r" + mark + "\r" + p.command + "\r")
	// The mark parts this answer from those to commands that were recalled before.
	if !p.Sees(mark, Patience) || !p.Sees(p.want, Patience) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.t.Fatalf("no answer within %v after %s; the screen ends in %q", Patience, after, p.screen[max(0, len(p.screen)-200):])
	}
}

// Sizes are those around the bounds of a terminal and of what edits its lines.
var Sizes = []int{1, 2, 3, 15, 16, 17, 100, 253, 254, 255, 256, 257, 511, 512, 513, 1024, 4095, 4096, 4097, 5000}

// EverySize is 1 to 5,000: each up to 600, which is beyond twice any buffer of one line,
// and then each 13th.
var EverySize = func() (all []int) {
	const each, most, step = 600, 5000, 13
	for n := 1; n <= most; n++ {
		if n > each {
			n += step - 1
		}
		all = append(all, n)
	}
	return all
}()

var (
	starts  = [][2]string{{"CSI", "\x1b["}, {"OSC", "\x1b]"}, {"DCS", "\x1bP"}, {"SS3", "\x1bO"}, {"pasted text", "\x1b[200~"}}
	classes = [][2]string{
		{"digits", "0123456789"}, {"letters", "abcXYZ"}, {"parameters", ";:<=>?"}, {"intermediates", " !\"#$%&'()*+,-./"},
		{"controls", "\x00\x01\x02\x05\x06\x07\x08\x0b\x0e\x15\x17\x1c\x1f"}, {"escapes", "\x1b"}, {"C1", "\x80\x9b\x9d\x9f"},
		{"UTF-8 cut short", "\xc3\xe6\xf0\xff"}, {"U+FFFD", "\ufffd"}, {"DEL", "\x7f"}, {"cursor keys", "\x1b[A\x1b[D"}, {"insertions", "\x01x"},
	}
)

// Sequences returns every start of an escape sequence with so many bytes of every class
// behind it, each with its name.
func Sequences(sizes []int) iter.Seq2[string, string] {
	return func(yield func(name, bytes string) bool) {
		for _, start := range starts {
			for _, class := range classes {
				for _, n := range sizes {
					text := strings.Repeat(class[1], n/len(class[1])+1)[:n]
					if !yield(fmt.Sprintf("%s and %d bytes of %s", start[0], n, class[0]), start[1]+text) {
						return
					}
				}
			}
		}
	}
}

// Hostile returns Sequences, and what else is bad for a console.
func Hostile(sizes []int) iter.Seq2[string, string] {
	return func(yield func(name, bytes string) bool) {
		for name, bytes := range Sequences(sizes) {
			if !yield(name, bytes) {
				return
			}
		}
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for _, row := range [][2]string{
			{"all 256 bytes", string(all)},
			{"a line of 1 MB", strings.Repeat("x", 1<<20)},
			{"a pasted line of 1 MB", "\x1b[200~" + strings.Repeat("x", 1<<20) + "\x1b[201~"},
			{"a pasted block of 50 KB", strings.Repeat("these are lines that somebody has pasted\n", 50<<10/41)},
			{"1 MB that is not UTF-8", strings.Repeat("\xff", 1<<20)},
			{"Ctrl-C and Ctrl-D", "abc\x03"},
		} {
			if !yield(row[0], row[1]) {
				return
			}
		}
	}
}

// Random returns so many random bytes, in parts. The seed is in the test's log.
func Random(t testing.TB, total int) iter.Seq[string] {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	return func(yield func(string) bool) {
		const part = 10_000
		for total > 0 {
			bytes := make([]byte, min(part, total))
			for i := range bytes {
				bytes[i] = byte(r.Uint32())
			}
			if total -= len(bytes); !yield(string(bytes)) {
				return
			}
		}
	}
}

// Idle fails the test where this process works while nobody types.
func Idle(t testing.TB) {
	t.Helper()
	const watch = 300 * time.Millisecond
	before := processorTime(t)
	<-time.After(watch)
	if used := processorTime(t) - before; used > watch/10 {
		t.Errorf("%v of processor time in %v of nothing typed", used, watch)
	}
}

func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
