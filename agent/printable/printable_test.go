package printable_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"itlagent/agent/printable"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"plain", "CN=CUCM-pub;OU=TAC;C=PL", "CN=CUCM-pub;OU=TAC;C=PL"},
		{"letters of the world", "Kraków Łódź 東京 مرحبا שלום é", "Kraków Łódź 東京 مرحبا שלום é"},
		{"spaces", "a b\u00a0c\u3000d", "a b\u00a0c\u3000d"},
		{"combining mark", "e\u0301", "e\u0301"},
		{"backslash", `CN=a\,b`, `CN=a\,b`},
		{"replacement character as such", "\ufffd", "\ufffd"},
		{"empty", "", ""},
		{"terminal", "\x1b[2Jgone\x07", `\x1b[2Jgone\x07`},
		{"lines", "one\r\ntwo\tthree", `one\r\ntwo\tthree`},
		{"NUL and DEL", "\x00\x7f", `\x00\x7f`},
		{"C1 as a character", "\u009b2J", `\u009b2J`},
		{"C1 as a byte", "\x9b2J", `\x9b2J`},
		{"truncated character", "a\xe2\x80", `a\xe2\x80`},
		{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"overlong", "\xc0\x8a", `\xc0\x8a`},
		{"Arabic letter mark", "\u061c", `\u061c`},
		{"marks", "\u200e\u200f", `\u200e\u200f`},
		{"embeddings and overrides", "\u202a\u202b\u202c\u202d\u202e", `\u202a\u202b\u202c\u202d\u202e`},
		{"isolates", "\u2066\u2067\u2068\u2069", `\u2066\u2067\u2068\u2069`},
		{"separators", "\u2028\u2029", `\u2028\u2029`},
		{"zero width", "\u200b\u200c\u200d\u2060\ufeff", `\u200b\u200c\u200d\u2060\ufeff`},
		{"soft hyphen", "\u00ad", `\u00ad`},
		{"grapheme joiner and fillers", "\u034f\u115f\u1160\u3164\uffa0", `\u034f\u115f\u1160\u3164\uffa0`},
		{"variation selectors", "\ufe0f\U000e0100", `\ufe0f\U000e0100`},
		{"tags", "\U000e0001\U000e0041", `\U000e0001\U000e0041`},
		{"private", "\ue000", `\ue000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := printable.Text(c.text); got != c.want {
				t.Errorf("Text(%q) = %q, want %q", c.text, got, c.want)
			}
			if got := printable.Bytes([]byte(c.text)); got != c.want {
				t.Errorf("Bytes(%q) = %q, want %q", c.text, got, c.want)
			}
		})
	}
}

// dangerous is the list of what must never come out, written down apart from the
// package's own tables.
func dangerous(r rune) bool {
	return r < ' ' || r >= 0x7f && r <= 0x9f || r == 0xad || r == 0x61c || r == 0x180e || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r == 0xfeff || r >= 0xfff9 && r <= 0xfffb || r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0000 && r <= 0xe0fff
}

// Every byte value alone, every pair of bytes and every code point come out
// harmless, and a second pass changes nothing.
func TestEveryCharacter(t *testing.T) {
	check := func(s string) {
		got := printable.Text(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, dangerous) || len(got) > 4*len(s) {
			t.Fatalf("Text(%q) = %q", s, got)
		}
		if again := printable.Text(got); again != got {
			t.Fatalf("Text(%q) = %q, once more %q", s, got, again)
		}
		if s != got && !strings.Contains(got, `\`) {
			t.Fatalf("Text(%q) = %q: a change that cannot be seen", s, got)
		}
	}
	for a := range 256 {
		check(string([]byte{byte(a)}))
		for b := range 256 {
			check(string([]byte{byte(a), byte(b)}))
		}
	}
	for r := range unicode.MaxRune + 1 {
		check(string(r))
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		want string
	}{
		{"abcdef", 7, "abcdef"}, {"abcdef", 6, "abcdef"}, {"abcdef", 5, "ab..."}, {"abcdef", 3, "..."}, {"abcdef", 2, ".."}, {"abcdef", 0, ""},
		{"", 0, ""},
		{"\x1b", 4, `\x1b`}, {"\x1b", 3, "..."}, {"a\x1bb", 6, `a\x1bb`}, {"a\x1bb", 5, "a..."}, {"\x1b\x1b\x1b", 11, `\x1b\x1b`[:8] + "..."},
		{"éééé", 8, "éééé"}, {"éééé", 7, "éé..."}, {"éééé", 6, "é..."},
		{strings.Repeat("\xff", 1<<20), 10, `\xff...`},
	} {
		if got := printable.Clip(c.text, c.max); got != c.want || len(got) > c.max {
			t.Errorf("Clip(%.20q, %d) = %q, want %q", c.text, c.max, got, c.want)
		}
	}
	for max := range 40 {
		if got := printable.Clip("a\x1bé\u202e\U000e0001plain text and more of it", max); len(got) > max || !utf8.ValidString(got) {
			t.Errorf("Clip to %d bytes: %q, %d bytes", max, got, len(got))
		}
	}
}

func TestError(t *testing.T) {
	if err := printable.Error(nil); err != nil {
		t.Errorf("Error(nil) = %v", err)
	}
	if err := printable.Error(io.EOF); err != io.EOF {
		t.Errorf("Error(EOF) = %v", err)
	}
	err := printable.Error(fmt.Errorf("line \x1b[2J: %w", io.EOF))
	if got, want := err.Error(), `line \x1b[2J: EOF`; got != want || !errors.Is(err, io.EOF) {
		t.Errorf("got %q, want %q, EOF behind it: %v", got, want, errors.Is(err, io.EOF))
	}
}

func ExampleText() {
	fmt.Println(printable.Text("Not\x1b[2J Found\r\n"))
	// Output: Not\x1b[2J Found\r\n
}
