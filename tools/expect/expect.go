// Package expect drives a console: it waits for patterns in what the other side says,
// each behind the one before, and types lines.
//
//	e := expect.New(line)
//	e.Arm(expect.System)
//	n, groups, err := e.Wait(ctx, time.Minute, prompt, question)
//	err = e.Send("reset")
//
// Patterns of failures that are armed end every Wait at once. What waits to be matched
// is bounded: of more than two MiB the oldest is dropped, and the last MiB stays. Control sequences of a terminal
// do not count. Wait, Send and Byte are not safe for concurrent use with one another.
package expect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Expect is a console that is being driven.
type Expect struct {
	rw io.ReadWriter

	mu   sync.Mutex
	bad  []Bad
	text []byte // output that no Wait has consumed yet, without control sequences
	last []byte // the end of all output, for messages
	more chan struct{}
	err  error // why there is no more
}

// maxText bounds the output that waits to be matched, in bytes, maxLast the end that
// messages show: of more than twice as much the oldest is dropped.
const (
	maxText = 1 << 20
	maxLast = 16 << 10
)

// Bad is a pattern that ends every Wait while it is armed.
type Bad struct {
	What    string // has happened: "the kernel panicked"
	Pattern *regexp.Regexp
}

// What goes wrong on boards.
var (
	// System is an operating system, or the device program, that failed.
	System = []Bad{
		{"the kernel has failed", regexp.MustCompile(`Kernel panic|Internal error: Oops|\bOops\b|Unable to mount root`)},
		{"the program has failed", regexp.MustCompile(`(?m:^panic: )|fatal error: |SIGSEGV|itlagent: ends with code`)},
		{"the phone cannot run", regexp.MustCompile(`itlagent: the phone does not run: [^\r\n]*`)},
	}
	// Loader is a boot loader that failed, or that started again behind our back.
	Loader = []Bad{
		{"the boot loader has failed", regexp.MustCompile(`data abort|prefetch abort|undefined instruction|Ooops:|### ERROR ### Please RESET`)},
		// "version" prints the first line of this, but not the next.
		{"the board was reset", regexp.MustCompile(`(?m:^U-Boot (?:SPL )?[0-9]{4}\.[0-9]{2})[^\r\n]*\s+(?:DRAM|CPU|SoC|Model|Board|Core|Reset|Trying)`)},
	}
)

// control is a terminal's control sequences.
var control = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// New reads a console until it ends. Nothing is armed.
func New(rw io.ReadWriter) *Expect {
	e := &Expect{rw: rw, more: make(chan struct{})}
	go e.read()
	return e
}

// Arm replaces the patterns of failures. What was said before is not looked at again
// once a Wait has consumed it.
func (e *Expect) Arm(bad ...[]Bad) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bad = nil
	for _, b := range bad {
		e.bad = append(e.bad, b...)
	}
}

func (e *Expect) read() {
	buf := make([]byte, 4096)
	pending := ""
	for {
		n, err := e.rw.Read(buf)
		pending += string(buf[:n])
		ready := pending
		if at := strings.LastIndexByte(pending, 0x1b); at >= 0 && at > len(pending)-16 && !control.MatchString(pending[at:]) && err == nil {
			ready = pending[:at] // a sequence that is not whole yet
		}
		pending = pending[len(ready):]
		clean := control.ReplaceAllString(ready, "")
		e.mu.Lock()
		e.text = appendBounded(e.text, clean, maxText)
		e.last = appendBounded(e.last, clean, maxLast)
		e.err = err
		close(e.more)
		e.more = make(chan struct{})
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// appendBounded appends, and drops the oldest: of more than twice most bytes most stay,
// so that a board that floods does not move all of them for every read.
func appendBounded(to []byte, more string, most int) []byte {
	to = append(to, more...)
	if len(to) > 2*most {
		to = append(to[:0], to[len(to)-most:]...)
	}
	return to
}

// The errors of a board: ErrBoard is each of them.
var (
	// ErrBoard says that the board failed, ended, or was silent.
	ErrBoard = errors.New("the board")
	// ErrSilent says that what was waited for did not come in time.
	ErrSilent = errors.New("time is up")
	// ErrOff says that the line has ended.
	ErrOff = errors.New("the line has ended")
	// ErrBad says that a pattern of failures matched.
	ErrBad = errors.New("has failed")
)

// Error is what went wrong on a board, with the last lines that it said.
type Error struct {
	Kind error  // ErrSilent, ErrOff or ErrBad
	What string // in one line, without the board's text
	Last string // the last lines that the board said, at most 20
}

// Error says what went wrong, and the board's last lines behind it.
func (e *Error) Error() string { return e.What + ":\n" + e.Last }

// Unwrap makes an Error match its kind, and ErrBoard.
func (e *Error) Unwrap() []error { return []error{ErrBoard, e.Kind} }

// Wait waits for the first of the patterns to match what is not consumed yet,
// consumes it with all before it, and returns its number and its submatches. Its errors
// are those of the context, and *Error.
func (e *Expect) Wait(ctx context.Context, limit time.Duration, patterns ...*regexp.Regexp) (int, []string, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		e.mu.Lock()
		n, groups, err := e.match(patterns)
		more, last := e.more, e.tail()
		e.mu.Unlock()
		if n >= 0 || err != nil {
			return n, groups, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		case <-timer.C:
			return 0, nil, &Error{ErrSilent, fmt.Sprintf("the board did not say %v within %v; the last it said", patterns, limit), last}
		}
	}
}

// match looks for the earliest pattern in what is not consumed, and consumes it; n is
// negative where there is none yet. The caller holds mu.
func (e *Expect) match(patterns []*regexp.Regexp) (n int, groups []string, err error) {
	best, at := -1, []int(nil)
	for i, p := range patterns {
		if found := p.FindSubmatchIndex(e.text); found != nil && (best < 0 || found[0] < at[0]) {
			best, at = i, found
		}
	}
	for _, b := range e.bad {
		if found := b.Pattern.FindIndex(e.text); found != nil && (best < 0 || found[0] < at[0]) {
			return 0, nil, &Error{ErrBad, "the board has failed: " + b.What, e.tail()}
		}
	}
	if best >= 0 {
		for i := 0; i < len(at); i += 2 {
			g := ""
			if at[i] >= 0 {
				g = string(e.text[at[i]:at[i+1]])
			}
			groups = append(groups, g)
		}
		e.text = e.text[at[1]:]
		return best, groups, nil
	}
	if e.err != nil {
		return 0, nil, &Error{ErrOff, "the board is off (" + e.err.Error() + ")", e.tail()}
	}
	return -1, nil, nil
}

// Byte consumes one byte, and waits for it at most so long: file transfers do not
// speak in lines. Armed patterns do not count.
func (e *Expect) Byte(ctx context.Context, limit time.Duration) (byte, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		e.mu.Lock()
		more, err := e.more, e.err
		if len(e.text) > 0 {
			b := e.text[0]
			e.text = e.text[1:]
			e.mu.Unlock()
			return b, nil
		}
		last := e.tail()
		e.mu.Unlock()
		if err != nil {
			return 0, &Error{ErrOff, "the board is off (" + err.Error() + ")", last}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-timer.C:
			return 0, &Error{ErrSilent, fmt.Sprintf("the board sent nothing within %v", limit), last}
		}
	}
}

// Discard consumes all that was said until now.
func (e *Expect) Discard() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text = nil
}

// Last returns the last lines that the board said, at most 20.
func (e *Expect) Last() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tail()
}

// tail is the last lines of the output. The caller holds mu.
func (e *Expect) tail() string {
	const lines = 20
	all := strings.Split(strings.TrimRight(strings.ReplaceAll(string(e.last), "\r", ""), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Send types a line.
func (e *Expect) Send(line string) error { return e.Type(line + "\r") }

// Type sends text as it is.
func (e *Expect) Type(text string) error {
	_, err := io.WriteString(e.rw, text)
	return err
}

// Write sends bytes as they are.
func (e *Expect) Write(b []byte) (int, error) { return e.rw.Write(b) }
