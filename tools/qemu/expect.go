package qemu

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

// Expect reads the output of a console, and waits for patterns in it, each behind the
// one before. Patterns of failures are always armed: a board that panics ends every
// Wait. Wait and Send are not safe for concurrent use.
type Expect struct {
	w io.Writer

	mu   sync.Mutex
	text []byte // output that no Wait has consumed yet, without control sequences
	last []byte // the end of all output, for messages
	more chan struct{}
	err  error // why there is no more
}

// maxText bounds the output that waits to be matched, in bytes, maxLast the end that
// messages show: the oldest is dropped.
const (
	maxText = 1 << 20
	maxLast = 16 << 10
)

// failures end every wait.
var failures = regexp.MustCompile(`Kernel panic|Internal error: Oops|\bOops\b|(?m:^panic: )|fatal error: |SIGSEGV|Unable to mount root|itlagent: ends with code`)

// control is a terminal's control sequences.
var control = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// NewExpect reads a console until it ends.
func NewExpect(rw io.ReadWriter) *Expect {
	e := &Expect{w: rw, more: make(chan struct{})}
	go e.read(rw)
	return e
}

func (e *Expect) read(r io.Reader) {
	buf := make([]byte, 4096)
	pending := ""
	for {
		n, err := r.Read(buf)
		pending += string(buf[:n])
		ready := pending
		if at := strings.LastIndexByte(pending, 0x1b); at >= 0 && at > len(pending)-16 && !control.MatchString(pending[at:]) {
			ready = pending[:at] // a sequence that is not whole yet
		}
		pending = pending[len(ready):]
		e.mu.Lock()
		clean := control.ReplaceAllString(ready, "")
		e.text = append(e.text, clean...)
		if n := len(e.text) - maxText; n > 0 {
			e.text = append(e.text[:0], e.text[n:]...)
		}
		e.last = append(e.last, clean...)
		if n := len(e.last) - maxLast; n > 0 {
			e.last = append(e.last[:0], e.last[n:]...)
		}
		if err != nil {
			e.err = err
		}
		close(e.more)
		e.more = make(chan struct{})
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// ErrBoard says that the board failed, or did not say in time what was waited for.
var ErrBoard = errors.New("the board")

// Wait waits for the first of the patterns to match what is not consumed yet,
// consumes it with all before it, and returns its number and its submatches.
func (e *Expect) Wait(ctx context.Context, limit time.Duration, patterns ...*regexp.Regexp) (int, []string, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		e.mu.Lock()
		more, err := e.more, e.err
		best, bestAt := -1, []int(nil)
		for i, p := range patterns {
			if at := p.FindSubmatchIndex(e.text); at != nil && (best < 0 || at[0] < bestAt[0]) {
				best, bestAt = i, at
			}
		}
		if fail := failures.FindIndex(e.text); fail != nil && (best < 0 || fail[0] < bestAt[0]) {
			text := e.tail()
			e.mu.Unlock()
			return 0, nil, fmt.Errorf("%w has failed:\n%s", ErrBoard, text)
		}
		if best >= 0 {
			var groups []string
			for i := 0; i < len(bestAt); i += 2 {
				g := ""
				if bestAt[i] >= 0 {
					g = string(e.text[bestAt[i]:bestAt[i+1]])
				}
				groups = append(groups, g)
			}
			e.text = e.text[bestAt[1]:]
			e.mu.Unlock()
			return best, groups, nil
		}
		text := e.tail()
		e.mu.Unlock()
		if err != nil {
			return 0, nil, fmt.Errorf("%w is off:\n%s", ErrBoard, text)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		case <-timer.C:
			return 0, nil, fmt.Errorf("%w did not say %v within %v; the last it said:\n%s", ErrBoard, patterns, limit, text)
		}
	}
}

// tail is the last lines of the output. The caller holds mu.
func (e *Expect) tail() string {
	const lines = 20
	all := strings.Split(strings.TrimRight(strings.ReplaceAll(string(e.last), "\r", ""), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Send types a line.
func (e *Expect) Send(line string) error {
	_, err := io.WriteString(e.w, line+"\r")
	return err
}
