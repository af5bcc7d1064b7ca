// Package probe asks a board that nobody has described yet over its console: it finds the
// boot loader's prompt, asks what the board has, and writes a first description.
//
//	prompt, stop, err := probe.Prompt(ctx, e, time.Minute)
//	l, err := uboot.Attach(ctx, e, uboot.Options{Prompt: prompt})
//	text, open := probe.Describe("my-board", prompt, stop, probe.Ask(ctx, l))
//
// Nothing is written on the board and no variable is set. What it says is bounded and is
// data: only numbers, names and addresses that were recognized reach the description, in
// which all that is not known has a question behind it. Describe is pure; the rest is not
// safe for concurrent use. Source: the output of U-Boot's cmd/version.c, cmd/bdinfo.c,
// cmd/flash.c, cmd/mmc.c, cmd/mtd.c and cmd/nvedit.c.
package probe

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"itlagent/tools/expect"
	"itlagent/tools/uboot"
)

// Errors of the search for a prompt.
var (
	ErrSilent = errors.New("the board is silent")
	ErrSystem = errors.New("the board runs a system already")
	ErrPrompt = errors.New("what the board says has no prompt of a boot loader")
)

// Times between which keys are typed.
const (
	knock  = 2 * time.Second
	settle = 300 * time.Millisecond
)

var (
	promptAtEnd = regexp.MustCompile(`(?:^|[\r\n])([A-Za-z0-9_.= -]{0,30}[#>$] ?)\z`)
	blank       = regexp.MustCompile(`\A \z`)
	stopText    = regexp.MustCompile(`(Hit any key to stop autoboot|Press SPACE to abort autoboot|Hit ESC to stop autoboot|Press [A-Za-z0-9 '"<>-]{1,30} to (?:stop|abort|interrupt)[ a-z]{0,20})`)
	systemText  = regexp.MustCompile(`(?m)(login: \z|^itlagent: |Welcome to [A-Z])`)
)

// Prompt brings a board to a prompt, whatever that is, and returns it with the text at
// which a key stopped its boot, "" where none was seen. A board that was turned on, one
// that will be, and one that is at its prompt already are the same. The prompt is what
// comes again after each return key.
func Prompt(ctx context.Context, e *expect.Expect, limit time.Duration) (prompt, stop string, err error) {
	e.Arm()
	seen := false
	wait := knock
	for end := time.Now().Add(limit); ; {
		if err := ctx.Err(); err != nil {
			return "", "", err
		}
		if time.Now().After(end) {
			return "", "", missing(seen)
		}
		n, groups, err := e.Wait(ctx, wait, stopText, systemText, promptAtEnd)
		if err == nil && n == 2 && !strings.HasSuffix(groups[1], " ") { // the blank may come by itself
			if _, _, none := e.Wait(ctx, settle, blank); none == nil {
				groups[1] += " "
			}
		}
		seen = seen || e.Last() != ""
		switch {
		case err == nil && n == 0:
			stop = groups[1]
			err = e.Type(" ")
		case err == nil && n == 1:
			return "", "", ErrSystem
		case err == nil && groups[1] == prompt:
			return prompt, stop, nil
		case err == nil:
			prompt, wait = groups[1], settle
			err = e.Type("\r")
		case errors.Is(err, expect.ErrSilent):
			wait = knock
			err = e.Type("\x03\r") // Ctrl-C ends what may run, and clears the line
		}
		if err != nil {
			return "", "", err
		}
	}
}

func missing(seen bool) error {
	if seen {
		return ErrPrompt
	}
	return ErrSilent
}

// questions are what Ask asks; none of them changes anything.
var questions = []string{"version", "bdinfo", "printenv", "help", "flinfo", "mtd list", "mmc info", "sf probe"}

// answerTime is how long an answer may take: slow lines and long environments.
const answerTime = 40 * time.Second

// maxAnswer bounds what of an answer is looked at, in bytes.
const maxAnswer = 64 << 10

// Ask asks the questions and returns the answers by question. A command that the loader
// lacks, or that fails, has none.
func Ask(ctx context.Context, l *uboot.Loader) (map[string]string, error) {
	answers := make(map[string]string)
	for _, q := range questions {
		out, err := l.Run(ctx, answerTime, q)
		switch {
		case err == nil:
			answers[q] = out[:min(len(out), maxAnswer)]
		case errors.Is(err, uboot.ErrResult) || errors.Is(err, uboot.ErrNoCommand):
		default:
			return nil, fmt.Errorf("%s: %w", q, err)
		}
	}
	return answers, nil
}
