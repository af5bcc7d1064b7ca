// Package uboot talks to the boot loader U-Boot over its console: it stops the
// automatic boot, runs commands and knows their results, and reads and sets variables.
//
//	l, err := uboot.Attach(ctx, e, uboot.Options{Prompt: "=> ", Stop: "Hit any key"})
//	out, err := l.Run(ctx, time.Minute, "version")
//
// A command is typed, its echo is awaited, and only then is it entered: a character that
// the line lost is seen, and the line is typed again. Behind each command stands one
// that prints its result, in a form that its own echo does not have, which needs U-Boot's
// hush shell. A Loader is not safe for concurrent use. Source: U-Boot's doc/usage.
package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"itlagent/agent/printable"
	"itlagent/tools/expect"
)

// Options say how a loader's prompt is reached.
type Options struct {
	Prompt string        // as it is: "=> "
	Stop   string        // what is said while a key stops the automatic boot; "" where nothing is
	Key    string        // that is typed then; a blank where ""
	Limit  time.Duration // for the prompt to come; a minute where 0
}

// Loader is a boot loader at its prompt.
type Loader struct {
	e      *expect.Expect
	prompt *regexp.Regexp
	number int // of the last command
}

// Errors of a loader.
var (
	ErrNoPrompt  = errors.New("the boot loader's prompt does not come")
	ErrGarbage   = errors.New("what the board says is garbage")
	ErrNoCommand = errors.New("the boot loader lacks a command")
	ErrResult    = errors.New("the boot loader reports an error")
	ErrEcho      = errors.New("the line loses characters")
)

const (
	interrupt = "\x03" // Ctrl-C, which ends any command and clears the line
	knock     = 2 * time.Second
)

// Attach brings a board to its loader's prompt: one that was just turned on, and one
// that is there already. A board that is silent is asked again and again.
func Attach(ctx context.Context, e *expect.Expect, o Options) (*Loader, error) {
	if o.Limit == 0 {
		o.Limit = time.Minute
	}
	if o.Key == "" {
		o.Key = " "
	}
	l := &Loader{e: e, prompt: regexp.MustCompile(`(?:^|[\r\n])` + regexp.QuoteMeta(o.Prompt) + `\z`)}
	patterns := []*regexp.Regexp{l.prompt}
	if o.Stop != "" {
		patterns = append(patterns, regexp.MustCompile(regexp.QuoteMeta(o.Stop)))
	}
	e.Arm()
	for end := time.Now().Add(o.Limit); ; {
		n, _, err := e.Wait(ctx, knock, patterns...)
		switch {
		case err == nil && n == 0:
			if err := l.settle(ctx); err != nil {
				return nil, err
			}
			e.Arm(expect.Loader)
			return l, nil
		case err == nil:
			err = e.Type(o.Key)
		case errors.Is(err, expect.ErrSilent):
			if time.Now().After(end) {
				return nil, l.noPrompt(err)
			}
			err = e.Type(interrupt + "\r")
		}
		if err != nil {
			return nil, err
		}
	}
}

// noPrompt says why there is no prompt, as far as what the board said tells.
func (l *Loader) noPrompt(err error) error {
	var board *expect.Error
	if !errors.As(err, &board) || strings.TrimSpace(board.Last) == "" {
		return fmt.Errorf("%w: the board is silent", ErrNoPrompt)
	}
	bad := 0
	for _, r := range board.Last {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' {
			bad++
		}
	}
	if bad*5 > len(board.Last) { // a fifth: text has none
		return fmt.Errorf("%w: it looks like the wrong rate", ErrGarbage)
	}
	lines := strings.Split(strings.TrimSpace(board.Last), "\n")
	return fmt.Errorf("%w; the last line that came: %s", ErrNoPrompt, printable.Text(lines[len(lines)-1]))
}

// settle clears the line, and waits until nothing more comes: keys that were typed to
// reach the prompt bring prompts of their own.
func (l *Loader) settle(ctx context.Context) error {
	const quiet = 150 * time.Millisecond
	if err := l.e.Type(interrupt); err != nil {
		return err
	}
	never := regexp.MustCompile(`\z.`)
	for last := "\x00"; ; {
		_, _, err := l.e.Wait(ctx, quiet, never)
		if !errors.Is(err, expect.ErrSilent) {
			return err
		}
		if now := l.e.Last(); now != last {
			last = now
			continue
		}
		l.e.Discard()
		return nil
	}
}

// Enter types a command and enters it, and returns what End needs.
func (l *Loader) Enter(ctx context.Context, command string) (mark string, err error) {
	l.number++
	mark = fmt.Sprintf("itl-%d-", l.number)
	line := command + "; echo " + mark + "$?-"
	echo := regexp.MustCompile(`(?s)^.*` + regexp.QuoteMeta(line))
	const tries, wait = 3, 10 * time.Second
	for range tries {
		if err := l.e.Type(line); err != nil {
			return "", err
		}
		_, _, err := l.e.Wait(ctx, wait, echo)
		if err == nil {
			return mark, l.e.Type("\r")
		}
		if !errors.Is(err, expect.ErrSilent) {
			return "", err
		}
		if err := l.settle(ctx); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: %s is echoed in another form", ErrEcho, printable.Text(command))
}

// End waits for the end of a command that was entered, and returns what it said.
func (l *Loader) End(ctx context.Context, limit time.Duration, command, mark string) (string, error) {
	return l.EndByKey(ctx, limit, command, mark, "")
}

// EndByKey is End for a command that waits for a key: it is typed again and again, for a
// loader that changes the rate of its line loses what comes meanwhile.
func (l *Loader) EndByKey(ctx context.Context, limit time.Duration, command, mark, key string) (string, error) {
	_, groups, err := l.Press(ctx, limit, key, regexp.MustCompile(`(?s)^(.*?)`+regexp.QuoteMeta(mark)+`(\d{1,3})-\r?\n`))
	if err != nil {
		return "", l.stopped(err, command)
	}
	if _, _, err := l.e.Wait(ctx, limit, l.prompt); err != nil {
		return "", l.stopped(err, command)
	}
	out := strings.TrimSpace(strings.ReplaceAll(groups[1], "\r", ""))
	if code, _ := strconv.Atoi(groups[2]); code != 0 {
		name, _, _ := strings.Cut(command, " ")
		if strings.Contains(out, "Unknown command '"+name+"'") {
			return out, fmt.Errorf("%w: %s", ErrNoCommand, name)
		}
		return out, &ResultError{command, out}
	}
	return out, nil
}

// Press types a key, again every half second, until one of the patterns comes; it types
// nothing where the key is "".
func (l *Loader) Press(ctx context.Context, limit time.Duration, key string, patterns ...*regexp.Regexp) (int, []string, error) {
	const again = 500 * time.Millisecond
	for end := time.Now().Add(limit); key != ""; {
		if err := l.e.Type(key); err != nil {
			return 0, nil, err
		}
		n, groups, err := l.e.Wait(ctx, again, patterns...)
		if !errors.Is(err, expect.ErrSilent) || time.Now().After(end) {
			return n, groups, err
		}
	}
	return l.e.Wait(ctx, limit, patterns...)
}

// stopped interrupts a command that was given up, so that nothing goes on behind our
// back, and returns the error.
func (l *Loader) stopped(err error, command string) error {
	if errors.Is(err, expect.ErrSilent) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		l.e.Type(interrupt)
	}
	return fmt.Errorf("%s: %w", printable.Text(command), err)
}

// ResultError is a command that failed. It is ErrResult.
type ResultError struct{ Command, Output string }

// Error is one line, with the last that the command said.
func (e *ResultError) Error() string {
	lines := strings.Split(e.Output, "\n")
	return fmt.Sprintf("%s: %v: %.200s", printable.Text(e.Command), ErrResult, printable.Text(strings.TrimSpace(lines[len(lines)-1])))
}

// Unwrap makes it ErrResult.
func (e *ResultError) Unwrap() error { return ErrResult }

// Run runs a command and returns what it said. A result that is not 0 is a ResultError,
// or ErrNoCommand.
func (l *Loader) Run(ctx context.Context, limit time.Duration, command string) (string, error) {
	mark, err := l.Enter(ctx, command)
	if err != nil {
		return "", err
	}
	return l.End(ctx, limit, command, mark)
}

// Leave enters a command that does not come back to the prompt, such as boot.
func (l *Loader) Leave(ctx context.Context, command string) error {
	l.e.Arm()
	if err := l.e.Type(command); err != nil {
		return err
	}
	const wait = 10 * time.Second
	if _, _, err := l.e.Wait(ctx, wait, regexp.MustCompile(`(?s)^.*`+regexp.QuoteMeta(command))); err != nil {
		return err
	}
	return l.e.Type("\r")
}

// Console is the loader's line.
func (l *Loader) Console() *expect.Expect { return l.e }
