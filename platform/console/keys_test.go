package console

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/term"

	"itlagent/platform/console/consoletest"
)

// passed returns what of a chain of reads goes on to the line editor.
func passed(reads ...string) string {
	in := make([]io.Reader, len(reads))
	for i, r := range reads {
		in[i] = strings.NewReader(r)
	}
	k := &keys{tty: io.MultiReader(in...), now: time.Now, tab: func(bool) {}, ended: func() {}}
	k.start(MaxLine, false)
	var out strings.Builder
	var b [256]byte
	for {
		n, err := k.Read(b[:])
		if err != nil {
			return out.String()
		}
		if out.Write(b[:n]); b[n-1] == enter {
			k.start(MaxLine, false)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"text", "show itl\r", "show itl\r"},
		{"line ends", "a\rb\nc\r\nd\r\re\n\n", "a\rb\rc\rd\r\re\r\r"},
		{"UTF-8", "é日😀\r", "é日😀\r"},
		{"no UTF-8", "a\xffb\xc3c\xe6\x97d\xf0\x9f\x98e\xc0\x80f\xed\xa0\x80g\r", "abcdefg\r"},
		{"the replacement character", "a\ufffdb\r", "ab\r"},
		{"C1 and bidi", "a\u009b31mb\u202ec\u2066d\u200fe\r", "a31mbcde\r"},
		{"other controls", "\x00a\x1cb\x7f\r", "ab\x7f\r"},
		{"cursor keys", "\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F\x1bOA\x1bOF", "\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F\x1b[A\x1b[F"},
		{"home, end, delete", "\x1b[1~\x1b[7~\x1b[4~\x1b[8~\x1b[3~", "\x1b[H\x1b[H\x1b[F\x1b[F\x1b[3~"},
		{"words", "\x1b[1;5C\x1b[1;3D", "\x1b[1;3C\x1b[1;3D"},
		{"unknown keys", "a\x1b[15~\x1b[1;2A\x1b[[A\x1bOP\x1bb\x1b\x1b[Z\x1b(Bc\r", "ac\r"},
		{"pasted text", "\x1b[200~show itl\x1b[201~\r", "show itl\r"},
		{"OSC with BEL", "a\x1b]0;title\x07b\r", "ab\r"},
		{"DCS with ST", "a\x1bP1$r0m\x1b\\b\r", "ab\r"},
		{"a string that another sequence ends", "a\x1b]0;x\x1b[Db\r", "a\x1b[Db\r"},
		{"an unfinished sequence ends with the line", "\x1b[" + strings.Repeat("1", 254) + "\rwhy\r\x1b]x\rwhy\r\x1bPx\nwhy\r\x1bO\rwhy\r\x1b\rwhy\r", strings.Repeat("\rwhy\r", 5)},
		{"Ctrl-C", "abc\x03\r", "abc\x05^C\r\r"},
		{"Ctrl-C in a sequence", "\x1b[12\x03x\r", "\x05^C\rx\r"},
		{"Ctrl-D with nothing typed, and behind text", "\x04a\x04\r", "\ra\x1b[3~\r"},
	} {
		if got := passed(row.in); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
		if got := passed(strings.Split(row.in, "")...); got != row.want {
			t.Errorf("%s, byte by byte: got %q, want %q", row.name, got, row.want)
		}
	}
	for _, n := range []int{MaxLine - 1, MaxLine, MaxLine + 1, 1 << 20} {
		if got := len(passed(strings.Repeat("x", n) + "\r")); got != min(n, MaxLine)+1 {
			t.Errorf("%d bytes typed, %d passed on", n, got)
		}
	}
	if got := len(passed(strings.Repeat("\x1b[D", 2*maxEdits) + "\r")); got != 3*maxEdits+1 {
		t.Errorf("%d bytes of cursor keys passed on", got)
	}
}

// What is unfinished is dropped once time has passed, so that the next word is whole.
func TestUnfinishedIsDropped(t *testing.T) {
	for _, in := range []string{"\x1b", "\x1b[", "\x1b[1;", "\x1bO", "\x1b]0;x", "\x1bPx", "\x1b]\x1b", "\xe6\x97"} {
		var now atomic.Int64
		r, w := io.Pipe()
		k := &keys{tty: r, now: func() time.Time { return time.Unix(0, now.Load()) }, tab: func(bool) {}, ended: func() {}}
		k.start(MaxLine, false)
		var b [256]byte
		go func() {
			io.WriteString(w, in)
			w.Write(nil) // once it was read
			now.Add(int64(staleTime) + 1)
			io.WriteString(w, "show itl\r")
		}()
		n, err := k.Read(b[:])
		if got := string(b[:n]); err != nil || got != "show itl\r" {
			t.Errorf("behind %q: %q, %v", in, got, err)
		}
	}
}

// A reader that brings nothing for ever is an error, and so is one that is asked for
// nothing.
func TestReadIntoNothing(t *testing.T) {
	k := &keys{tty: emptyReader{}, now: time.Now, tab: func(bool) {}}
	if n, err := k.Read(make([]byte, 256)); n != 0 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := k.Read(nil); n != 0 || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("%d, %v", n, err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// The faults of the library that docs/dependencies.md lists. Where one of these
// fails, the library was repaired, and the page and keys.go can say less.
func TestLibraryFaults(t *testing.T) {
	for _, row := range []struct{ name, in string }{
		{"254 digits behind ESC [", "\x1b[" + strings.Repeat("1", 254)},
		{"bytes that are not UTF-8", strings.Repeat("\xff", 200) + "\rwhy\r"},
		{"the replacement character", strings.Repeat("\ufffd", 80) + "\rwhy\r"},
	} {
		reads := 0
		r := readerFunc(func(b []byte) (int, error) {
			if reads++; reads == 1 {
				return copy(b, row.in), nil
			}
			if len(b) == 0 && reads < 10_000 {
				return 0, nil // as a file and a channel do
			}
			return 0, io.EOF
		})
		l := term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{r, io.Discard}, "")
		l.ReadLine()
		if line, _ := l.ReadLine(); line == "why" && reads < 10_000 {
			t.Errorf("%s: the library answers", row.name)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// Behind every start of a sequence, any number of bytes of any class, the next line
// goes on whole.
func TestEverySequence(t *testing.T) {
	for name, bytes := range consoletest.Sequences(consoletest.EverySize) {
		if got := passed(bytes + "\rshow status\r"); !strings.HasSuffix(got, "\rshow status\r") {
			t.Fatalf("%s: what goes on ends in %q", name, got[max(0, len(got)-40):])
		}
	}
}

// A line is asked for, read and answered whatever came before it.
func TestAsk(t *testing.T) {
	var out bytes.Buffer
	complete := func(line string) (string, []string) { return CompleteWords([]string{"show itl", "why"}, line) }
	c := NewTerminal(struct {
		io.Reader
		io.Writer
	}{strings.NewReader("sh\ti\t\r" + "typed\x03" + strings.Repeat("x", MaxLine+1) + "\r" + "\x1b[A\r" + "\x1b[A\tanswer\r" + "secret\r" + "x\x0by\r" + "key\r" + strings.Repeat("y", MaxAnswer+1) + "\r" + "\x04" + "after\r"), &out}, "$ ", complete)
	for i, row := range []struct {
		prompt string
		how    Echo
		want   string
		err    error
	}{
		{"$ ", Shown, "show itl ", nil},
		{"$ ", Shown, "", ErrInterrupt},
		{"$ ", Shown, "", ErrTooLong},
		{"$ ", Shown, "show itl ", nil}, // neither of the last two is remembered
		{"name: ", Shown, "answer", nil},
		{"password: ", Hidden, "secret", nil},
		{"password: ", Unbroken, "xy", nil},
		{"password: ", Masked, "key", nil},
		{"name: ", Shown, "", ErrTooLong},
		{"$ ", Shown, "", io.EOF},
		{"$ ", Shown, "after", nil}, // Ctrl-D is one end, and not for ever
		{"$ ", Shown, "", io.EOF},
	} {
		if line, err := c.Ask(row.prompt, row.how); line != row.want || err != row.err {
			t.Errorf("%d: got %q, %v, want %q, %v", i, line, err, row.want, row.err)
		}
	}
	got := out.String()
	for _, want := range []string{"typed^C\r\n", "password: \r\npassword: password: ***\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the screen lacks %q", want)
		}
	}
	if strings.Contains(got, "secret") || strings.Contains(got, "key") {
		t.Errorf("a password is shown: %q", got)
	}
}

// Random bytes never fail, grow or stall a terminal. The seed is in the log.
func TestRandomBytes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		data := make([]byte, r.IntN(20_000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		c := NewTerminal(struct {
			io.Reader
			io.Writer
		}{io.MultiReader(bytes.NewReader(data), strings.NewReader("\rshow status\r")), io.Discard}, "$ ", nil)
		c.SetSize(r.IntN(300), r.IntN(100))
		for last := ""; ; {
			line, err := c.Ask([]string{"$ ", "log in: "}[r.IntN(2)], Echo(r.IntN(4)))
			if err == ErrInterrupt || err == ErrTooLong {
				continue
			}
			if err == nil {
				last = line
				continue
			}
			if err != io.EOF {
				t.Fatal(err)
			}
			if c.keys.err == nil {
				continue // Ctrl-D
			}
			if last != "show status" {
				t.Fatalf("the last line is %q", last)
			}
			break
		}
	}
}

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	long := func(n int) string { return strings.Repeat("x", n) + "\n" }
	c := NewPlain(strings.NewReader("one\r\n"+long(MaxLine-1)+long(MaxLine)+long(1<<20)+"two\nlast"), &out)
	for i, row := range []struct {
		want int
		err  error
	}{{3, nil}, {MaxLine - 1, nil}, {0, ErrTooLong}, {0, ErrTooLong}, {3, nil}, {4, nil}, {0, io.EOF}} {
		if line, err := c.Ask("$ ", Shown); len(line) != row.want || err != row.err {
			t.Errorf("%d: got %d bytes, %v, want %d, %v", i, len(line), err, row.want, row.err)
		}
	}
	endless := NewPlain(readerFunc(func(b []byte) (int, error) { return len(b), nil }), io.Discard)
	if _, err := endless.Ask("$ ", Shown); err != io.EOF {
		t.Errorf("a line without end: %v", err)
	}
	out.Reset()
	c = NewPlain(strings.NewReader("a\x1b[1m\u202e\x9b é\a\n"), &out)
	if line, err := c.Ask("$ ", Shown); line != "a\x1b[1m\u202e\x9b é\a" || err != nil || out.String() != "$ a\\x1b[1m\\u202e\ufffd é\\a\n" {
		t.Errorf("%q, %v, shown as %q", line, err, out.String())
	}
	out.Reset()
	c = NewPlain(strings.NewReader("secret\n"), &out)
	if _, err := c.Ask("password :", Unbroken); err != nil || out.String() != "password :" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
