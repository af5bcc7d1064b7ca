// Package kermit sends a file over a serial line to a receiver that speaks Kermit, such as
// U-Boot's loadb or gkermit.
//
//	err := kermit.Send(ctx, line, kermit.File{Name: "kernel", Data: data}, kermit.Options{})
//
// Packets have one check character and carry at most 1,000 bytes, or 91 where the receiver
// takes no long ones. The line must carry eight bits: control characters are quoted, bytes
// above 127 are not. A transfer that cannot go on is ended by an error packet. Send uses
// its line alone until it returns. Sources: Frank da Cruz, "Kermit Protocol Manual", sixth
// edition, 1986, chapters 4 to 6 and 8.
package kermit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"itlagent/agent/printable"
	"itlagent/tools/xymodem"
)

// Line is what a file is sent over.
type Line = xymodem.Line

// File is what is sent.
type File struct {
	Name string // at most 60 of letters, digits, '.', '_' and '-'
	Data []byte
}

// Options say how.
type Options struct {
	Answer   time.Duration         // for each answer; 10 s where 0
	Progress func(done, total int) // may be nil
}

// Errors of a transfer.
var (
	ErrStart   = errors.New("the receiver does not answer")
	ErrRefused = errors.New("the receiver refused")
	ErrBroken  = errors.New("the transfer is broken")
	ErrName    = errors.New("invalid file name")
)

// What packets are made of.
const (
	mark     = 0x01
	end      = '\r'
	quote    = '#'
	longest  = 1000 // bytes of a long packet's field, quoted
	short    = 91   // of a short one's, beside sequence number, type and check
	hasLong  = 2    // of the capabilities: long packets
	maxTries = 10   // of a packet
	maxNoise = 4096 // bytes that are no answer, in a whole wait
)

var (
	fileName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,60}$`)
	// initial says what this side takes, in the order of the protocol: packets of 94, 10 s
	// to wait, no padding, CR, '#', no quoting of the eighth bit, one check character, no
	// repeats, long packets, no window, and how long those are.
	initial = []byte{char(94), char(10), char(0), '@', char(end), quote, 'N', '1', ' ', char(hasLong), char(0), char(longest / 95), char(longest % 95)}
)

type sender struct {
	line   Line
	answer time.Duration
	seq    int // of the next packet, below 64
	field  int // bytes a packet carries, quoted
}

// Send sends a file. Its errors are those of the context and the line, and the package's.
func Send(ctx context.Context, line Line, f File, o Options) error {
	if !fileName.MatchString(f.Name) {
		return fmt.Errorf("%w %q", ErrName, f.Name)
	}
	s := &sender{line: line, answer: o.Answer, field: short}
	if s.answer == 0 {
		s.answer = 10 * time.Second
	}
	err := s.send(ctx, f, o.Progress)
	if err != nil && !errors.Is(err, ErrRefused) {
		line.Write(s.packet('E', []byte("cancelled")))
	}
	return err
}

func (s *sender) send(ctx context.Context, f File, progress func(done, total int)) error {
	theirs, err := s.exchange(ctx, 'S', initial)
	if err != nil {
		if errors.Is(err, ErrBroken) {
			return fmt.Errorf("%w: %w", ErrStart, err)
		}
		return err
	}
	s.field = fieldOf(theirs)
	if _, err := s.exchange(ctx, 'F', []byte(f.Name)); err != nil {
		return err
	}
	for done := 0; done < len(f.Data); {
		field, n := quoted(f.Data[done:], s.field)
		if _, err := s.exchange(ctx, 'D', field); err != nil {
			return err
		}
		if done += n; progress != nil {
			progress(done, len(f.Data))
		}
	}
	for _, kind := range []byte{'Z', 'B'} {
		if _, err := s.exchange(ctx, kind, nil); err != nil {
			return err
		}
	}
	return nil
}

// fieldOf returns how many bytes a packet may carry by what a receiver said of itself:
// the first character is its longest packet, the tenth its capabilities, and behind those
// and the window the length of long ones.
func fieldOf(theirs []byte) int {
	n := short
	if len(theirs) > 0 {
		if at := int(theirs[0]) - ' '; at >= 10 && at <= 94 {
			n = at - 3
		}
	}
	if len(theirs) >= 13 && (theirs[9]-' ')&hasLong != 0 && (theirs[9]-' ')&1 == 0 {
		if at := (int(theirs[11])-' ')*95 + int(theirs[12]) - ' '; at > 100 {
			n = min(at-3, longest)
		}
	}
	return n
}

// quoted returns the longest field of at most so many bytes that begins the data, and how
// many of the data it carries.
func quoted(data []byte, most int) (field []byte, n int) {
	for _, b := range data {
		next := []byte{b}
		switch low := b & 0x7f; {
		case low < ' ' || low == 0x7f:
			next = []byte{quote, b ^ 0x40}
		case low == quote:
			next = []byte{quote, b}
		}
		if len(field)+len(next) > most {
			break
		}
		field, n = append(field, next...), n+1
	}
	return field, n
}

// exchange sends a packet until it is acknowledged, at most maxTries times, and returns
// what the answer carries.
func (s *sender) exchange(ctx context.Context, kind byte, field []byte) ([]byte, error) {
	packet := s.packet(kind, field)
	var last error
	for range maxTries {
		if _, err := s.line.Write(packet); err != nil {
			return nil, err
		}
		answer, err := s.wait(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			s.seq = (s.seq + 1) % 64
			return answer, nil
		case !errors.Is(err, errAgain):
			return nil, err
		}
		last = err
	}
	return nil, fmt.Errorf("%w: %c packet %d: %w, %d times", ErrBroken, kind, s.seq, last, maxTries)
}

// errAgain says that a packet has to be sent again.
var errAgain = errors.New("no answer that fits")

// wait reads packets until one acknowledges, or refuses, the packet that was sent.
func (s *sender) wait(ctx context.Context) ([]byte, error) {
	until := time.Now().Add(s.answer)
	for range maxNoise {
		left := time.Until(until)
		if left <= 0 {
			return nil, errAgain
		}
		b, err := s.line.Byte(ctx, left)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAgain, err)
		}
		if b != mark {
			continue
		}
		seq, kind, field, err := s.read(ctx)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errAgain, err)
		case kind == 'E':
			return nil, fmt.Errorf("%w: %s", ErrRefused, printable.Clip(string(field), 80))
		case kind == 'Y' && seq == s.seq, kind == 'N' && seq == (s.seq+1)%64: // it waits for the next one
			return field, nil
		case kind == 'N':
			return nil, errAgain
		}
	}
	return nil, fmt.Errorf("%w: only noise", errAgain)
}

// read reads what is behind a mark.
func (s *sender) read(ctx context.Context) (seq int, kind byte, field []byte, err error) {
	next := func() byte {
		var b byte
		if err == nil {
			b, err = s.line.Byte(ctx, s.answer)
		}
		return b
	}
	length := next()
	n := int(length) - ' '
	if err == nil && (n < 3 || n > 94) {
		err = fmt.Errorf("a packet of length %d", n)
	}
	body := []byte{length}
	for range n {
		if err != nil {
			return 0, 0, nil, err
		}
		body = append(body, next())
	}
	if err != nil {
		return 0, 0, nil, err
	}
	if body[n] != check(body[:n]) {
		return 0, 0, nil, errors.New("a packet whose check is wrong")
	}
	return int(body[1]) - ' ', body[2], body[3:n], nil
}

// packet makes a packet of the present number.
func (s *sender) packet(kind byte, field []byte) []byte {
	var b []byte
	if len(field) > short {
		n := len(field) + 1 // with the check
		b = []byte{' ', char(s.seq), kind, char(n / 95), char(n % 95)}
		b = append(b, check(b))
	} else {
		b = []byte{char(len(field) + 3), char(s.seq), kind}
	}
	b = append(b, field...)
	b = append(b, check(b), end)
	return append([]byte{mark}, b...)
}

// char is a number below 95 as a character that is not a control character.
func char(n int) byte { return byte(n + ' ') }

// check is the check of one character.
func check(b []byte) byte {
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	return char((sum + sum>>6&3) & 63)
}
