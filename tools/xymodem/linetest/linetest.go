// Package linetest plays lines for tests of file transfers: the pipes of a program, and a
// receiver that answers by a script.
//
//	err := xymodem.Send(ctx, linetest.Pipes(stdin, stdout), file, options)
package linetest

import (
	"context"
	"io"
	"os"
	"time"

	"itlagent/tools/xymodem"
)

// Pipes is a line to a program: what is written goes to w, and bytes come from r until it
// ends; Byte then returns io.ErrClosedPipe.
func Pipes(w io.Writer, r io.Reader) xymodem.Line {
	p := &pipes{w, make(chan byte, 4096)}
	go p.read(r)
	return p
}

type pipes struct {
	io.Writer
	bytes chan byte
}

func (p *pipes) read(r io.Reader) {
	defer close(p.bytes)
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			p.bytes <- b
		}
		if err != nil {
			return
		}
	}
}

func (p *pipes) Byte(ctx context.Context, limit time.Duration) (byte, error) {
	select {
	case b, ok := <-p.bytes:
		if !ok {
			return 0, io.ErrClosedPipe
		}
		return b, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(limit):
		return 0, os.ErrDeadlineExceeded
	}
}

// Script is a receiver that answers each write by its next bytes, and is silent behind
// the last. The zero value is always silent. It is not safe for concurrent use.
type Script struct {
	Answers []string
	Sent    []string // each write
	Says    []byte   // that waits to be read
}

// Write implements xymodem.Line.
func (s *Script) Write(b []byte) (int, error) {
	s.Sent = append(s.Sent, string(b))
	if len(s.Answers) > 0 {
		s.Says, s.Answers = append(s.Says, s.Answers[0]...), s.Answers[1:]
	}
	return len(b), nil
}

// Byte implements xymodem.Line. A silent receiver takes the time that it is given, which
// is of milliseconds in tests.
func (s *Script) Byte(ctx context.Context, limit time.Duration) (byte, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(s.Says) == 0 {
		time.Sleep(limit)
		return 0, os.ErrDeadlineExceeded
	}
	b := s.Says[0]
	s.Says = s.Says[1:]
	return b, nil
}
