package viewer

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	for in, want := range map[string]string{
		"U-Boot> \b \b\a\r\n\tx":                      "U-Boot> \b \b\a\r\n\tx",
		"\x1b[1;31mred\x1b[0m\x1b[2J\x1b[3;4H":        "\x1b[1;31mred\x1b[0m\x1b[2J\x1b[3;4H",
		"a\x1b[6nb\x1b[cc\x1b[>cd\x1b[5te":            "abcde", // a terminal would answer
		"a\x1b[?1049hb\x1b[?25lc\x1b[20hd":            "abcd",
		"a\x1b]0;title\x07b\x1b]52;c;aGk=\x1b\\c":     "abc",
		"a\x1bP$q\"p\x1b\\b\x1b_x\x1b\\c\x1b^y\x1b\\": "abc",
		"a\x1bcb\x1b#8c\x1b(0d":                       "abcd",
		"a\x1b[" + strings.Repeat("1;", 100) + "mb":   "ab",
		"grün ☎\x00\x0e\x0f\x05":                      "grün ☎",
		"a\xc2\x9b6nb\x9bc\xff\xc3":                   "a\ufffd6nb\ufffdc\ufffd",
		"\xc3\r":                                      "\ufffd\r",
		"\x1b]never ends \x18back":                    "back",
		"\x1b[3\x1b[4m!":                              "\x1b[4m!",
		"\x1b[1\r0m":                                  "\r\x1b[10m",
	} {
		for _, step := range []int{1, 2, 1000} {
			var f Filter
			var got []byte
			for part := range slices.Chunk([]byte(in), step) {
				got = append(got, f.Filter(part)...)
			}
			if string(got) != want {
				t.Errorf("%q by %d: %q, want %q", in, step, got, want)
			}
		}
	}
}

// Whatever a board sends, each ESC that gets through begins a sequence of the harmless
// kind, no other control character does, and the output is UTF-8.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("\x1b[1m\x1b]x\x07\x9b\xc2\x9b"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var filter Filter
		out := string(filter.Filter(in))
		if len(out) > 3*len(in) {
			t.Fatalf("%d bytes from %d", len(out), len(in))
		}
		if out != strings.ToValidUTF8(out, "?") {
			t.Fatalf("%q is no UTF-8", out)
		}
		for rest := out; rest != ""; {
			seq, after, found := strings.Cut(rest, "\x1b")
			for _, r := range seq {
				if r < 0x20 && !strings.ContainsRune("\a\b\t\n\r", r) || r >= 0x7f && r < 0xa0 {
					t.Fatalf("%q got through", r)
				}
			}
			if !found {
				break
			}
			end := strings.IndexFunc(after[min(1, len(after)):], func(r rune) bool { return r >= '@' })
			if after == "" || after[0] != '[' || end < 0 || !shown[after[end+1]] || strings.Trim(after[1:end+1], "0123456789;:") != "" {
				t.Fatalf("ESC %q got through", after)
			}
			rest = after[end+2:]
		}
	})
}

func TestShow(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	for name, test := range map[string]struct {
		o        Options
		in, want string
	}{
		"plain":       {Options{}, "a\x1b]x", "a\x1b]x"},
		"terminal":    {Options{Terminal: true}, "a\x1b]x\x07b", "ab"},
		"raw":         {Options{Terminal: true, Raw: true}, "a\x1b]x\x07b", "a\x1b]x\x07b"},
		"times":       {Options{Times: true}, "a\r\n\r\nb\nc", "[03:04:05.678] a\r\n\r\n[03:04:05.678] b\n[03:04:05.678] c"},
		"line feeds":  {Options{AddCR: true}, "a\nb\r\nc", "a\r\nb\r\nc"},
		"hex":         {Options{Hex: true}, "0123456789abcdef\x00\xff", "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n00000010  00 ff                                            |..|\n"},
		"marks":       {Options{Decode: true, Colour: true}, "x\n[ 1.2] Kernel panic - not syncing: VFS\r\nU-Boot 2023.01 (x)\n", "x\n[ 1.2] Kernel panic - not syncing: VFS\r\n\x1b[31;1m^^^ kernel panic\x1b[0m\nU-Boot 2023.01 (x)\n\x1b[35;1m^^^ boot loader: the board was reset\x1b[0m\n"},
		"plain marks": {Options{Decode: true}, "Kernel panic - not syncing: VFS\r\n", "Kernel panic - not syncing: VFS\r\n^^^ kernel panic\n"},
		"a long line": {Options{Decode: true}, strings.Repeat("x", 2000) + "panic: \n", strings.Repeat("x", 2000) + "panic: \n"},
	} {
		test.o.Now = func() time.Time { return at }
		var out bytes.Buffer
		v := New(&out, test.o)
		for _, c := range []byte(test.in) { // a byte at a time, as a slow line has it
			v.Show([]byte{c}, false)
		}
		v.Flush()
		if out.String() != test.want {
			t.Errorf("%s: %q, want %q", name, &out, test.want)
		}
	}
	var out bytes.Buffer
	v := New(&out, Options{Terminal: true, Times: true})
	v.Show([]byte("half"), true)
	v.Note("the line vanished")
	if want := "[earlier     ] half\r\n[itlbench: the line vanished]\r\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

// What each of the marked kinds of lines looks like, and lines that are not marked.
func TestMarks(t *testing.T) {
	for line, want := range map[string]string{
		"\x1b[1mKernel panic - not syncing: Attempted to kill init!": "kernel panic",
		"Internal error: Oops: 5 [#1] ARM":                           "kernel oops",
		"panic: runtime error: index out of range":                   "Go panic",
		"fatal error: all goroutines are asleep":                     "Go panic",
		"U-Boot SPL 2023.01+dfsg-2 (Jan 01 2023)":                    "boot loader: the board was reset",
		"*** Warning - bad CRC, using default environment":           "boot loader: image or environment is damaged",
		"Retry count exceeded; starting again":                       "boot loader: error",
		"Linux version 6.1.0 (gcc)":                                  "the kernel starts",
		"status: Trust List Update Failed":                           "trust: rejected",
		"ITL installed":                                              "trust: accepted",
		"asking TVS 192.0.2.1":                                       "trust",
		"itlagent: hello":                                            "",
		"don't panic: it is fine":                                    "",
		"title":                                                      "",
	} {
		var m marker
		got := ""
		for _, c := range []byte(line + "\r\n") {
			got += m.next(c, false)
		}
		if want == "" && got != "" || !strings.Contains(got, want) || want == "trust" && strings.Contains(got, ":") {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestGarbled(t *testing.T) {
	for text, want := range map[string]bool{
		strings.Repeat("U-Boot 2023.01\r\n\x1b[0m", 20): false,
		strings.Repeat("\x80\xfeA\x00", 20):             true,
		"\xff\xff\xff":                                  false, // the glitch of a reset
		strings.Repeat("plain text ", 100) + strings.Repeat("\x80\xfe\x00\xf8", 200): true,
	} {
		v := New(new(bytes.Buffer), Options{})
		said := 0
		for part := range slices.Chunk([]byte(text), 16) {
			v.Show(part, false)
			if v.Garbled() {
				said++
			}
		}
		if (said > 0) != want || said > 1 {
			t.Errorf("%.20q: said %d times", text, said)
		}
	}
}

func TestKeys(t *testing.T) {
	for name, want := range map[string]string{"ctrl-t": "ctrl-t", "Ctrl-]": "ctrl-]", "^a": "ctrl-a", "none": "none", "t": "", "ctrl-": "", "ctrl-1": ""} {
		if k, err := ParseKey(name); (err == nil) != (want != "") || err == nil && k.Name() != want {
			t.Errorf("%q: %v, %v", name, k.Name(), err)
		}
	}
	k, err := ParseKey("ctrl-t")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ in, want string }{
		{"abc\x03\x14", `"abc\x03"`}, // the prefix waits for its key
		{"q", `q`},
		{"\x14\x14x\x14bz", `"\x14x" b "z"`},
		{"\x14Z\x14?\x14W", `? W`},
	} {
		got := ""
		for _, e := range k.Read([]byte(test.in)) {
			if e.Action != 0 {
				got += string(rune(e.Action)) + " "
			} else {
				got += fmt.Sprintf("%q ", e.Bytes)
			}
		}
		if strings.TrimSpace(got) != test.want {
			t.Errorf("%q: %s, want %s", test.in, got, test.want)
		}
	}
	none, _ := ParseKey("none")
	if got := none.Read([]byte("\x14q")); len(got) != 1 || string(got[0].Bytes) != "\x14q" {
		t.Errorf("%v", got)
	}
}
