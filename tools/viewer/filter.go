package viewer

import (
	"unicode"
	"unicode/utf8"
)

// Filter takes a board's output and leaves what a terminal may be given: text, colours
// and the movements of a cursor within the screen. What makes a terminal answer, change
// its title or its modes, print, or read files is dropped; so are sequences that are
// longer than any that is let through. Its zero value is at the start of a stream.
type Filter struct {
	state   filterState
	pending []byte // of a sequence
	utf     []byte // of a character
}

type filterState int

const (
	ground   filterState = iota
	escape               // behind ESC
	csi                  // behind ESC [
	text                 // a string, until BEL or ESC \
	textEnds             // behind ESC in a string
)

// maxSequence bounds a sequence that is let through, in bytes: those of colours may have
// several parameters.
const maxSequence = 48

// shown are final bytes of control sequences that move a cursor, erase or colour
// (ECMA-48, section 8.3: CUU to ECH, SGR, VPA).
var shown = map[byte]bool{
	'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'J': true, 'K': true,
	'L': true, 'M': true, 'P': true, 'X': true, '@': true, 'd': true, 'f': true, 'm': true,
}

// Filter returns what of b may be shown, with what was held back before.
func (f *Filter) Filter(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(f.pending))
	for _, c := range b {
		out = f.next(out, c)
	}
	return out
}

func (f *Filter) next(out []byte, c byte) []byte {
	if c == 0x18 || c == 0x1a { // CAN and SUB end whatever there is
		f.state, f.pending = ground, nil
		return out
	}
	switch f.state {
	case ground:
		return f.plain(out, c)
	case escape:
		f.behindEscape(c)
	case csi:
		switch {
		case c == 0x1b:
			f.start()
		case c >= 0x20 && c < 0x40 && len(f.pending) < maxSequence:
			f.pending = append(f.pending, c)
		case c >= 0x40 && c < 0x7f:
			f.state = ground
			if shown[c] && !private(f.pending) && len(f.pending) < maxSequence {
				out = append(append(out, f.pending...), c)
			}
			f.pending = nil
		case c < 0x20:
			return f.plain(out, c) // a terminal acts on it in the middle too
		}
	case text:
		switch c {
		case 0x07:
			f.state = ground
		case 0x1b:
			f.state = textEnds
		}
	case textEnds:
		f.state = text
		if c == '\\' {
			f.state = ground
		}
	}
	return out
}

func (f *Filter) start() { f.state, f.pending = escape, append(f.pending[:0], 0x1b) }

// private says whether a sequence has parameters of a terminal's own making, or
// intermediate bytes.
func private(sequence []byte) bool {
	for _, c := range sequence[2:] {
		if c != ';' && c != ':' && (c < '0' || c > '9') {
			return true
		}
	}
	return false
}

func (f *Filter) behindEscape(c byte) {
	switch c {
	case '[':
		f.state, f.pending = csi, append(f.pending, c)
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC
		f.state, f.pending = text, nil
	case 0x1b:
	default:
		if c < 0x20 || c > 0x2f { // those are in front of one more byte
			f.state, f.pending = ground, nil
		}
	}
}

// plain is a byte outside of sequences.
func (f *Filter) plain(out []byte, c byte) []byte {
	switch {
	case c == 0x1b:
		f.start()
	case c == '\a', c == '\b', c == '\t', c == '\n', c == '\r', c >= 0x20 && c < 0x7f:
		return append(f.cut(out), c)
	case c >= 0x80:
		return f.character(out, c)
	}
	return out
}

// cut is called where a character may be left unfinished.
func (f *Filter) cut(out []byte) []byte {
	if len(f.utf) > 0 {
		f.utf = nil
		return utf8.AppendRune(out, utf8.RuneError)
	}
	return out
}

// character is a byte of UTF-8. What is none, or cannot be printed, such as the control
// characters of eight bits, becomes a replacement.
func (f *Filter) character(out []byte, c byte) []byte {
	if f.utf = append(f.utf, c); !utf8.FullRune(f.utf) {
		return out
	}
	r, n := utf8.DecodeRune(f.utf)
	if !unicode.IsPrint(r) {
		r = utf8.RuneError
	}
	out = utf8.AppendRune(out, r)
	rest := f.utf[n:]
	f.utf = nil
	for _, c := range rest { // fewer than before
		out = f.character(out, c)
	}
	return out
}
