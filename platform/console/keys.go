package console

import (
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of what is typed.
const (
	maxEdits  = 1024                   // keys a line that edit it: each may draw the whole line again
	maxParams = 16                     // bytes of a control sequence that are looked at; keys have at most 4
	staleTime = 250 * time.Millisecond // a key's bytes arrive together: what is older is unfinished for good
	maxEmpty  = 100                    // reads in a row that bring nothing
	maxEmit   = 8                      // bytes that one byte of input becomes, at most
)

// The control characters that mean something on a console.
const (
	ctrlA, ctrlB, ctrlC, ctrlD, ctrlE, ctrlF = 1, 2, 3, 4, 5, 6
	bell, ctrlH, tab, lineFeed               = 7, 8, 9, 10
	ctrlK, ctrlL, enter, ctrlN, ctrlP        = 11, 12, 13, 14, 16
	ctrlT, ctrlU, ctrlW, escape, del         = 20, 21, 23, 27, 127
)

// ending says what a line ended with.
type ending int

const (
	entered ending = iota
	interrupted
	closed
)

// state is where in a sequence of bytes the reader is (ECMA-48, section 5).
type state int

const (
	ground state = iota
	inEscape
	inCSI       // behind ESC [
	inLinuxKey  // behind ESC [ [, of the function keys of Linux' own console
	inSS3       // behind ESC O
	inString    // OSC, DCS, SOS, PM or APC: until BEL or ST
	inStringEsc // behind ESC in there
)

// keys reads from a terminal, and passes on what the line editor knows: whole keys,
// at most one line at a time. All else is dropped: unfinished and unknown
// sequences, bytes that are not UTF-8, characters that steer a terminal, what is
// beyond the length of a line. The editor of golang.org/x/term hangs, stalls or
// grows on these; docs/dependencies.md has the list.
//
// It takes constant memory and constant time for a byte. It is not safe for
// concurrent use.
type keys struct {
	tty   io.Reader
	now   func() time.Time
	tab   func(pressed bool) // told at each read, whether the tab key is what it brings
	ended func()             // told when a read brings the end of a line that is entered

	buf    [256]byte
	unread []byte // of buf
	err    error  // of tty, once there was one
	last   time.Time

	state   state
	params  [maxParams]byte
	nparams int // may exceed maxParams
	partial []byte
	crSeen  bool // a line feed right behind is part of that line end

	limit, typed, edits int    // of the line
	long                bool   // the line was cut
	hidden              bool   // keys that draw spaces tell how long the line is
	end                 ending // of the last line
}

// start begins a line of at most limit bytes.
func (k *keys) start(limit int, hidden bool) {
	k.limit, k.typed, k.edits, k.long, k.hidden, k.end = limit, 0, 0, false, hidden, entered
}

// discard forgets what was typed ahead.
func (k *keys) discard() { k.unread, k.state, k.partial, k.crSeen = nil, ground, nil, false }

// Read implements io.Reader. It never returns 0 bytes without an error, and never
// goes beyond the end of a line.
func (k *keys) Read(b []byte) (n int, err error) {
	if len(b) < maxEmit {
		return 0, io.ErrShortBuffer // a library with no room for more would ask for ever
	}
	k.tab(false)
	for n == 0 {
		if len(k.unread) == 0 {
			if err := k.fill(); err != nil {
				return 0, err
			}
		}
		for len(k.unread) > 0 && n <= len(b)-maxEmit {
			c := k.unread[0]
			if c == tab && k.state == ground && n > 0 {
				return n, nil // it comes alone
			}
			k.unread = k.unread[1:]
			key := k.next(c)
			n += copy(b[n:], key)
			if len(key) == 0 {
				continue
			}
			if key[len(key)-1] == enter {
				if k.end == entered {
					k.ended()
				}
				return n, nil
			}
			if key[0] == tab {
				k.tab(true)
				return n, nil
			}
		}
	}
	return n, nil
}

// fill waits for bytes.
func (k *keys) fill() error {
	if k.err != nil {
		return k.err
	}
	for range maxEmpty {
		n, err := k.tty.Read(k.buf[:])
		k.unread, k.err = k.buf[:n], err
		now := k.now()
		if now.Sub(k.last) > staleTime {
			k.state, k.partial = ground, nil
		}
		k.last = now
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	k.err = io.ErrNoProgress
	return k.err
}

// next returns the whole key that a byte ends, or nothing.
func (k *keys) next(c byte) string {
	cr := k.crSeen
	k.crSeen = false
	if c < ' ' && c != escape && !(k.state == inString && c == bell) {
		k.state, k.partial = ground, nil // a control character ends whatever is unfinished
		if c == lineFeed && cr {
			return ""
		}
		return k.control(c)
	}
	switch k.state {
	case inEscape:
		return k.escaped(c)
	case inCSI:
		return k.sequence(c)
	case inLinuxKey:
		k.state = ground
		return ""
	case inSS3:
		if c >= 0x40 && c < del {
			k.state = ground
			return k.edit(cursor(c))
		}
		if c >= '0' && c <= '?' {
			return ""
		}
	case inString:
		switch c {
		case bell:
			k.state = ground
		case escape:
			k.state = inStringEsc
		}
		return ""
	case inStringEsc:
		if c == '\\' {
			k.state = ground
			return ""
		}
		return k.escaped(c)
	}
	k.state = ground
	return k.text(c)
}

// text is a byte outside of sequences.
func (k *keys) text(c byte) string {
	switch {
	case c == escape:
		k.state, k.partial = inEscape, nil
		return ""
	case c == del:
		k.partial = nil
		return k.edit(string(rune(del)))
	case c < utf8.RuneSelf:
		k.partial = nil
		return k.character(string(rune(c)))
	}
	k.partial = append(k.partial, c)
	for len(k.partial) > 0 {
		if !utf8.FullRune(k.partial) {
			return ""
		}
		r, size := utf8.DecodeRune(k.partial)
		whole := string(k.partial[:size])
		k.partial = k.partial[size:]
		if r != utf8.RuneError && strconv.IsPrint(r) {
			return k.character(whole)
		}
	}
	return ""
}

// character is one that stands in the line.
func (k *keys) character(s string) string {
	if k.typed+len(s) > k.limit {
		k.long = true
		return ""
	}
	k.typed += len(s)
	return s
}

// edit is a key that changes the line.
func (k *keys) edit(s string) string {
	if s == "" || k.edits == maxEdits {
		return ""
	}
	k.edits++
	return s
}

func (k *keys) control(c byte) string {
	switch c {
	case enter, lineFeed:
		k.crSeen, k.end = c == enter, entered
		return "\r"
	case ctrlC:
		k.end = interrupted
		return "\x05^C\r"
	case ctrlD:
		if k.typed == 0 && k.edits == 0 {
			k.end = closed
			return "\r"
		}
		return k.edit("\x1b[3~") // as in other editors, the character under the cursor goes
	case ctrlK, ctrlL:
		if k.hidden {
			return ""
		}
		return k.edit(string(rune(c)))
	case ctrlA, ctrlB, ctrlE, ctrlF, ctrlH, tab, ctrlN, ctrlP, ctrlT, ctrlU, ctrlW:
		return k.edit(string(rune(c)))
	}
	return ""
}

// escaped is the byte behind ESC.
func (k *keys) escaped(c byte) string {
	k.state = ground
	switch {
	case c == '[':
		k.state, k.nparams = inCSI, 0
	case c == 'O':
		k.state = inSS3
	case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_':
		k.state = inString
	case c == escape || c >= ' ' && c < '0':
		k.state = inEscape
	case c >= del:
		return k.text(c)
	}
	return ""
}

// sequence is a byte behind ESC [.
func (k *keys) sequence(c byte) string {
	switch {
	case c >= ' ' && c < '@':
		if k.nparams < maxParams {
			k.params[k.nparams] = c
			k.nparams++
		}
		return ""
	case c == '[' && k.nparams == 0:
		k.state = inLinuxKey
		return ""
	case c >= del || c == escape:
		k.state = ground
		return k.text(c)
	}
	k.state = ground
	switch params := string(k.params[:k.nparams]); {
	case params == "":
		return k.edit(cursor(c))
	case c == '~':
		return k.edit(map[string]string{"1": "\x1b[H", "7": "\x1b[H", "4": "\x1b[F", "8": "\x1b[F", "3": "\x1b[3~"}[params])
	case params == "1;3" || params == "1;5":
		return k.edit(map[byte]string{'C': "\x1b[1;3C", 'D': "\x1b[1;3D"}[c])
	}
	return "" // the marks of pasted text among them: it is as if it were typed
}

// cursor returns the cursor key with a final byte, or nothing.
func cursor(c byte) string {
	switch c {
	case 'A', 'B', 'C', 'D', 'H', 'F':
		return "\x1b[" + string(rune(c))
	}
	return ""
}
