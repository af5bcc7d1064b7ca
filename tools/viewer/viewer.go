// Package viewer is what a person sees of a serial line, and the keys that work there.
//
//	v := viewer.New(os.Stdout, viewer.Options{Times: true, Terminal: true})
//	v.Show(bytes, false)
//	keys := viewer.NewKeys(20)          // ctrl-t
//	send, actions := keys.Read(typed)
//
// A View writes what came from a line as text with times, as hex, with marks on lines
// that matter. On a terminal it lets through what Filter does, unless Raw is set. Views
// and Keys are not safe for concurrent use.
package viewer

import (
	"fmt"
	"io"
	"time"
)

// Options say how a line is shown.
type Options struct {
	Terminal bool // the output is one in raw mode
	Raw      bool // show it what the board sends as it is
	Hex      bool
	Times    bool // in front of each line
	Decode   bool // mark lines that matter
	Colour   bool // of the marks
	AddCR    bool // a line feed of the board's starts a line
	Now      func() time.Time
}

// View shows a line.
type View struct {
	Options
	w       io.Writer
	filter  Filter
	marker  marker
	offset  int64 // bytes shown
	hex     []byte
	begun   bool // something stands in this line
	last    byte
	garbled garbled
}

// New returns a view that writes to w.
func New(w io.Writer, o Options) *View {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &View{Options: o, w: w}
}

// Show shows bytes of the line. Earlier ones came before this program read, so that
// their time is not known.
func (v *View) Show(b []byte, earlier bool) error {
	v.garbled.add(b)
	if v.Hex {
		return v.showHex(b)
	}
	if v.Terminal && !v.Raw {
		b = v.filter.Filter(b)
	}
	out := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		if !v.begun && v.Times && c != '\r' && c != '\n' {
			out = append(out, v.stamp(earlier)...)
		}
		if v.AddCR && c == '\n' && v.last != '\r' {
			out = append(out, '\r')
		}
		out = append(out, c)
		v.last = c
		v.begun = c != '\n' && (v.begun || c != '\r')
		if v.Decode {
			if mark := v.marker.next(c, v.Colour); mark != "" {
				out = append(out, mark+v.end()...)
			}
		}
	}
	_, err := v.w.Write(out)
	return err
}

func (v *View) end() string {
	if v.Terminal {
		return "\r\n"
	}
	return "\n"
}

func (v *View) stamp(earlier bool) string {
	if earlier {
		return "[earlier     ] "
	}
	return v.Now().Format("[15:04:05.000] ")
}

// Note shows a word of this program's own on a line of its own.
func (v *View) Note(text string) {
	begin := ""
	if v.begun || len(v.hex) > 0 {
		begin = v.end()
	}
	v.flushHex()
	fmt.Fprintf(v.w, "%s[itlbench: %s]%s", begin, text, v.end())
	v.begun = false
}

// Garbled says once that what arrives looks like bytes at a wrong rate.
func (v *View) Garbled() bool { return v.garbled.say() }

const hexWidth = 16

// showHex shows 16 bytes a line.
func (v *View) showHex(b []byte) error {
	for _, c := range b {
		if v.hex = append(v.hex, c); len(v.hex) == hexWidth {
			v.flushHex()
		}
	}
	// What is there so far, which the whole line then replaces.
	if len(v.hex) > 0 && v.Terminal {
		_, err := io.WriteString(v.w, v.hexLine()+"\r")
		return err
	}
	return nil
}

// Flush shows what is left of hex.
func (v *View) Flush() { v.flushHex() }

func (v *View) flushHex() {
	if len(v.hex) == 0 {
		return
	}
	io.WriteString(v.w, v.hexLine()+v.end())
	v.offset += int64(len(v.hex))
	v.hex = v.hex[:0]
}

func (v *View) hexLine() string {
	text := make([]byte, len(v.hex))
	for i, c := range v.hex {
		if text[i] = c; c < 0x20 || c > 0x7e {
			text[i] = '.'
		}
	}
	return fmt.Sprintf("%08x  %-48s |%s|", v.offset, fmt.Sprintf("% x", v.hex), text)
}

// garbled watches for bytes that no console sends.
type garbled struct {
	bytes, odd int
	said       bool
}

const (
	garbledAfter = 64 // bytes; a boot loader's banner has as many
	garbledShare = 3  // one in so many is odd
)

func (g *garbled) add(b []byte) {
	for _, c := range b {
		g.bytes++
		if c >= 0x80 || c < 0x20 && c != '\r' && c != '\n' && c != '\t' && c != '\b' && c != 0x1b && c != '\a' {
			g.odd++
		}
	}
	const window = 1024
	if g.bytes > window {
		g.bytes, g.odd = g.bytes/2, g.odd/2
	}
}

func (g *garbled) say() bool {
	if g.said || g.bytes < garbledAfter || g.odd*garbledShare < g.bytes {
		return false
	}
	g.said = true
	return true
}
