package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"itlagent/agent/printable"
	"itlagent/tools/viewer"
)

// pipe is a console without a terminal: for scripts, and for other programs' pipes.
func (r *lineConsole) pipe(ctx context.Context) int {
	if r.until != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	results := make(chan error, 3)
	go func() { results <- r.copyLine() }()
	switch {
	case r.send != "":
		for r.wait && ctx.Err() == nil {
			if _, err := r.client.Do("there"); err == nil || errors.Is(err, io.EOF) {
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		if _, err := io.WriteString(r.client, r.send+r.enter); err != nil {
			return r.ended(err)
		}
		if r.until == "" {
			return r.flushed()
		}
	default:
		go func() { results <- r.copyInput() }()
	}
	for {
		select {
		case err := <-results:
			if errors.Is(err, errInputEnded) && r.until != "" {
				continue
			}
			return r.ended(err)
		case ev := <-r.client.Events():
			if ev.Refused {
				return r.e.fail(exitInfra, "console: %s", ev.Text)
			}
			fmt.Fprintln(r.e.stderr, "itlbench: console: "+printable.Text(ev.Text))
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return r.e.fail(exitNo, "console: the board did not say %q within %v", r.until, r.timeout)
			}
			return exitOK
		}
	}
}

var (
	errInputEnded = errors.New("the input has ended")
	errSaid       = errors.New("the board said it")
)

// copyLine copies what the board says, until it has said what is waited for.
func (r *lineConsole) copyLine() error {
	v := viewer.New(r.e.stdout, viewer.Options{Hex: r.hex, Times: r.times, Decode: r.decode, Colour: colour(r.e.stdout), AddCR: r.addCR})
	if f, ok := r.e.stdout.(*os.File); ok && !r.stdio && isTerminal(f) {
		v.Terminal, v.Raw, v.AddCR = true, r.raw, true
	}
	defer v.Flush()
	var last []byte
	buf := make([]byte, 32<<10)
	for {
		n, earlier, err := r.client.ReadEarlier(buf)
		if werr := v.Show(buf[:n], earlier); werr != nil {
			return werr
		}
		if err != nil {
			return err
		}
		if r.until == "" || earlier {
			continue
		}
		last = append(last, buf[:n]...)
		if bytes.Contains(last, []byte(r.until)) {
			return errSaid
		}
		last = last[max(0, len(last)-len(r.until)):]
	}
}

// copyInput types what is read.
func (r *lineConsole) copyInput() error {
	if _, err := io.Copy(r.client, r.e.stdin); err != nil {
		return err
	}
	// Once this is answered, what was typed before has gone out, or was refused.
	if _, err := r.client.Do("mode"); err != nil {
		return err
	}
	return errInputEnded
}

// flushed waits until what was typed has gone out.
func (r *lineConsole) flushed() int {
	if _, err := r.client.Do("mode"); err != nil {
		return r.ended(err)
	}
	select {
	case ev := <-r.client.Events():
		if ev.Refused {
			return r.e.fail(exitInfra, "console: %s", ev.Text)
		}
	case <-time.After(50 * time.Millisecond): // a refusal comes right behind
	}
	return exitOK
}

// ended says why a console has.
func (r *lineConsole) ended(err error) int {
	switch {
	case err == nil, errors.Is(err, errInputEnded), errors.Is(err, errSaid):
		return exitOK
	case errors.Is(err, io.EOF):
		if r.owner != nil {
			if err := r.owner.Close(); err != nil {
				r.owner = nil
				return r.e.fail(exitInfra, "console: %v", err)
			}
		}
		return r.e.fail(exitInfra, "console: the console that owned %s has ended", r.line)
	}
	return r.e.fail(exitInfra, "console: %v", err)
}
