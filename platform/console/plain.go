package console

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// maxSkip bounds what is read of a line that is too long, in bytes: what goes on has
// no end.
const maxSkip = 16 << 20

// Plain is a console without a terminal: a script's. It repeats the lines that it
// reads behind their prompts, so that its output reads as on a terminal.
type Plain struct {
	in  *bufio.Reader
	out io.Writer
}

// NewPlain returns a console that reads lines and writes text.
func NewPlain(in io.Reader, out io.Writer) *Plain {
	return &Plain{bufio.NewReaderSize(in, MaxLine), out}
}

func (p *Plain) Write(b []byte) (int, error) { return p.out.Write(b) }

// Discard implements Console: a script means what it says.
func (p *Plain) Discard() {}

// Ask implements Console.
func (p *Plain) Ask(prompt string, how Echo) (string, error) {
	io.WriteString(p.out, prompt)
	raw, err := p.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		io.WriteString(p.out, "\n")
		return "", p.skip()
	case err != nil && !errors.Is(err, io.EOF):
		return "", err
	case err != nil && len(raw) == 0:
		io.WriteString(p.out, "\n")
		return "", io.EOF
	}
	line := strings.TrimRight(string(raw), "\r\n")
	switch how {
	case Shown:
		io.WriteString(p.out, visible(line))
	case Masked:
		io.WriteString(p.out, "*****")
	}
	if how != Unbroken {
		io.WriteString(p.out, "\n")
	}
	return line, nil
}

// visible returns a line with what is not a visible character or a blank escaped: a
// script's input may come from anywhere, and goes to whoever looks on.
func visible(line string) string {
	var b strings.Builder
	for _, r := range line {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// skip reads the rest of a line that is too long.
func (p *Plain) skip() error {
	for range maxSkip / MaxLine {
		_, err := p.in.ReadSlice('\n')
		if err == nil {
			return ErrTooLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	return io.EOF
}
