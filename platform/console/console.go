// Package console is where a program talks with a person line by line: on a
// terminal, be it a serial line, an SSH session or a window, where lines are
// edited, remembered and completed, or through pipes.
//
//	c := console.NewTerminal(tty, "admin:", complete)
//	line, err := c.Ask("admin:", console.Shown)
//
// A command has at most MaxLine bytes, an answer MaxAnswer. Whatever bytes are read
// and whatever sizes are set, the next line is read and answered: sequences that are
// unfinished or unknown are dropped (ECMA-48 says where they end), and a byte costs
// constant memory, and at most the time to draw its line again. Ask is for one caller
// at a time; Write may be called beside it, and draws a line that is being typed
// again below its text.
package console

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// Limits of a line that is typed, in bytes.
const (
	MaxLine   = 4096 // of a command; the line editor has the same
	MaxAnswer = 512  // of an answer, which nobody may have logged in for
)

// What came in the place of a line. After both the next line can be asked for.
var (
	ErrInterrupt = errors.New("interrupted") // Ctrl-C
	ErrTooLong   = errors.New("the line is too long")
)

// Console asks a person for lines.
type Console interface {
	io.Writer
	// Ask prints a prompt and reads one line. Apart from ErrInterrupt and ErrTooLong,
	// an error says that nobody is there any more, or that the wait has ended.
	Ask(prompt string, how Echo) (string, error)
	// Discard forgets what was typed ahead on a terminal.
	Discard()
}

// Echo says what a console shows of a line that is typed.
type Echo int

// The ways to show a line.
const (
	Shown    Echo = iota
	Hidden        // but for its end
	Masked        // as asterisks
	Unbroken      // hidden with its end: what is printed next is behind the prompt
)

// Completer returns what a line can be completed to, and the ways that are open
// where there are several.
type Completer func(line string) (completed string, choices []string)

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
