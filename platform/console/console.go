// Package console is where a program talks with a person line by line: on a
// terminal, be it a serial line, an SSH session or a window, where lines are
// edited, remembered and completed, or through pipes.
//
//	c := console.NewTerminal(tty, "admin:", complete)
//	line, err := c.Ask("admin:", console.Shown)
//
// A line has at most MaxLine bytes. Ask is for one caller at a time; Write may be
// called beside it, and draws a line that is being typed again below its text.
// No bytes that are read, and no sizes that are set, make it fail in another way
// than with an error.
package console

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/term"
)

// MaxLine bounds a line that is typed, in bytes.
const MaxLine = 4096

// Console asks a person for lines.
type Console interface {
	io.Writer
	// Ask prints a prompt and reads one line. io.EOF says that nobody is there any
	// more.
	Ask(prompt string, how Echo) (string, error)
}

// Echo says what a console shows of a line that is typed.
type Echo int

// The ways to show a line.
const (
	Shown Echo = iota
	Hidden
	Masked // as asterisks
)

// Completer returns what a line can be completed to, and the ways that are open
// where there are several.
type Completer func(line string) (completed string, choices []string)

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

// Ask implements Console.
func (p *Plain) Ask(prompt string, how Echo) (string, error) {
	io.WriteString(p.out, prompt)
	raw, err := p.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || err != nil && len(raw) == 0 {
		io.WriteString(p.out, "\n")
		return "", io.EOF
	}
	line := strings.TrimRight(string(raw), "\r\n")
	switch how {
	case Shown:
		io.WriteString(p.out, line)
	case Masked:
		io.WriteString(p.out, "*****")
	}
	io.WriteString(p.out, "\n")
	return line, nil
}

// Terminal is a console on a terminal: lines are edited, remembered, and
// completed with the tab key.
type Terminal struct {
	t        *term.Terminal
	mask     *masker
	prompt   string
	complete Completer
}

// NewTerminal returns a console on a terminal in raw mode. Lines behind the one
// prompt are commands: they are remembered, and completed where complete is not
// nil. Those behind others are answers.
func NewTerminal(tty io.ReadWriter, prompt string, complete Completer) *Terminal {
	m := &masker{tty: tty}
	t := &Terminal{term.NewTerminal(m, ""), m, prompt, complete}
	t.t.AutoCompleteCallback = t.tab
	return t
}

// SetSize tells how wide and high the terminal is, in characters.
func (t *Terminal) SetSize(width, height int) {
	if width > 0 && height > 0 && width < 1<<12 && height < 1<<12 {
		t.t.SetSize(width, height)
	}
}

func (t *Terminal) Write(b []byte) (int, error) { return t.t.Write(b) }

// Ask implements Console.
func (t *Terminal) Ask(prompt string, how Echo) (string, error) {
	if how == Hidden {
		return t.t.ReadPassword(prompt)
	}
	if prompt != t.prompt { // an answer: nothing to remember or to complete
		history, complete := t.t.History, t.t.AutoCompleteCallback
		t.t.History, t.t.AutoCompleteCallback = noHistory{}, nil
		defer func() { t.t.History, t.t.AutoCompleteCallback = history, complete }()
	}
	before, rest := "", prompt
	if at := strings.LastIndexByte(prompt, '\n') + 1; how == Masked {
		before, rest = prompt, "" // a prompt is not masked
	} else {
		before, rest = prompt[:at], prompt[at:]
	}
	if _, err := io.WriteString(t.t, before); err != nil {
		return "", err
	}
	t.t.SetPrompt(rest)
	t.mask.on = how == Masked
	defer func() { t.mask.on = false }()
	line, err := t.t.ReadLine()
	if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
		return "", err
	}
	if len(line) > MaxLine {
		return "", io.EOF
	}
	return line, nil
}

func (t *Terminal) tab(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' || pos != len(line) || t.complete == nil {
		return "", 0, false
	}
	completed, choices := t.complete(line)
	if completed == line && len(choices) > 1 {
		io.WriteString(t.t, strings.Join(choices, "  ")+"\n") // above the line, which is drawn again
		return "", 0, false
	}
	return completed, len(completed), true
}

// noHistory remembers nothing.
type noHistory struct{}

func (noHistory) Add(string)    {}
func (noHistory) Len() int      { return 0 }
func (noHistory) At(int) string { panic("history of no entries") }

// masker shows what is typed as asterisks while it is on. Escape sequences and
// line ends pass as they are.
type masker struct {
	tty io.ReadWriter
	on  bool
	esc int // 0 outside of a sequence, 1 behind ESC, 2 behind ESC [
}

func (m *masker) Read(b []byte) (int, error) { return m.tty.Read(b) }

func (m *masker) Write(b []byte) (int, error) {
	if !m.on {
		return m.tty.Write(b)
	}
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c
		switch {
		case m.esc == 1:
			m.esc = 0
			if c == '[' {
				m.esc = 2
			}
		case m.esc == 2:
			if c >= 0x40 && c <= 0x7e {
				m.esc = 0
			}
		case c == 0x1b:
			m.esc = 1
		case c > ' ' && c != 0x7f:
			out[i] = '*'
		}
	}
	_, err := m.tty.Write(out)
	return len(b), err
}

// CompleteWords completes the last word of a line, given all commands, each of one
// or more words. The line itself comes back where there is nothing to add.
func CompleteWords(commands []string, line string) (completed string, choices []string) {
	words := strings.Fields(line)
	if line == "" || strings.HasSuffix(line, " ") {
		words = append(words, "")
	}
	at := len(words) - 1
	for _, c := range commands {
		have := strings.Fields(c)
		if len(have) > at && slices.Equal(have[:at], words[:at]) && strings.HasPrefix(have[at], words[at]) && !slices.Contains(choices, have[at]) {
			choices = append(choices, have[at])
		}
	}
	if len(choices) == 0 {
		return line, nil
	}
	slices.Sort(choices)
	common := choices[0]
	for _, c := range choices[1:] {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	if len(choices) == 1 {
		common += " "
	}
	return line + common[len(words[at]):], choices
}
