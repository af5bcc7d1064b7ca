package console

import (
	"errors"
	"io"
	"strings"
	"time"

	"golang.org/x/term"
)

// Terminal is a console on a terminal: lines are edited, remembered, and
// completed with the tab key.
type Terminal struct {
	t        *term.Terminal
	keys     *keys
	screen   *screen
	history  *history
	prompt   string
	complete Completer
	command  bool // what is being asked for
	flush    func()
}

// NewTerminal returns a console on a terminal in raw mode. Lines behind the one
// prompt are commands: they are remembered, and completed where complete is not
// nil. Those behind others are answers.
func NewTerminal(tty io.ReadWriter, prompt string, complete Completer) *Terminal {
	t := &Terminal{keys: &keys{tty: tty, now: time.Now}, screen: &screen{tty: tty}, history: new(history), prompt: prompt, complete: complete, flush: func() {}}
	t.t = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{t.keys, t.screen}, "")
	t.t.History = t.history
	// The editor hands a copy of the whole line to its callback for every character:
	// it has one for the tab key alone. Both run in Ask.
	t.keys.tab = func(pressed bool) {
		t.t.AutoCompleteCallback = nil
		if pressed && t.command && t.complete != nil {
			t.t.AutoCompleteCallback = t.completed
		}
	}
	t.keys.ended = t.screen.ended
	return t
}

// SetSize tells how wide and high the terminal is, in characters.
func (t *Terminal) SetSize(width, height int) {
	if width > 0 && height > 0 && width < 1<<12 && height < 1<<12 {
		t.t.SetSize(width, height)
	}
}

func (t *Terminal) Write(b []byte) (int, error) { return t.t.Write(b) }

// Discard implements Console.
func (t *Terminal) Discard() {
	t.keys.discard()
	t.flush()
}

// Ask implements Console.
func (t *Terminal) Ask(prompt string, how Echo) (string, error) {
	t.command = prompt == t.prompt && how == Shown
	limit := MaxAnswer
	if t.command {
		limit = MaxLine
	}
	t.keys.start(limit, how == Hidden || how == Unbroken)
	t.history.on = t.command
	line, err := t.read(prompt, how)
	switch {
	case err != nil:
		return "", err
	case t.keys.end == interrupted:
		return "", ErrInterrupt
	case t.keys.end == closed:
		return "", io.EOF
	case t.keys.long || len(line) > limit:
		return "", ErrTooLong
	}
	t.history.keep(line)
	return line, nil
}

func (t *Terminal) read(prompt string, how Echo) (string, error) {
	defer t.screen.set(Shown)
	switch how {
	case Hidden, Unbroken:
		t.screen.set(how)
		return t.t.ReadPassword(prompt)
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
	t.screen.set(how)
	line, err := t.t.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return line, err
}

// completed is called for the tab key.
func (t *Terminal) completed(line string, pos int, _ rune) (string, int, bool) {
	if pos != len(line) {
		return "", 0, false
	}
	completed, choices := t.complete(line)
	if completed == line && len(choices) > 1 {
		io.WriteString(t.t, strings.Join(choices, "  ")+"\n") // above the line, which is drawn again
		return "", 0, false
	}
	return completed, len(completed), true
}

// maxHistory bounds the commands that are remembered.
const maxHistory = 50

// history remembers commands, newest last, and shows nothing while it is off: an
// answer is neither remembered nor completed.
type history struct {
	on    bool
	lines []string
}

func (h *history) keep(line string) {
	if !h.on || line == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	if len(h.lines) == maxHistory {
		h.lines = append(h.lines[:0], h.lines[1:]...)
	}
	h.lines = append(h.lines, line)
}

// Add implements term.History. A line is remembered by Ask, which knows whether it
// was entered or interrupted.
func (h *history) Add(string) {}

// Len implements term.History.
func (h *history) Len() int {
	if !h.on {
		return 0
	}
	return len(h.lines)
}

// At implements term.History.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }
