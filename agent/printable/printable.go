// Package printable makes text from outside safe to show: in a terminal, a log, a
// page, or an error's text.
//
//	log.Print(printable.Text(phrase))          // a reason phrase of HTTP
//	fmt.Println(printable.Bytes(record.Name))  // a name from a certificate
//	printable.Clip(message, 80)                // no more than 80 bytes of it
//	return printable.Error(err)                // an error of a library that quotes its input
//
// What a reader cannot see, or what would steer the reader's terminal or the order
// of the letters, becomes an escape that can be seen: \x1b, \n, \u202e. Everything
// else stays as it is. A backslash does too, so Text(Text(s)) is Text(s): a text may
// pass through here more than once on its way out. For the same reason an escape
// does not prove what the text was; nothing may read the result back.
//
// It does not make text safe for HTML, a shell or JSON: those have quoting of their
// own, which comes after this. All functions are safe for concurrent use. Classes of
// characters are those of the Unicode standard, as package unicode has them.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis stands at the end of a text that Clip has cut.
const ellipsis = "..."

// Text returns s with every character escaped that is a control (C0, DEL, C1), a
// format character (bidirectional controls, zero-width characters, the byte order
// mark, tags), a line or paragraph separator, otherwise invisible, unassigned or
// private, and with every byte escaped that is not UTF-8. The result has at most
// four times the bytes of s.
func Text(s string) string {
	if safe(s) {
		return s
	}
	return escaped(s, -1)
}

// Bytes is Text of bytes.
func Bytes(b []byte) string { return Text(string(b)) }

// Clip is Text of at most max bytes. A text that is cut ends in "...", which counts;
// no escape and no character is cut in two. It looks at no more of s than it shows.
func Clip(s string, max int) string {
	if len(s) <= max && safe(s) {
		return s
	}
	return escaped(s, max)
}

// Error returns an error with the text of err made safe, and with err behind it for
// errors.Is and errors.As. nil stays nil.
func Error(err error) error {
	if err == nil || safe(err.Error()) {
		return err
	}
	return safeError{err}
}

type safeError struct{ error }

func (e safeError) Error() string { return Text(e.error.Error()) }
func (e safeError) Unwrap() error { return e.error }

func safe(s string) bool {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !shown(r, size) {
			return false
		}
		i += size
	}
	return true
}

// shown reports whether a reader sees the character, and nothing else of its doing.
func shown(r rune, size int) bool {
	switch {
	case r < utf8.RuneSelf:
		return r >= ' ' && r != 0x7f
	case r == utf8.RuneError && size == 1:
		return false
	}
	// Graphic characters are letters, marks, numbers, punctuation, symbols and spaces.
	// Some marks and letters among them have no picture all the same.
	return strconv.IsGraphic(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// escaped escapes s, into at most max bytes where max is not negative.
func escaped(s string, max int) string {
	var out strings.Builder
	whole := 0 // bytes of out that leave room for the ellipsis
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		next := s[i : i+size]
		if !shown(r, size) {
			next = escape(r, s[i], size)
		}
		if max >= 0 && out.Len()+len(next) > max {
			return out.String()[:whole] + ellipsis[:min(len(ellipsis), max-whole)]
		}
		out.WriteString(next)
		if out.Len()+len(ellipsis) <= max {
			whole = out.Len()
		}
		i += size
	}
	return out.String()
}

func escape(r rune, first byte, size int) string {
	const digits = "0123456789abcdef"
	hex := func(prefix string, n int) string {
		b := []byte(prefix)
		for n--; n >= 0; n-- {
			b = append(b, digits[r>>(4*n)&15])
		}
		return string(b)
	}
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case size == 1:
		r = rune(first)
		return hex(`\x`, 2)
	case r < 1<<16:
		return hex(`\u`, 4)
	}
	return hex(`\U`, 8)
}
