// Package xymodem sends a file over a serial line to a receiver that speaks XMODEM or
// YMODEM, such as U-Boot's loadx and loady or lrzsz's rx and rb.
//
//	err := xymodem.Send(ctx, line, xymodem.File{Name: "kernel", Data: data}, xymodem.Options{Kind: xymodem.YMODEM})
//
// Blocks have 1024 bytes and a CRC, or 128 and a sum where the receiver asks for that.
// XMODEM pads the last block with 0x1a, as it has no size. A transfer that cannot go on
// is cancelled, so that the receiver ends too. Send uses its line alone until it returns.
// Sources: Chuck Forsberg's "XMODEM/YMODEM Protocol Reference" of 1988.
package xymodem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// Line is what a file is sent over.
type Line interface {
	io.Writer
	// Byte returns the next byte, or an error when none comes within the time.
	Byte(ctx context.Context, limit time.Duration) (byte, error)
}

// Kind is a protocol.
type Kind int

// The protocols.
const (
	YMODEM Kind = iota
	XMODEM
)

// File is what is sent.
type File struct {
	Name string // YMODEM sends it; at most 60 of letters, digits, '.', '_' and '-'
	Data []byte
}

// Options say how.
type Options struct {
	Kind     Kind
	Small    bool                  // blocks of 128 bytes
	Start    time.Duration         // for the receiver to ask for the file; 30 s where 0
	Answer   time.Duration         // for each answer; 10 s where 0
	Progress func(done, total int) // may be nil
}

// Errors of a transfer.
var (
	ErrStart     = errors.New("the receiver does not ask for the file")
	ErrCancelled = errors.New("the receiver cancelled")
	ErrBroken    = errors.New("the transfer is broken")
	ErrName      = errors.New("invalid file name")
)

// What is sent beside blocks.
const (
	soh, stx, eot  = 0x01, 0x02, 0x04
	ack, nak, can  = 0x06, 0x15, 0x18
	askCRC         = 'C'
	padding        = 0x1a
	large, small   = 1024, 128
	maxTries       = 10   // of a block
	maxNoise       = 4096 // bytes that are no answer, in a whole wait
	cancelSequence = "\x18\x18\x18\x18\x18\x08\x08\x08\x08\x08"
)

var fileName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,60}$`)

// Send sends a file.
func Send(ctx context.Context, line Line, f File, o Options) error {
	if o.Kind == YMODEM && !fileName.MatchString(f.Name) {
		return fmt.Errorf("%w %q", ErrName, f.Name)
	}
	if o.Start == 0 {
		o.Start = 30 * time.Second
	}
	if o.Answer == 0 {
		o.Answer = 10 * time.Second
	}
	s := &sender{line: line, o: o, size: large}
	if o.Small {
		s.size = small
	}
	err := s.send(ctx, f)
	if err != nil && !errors.Is(err, ErrCancelled) {
		io.WriteString(line, cancelSequence)
	}
	return err
}

type sender struct {
	line Line
	o    Options
	size int  // of blocks
	crc  bool // rather than a sum
}

func (s *sender) send(ctx context.Context, f File) error {
	ask, err := s.wait(ctx, s.o.Start, askCRC, nak)
	if err != nil {
		if errors.Is(err, errNothing) {
			return ErrStart
		}
		return err
	}
	s.crc = ask == askCRC
	if !s.crc {
		s.size = small
	}
	if s.o.Kind == YMODEM {
		head := append([]byte(f.Name), 0)
		head = append(head, strconv.Itoa(len(f.Data))...)
		if err := s.block(ctx, 0, pad(head, small, 0)); err != nil {
			return err
		}
		if _, err := s.wait(ctx, s.o.Answer, askCRC, nak); err != nil {
			return fmt.Errorf("%w: the receiver does not ask for the data", ErrBroken)
		}
	}
	for at, n := 0, byte(1); at < len(f.Data); n++ {
		size := s.size
		if len(f.Data)-at <= small {
			size = small
		}
		end := min(at+size, len(f.Data))
		if err := s.block(ctx, n, pad(f.Data[at:end], size, padding)); err != nil {
			return err
		}
		if at = end; s.o.Progress != nil {
			s.o.Progress(at, len(f.Data))
		}
	}
	if err := s.retry(ctx, []byte{eot}); err != nil {
		return err
	}
	if s.o.Kind == YMODEM { // an empty name ends the batch
		if _, err := s.wait(ctx, s.o.Answer, askCRC, nak); err != nil {
			return fmt.Errorf("%w: the receiver does not ask for the end", ErrBroken)
		}
		return s.block(ctx, 0, pad(nil, small, 0))
	}
	return nil
}

// pad returns data filled to a size.
func pad(data []byte, size int, with byte) []byte {
	out := append(make([]byte, 0, size), data...)
	for len(out) < size {
		out = append(out, with)
	}
	return out
}

// block sends a block until it is acknowledged.
func (s *sender) block(ctx context.Context, number byte, data []byte) error {
	kind := byte(soh)
	if len(data) == large {
		kind = stx
	}
	frame := append([]byte{kind, number, ^number}, data...)
	if s.crc {
		crc := CRC(data)
		frame = append(frame, byte(crc>>8), byte(crc))
	} else {
		sum := byte(0)
		for _, b := range data {
			sum += b
		}
		frame = append(frame, sum)
	}
	return s.retry(ctx, frame)
}

// retry sends bytes until they are acknowledged.
func (s *sender) retry(ctx context.Context, frame []byte) error {
	for range maxTries {
		if _, err := s.line.Write(frame); err != nil {
			return err
		}
		switch got, err := s.wait(ctx, s.o.Answer, ack, nak); {
		case err == nil && got == ack:
			return nil
		case err != nil && !errors.Is(err, errNothing):
			return err
		}
	}
	return fmt.Errorf("%w: a block was sent %d times", ErrBroken, maxTries)
}

// errNothing says that no answer came in time.
var errNothing = errors.New("no answer")

// wait waits for one of two bytes. Two cancels in a row end a transfer; one alone, and
// any other byte, is noise.
func (s *sender) wait(ctx context.Context, limit time.Duration, one, two byte) (byte, error) {
	last := byte(0)
	for end, noise := time.Now().Add(limit), 0; noise < maxNoise; noise++ {
		left := time.Until(end)
		if left <= 0 {
			return 0, errNothing
		}
		b, err := s.line.Byte(ctx, left)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil && time.Now().Before(end):
			return 0, err // the line is gone
		case err != nil:
			return 0, errNothing
		case b == one || b == two:
			return b, nil
		case b == can && last == can:
			return 0, ErrCancelled
		}
		last = b
	}
	return 0, errNothing
}

// CRC is the CRC-16 of XMODEM: polynomial 0x1021, from zero.
func CRC(data []byte) (crc uint16) {
	for _, b := range data {
		crc ^= uint16(b) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
