package console

import (
	"bytes"
	"io"
	"sync"
)

// screen shows what is typed as asterisks where it is to be masked, and no line end
// where it is to be unbroken. Escape sequences pass as they are.
type screen struct {
	tty io.Writer

	mu  sync.Mutex
	how Echo
	esc state
	end bool // the line end that is written next belongs to what is typed
}

func (s *screen) set(how Echo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.how, s.esc, s.end = how, ground, false
}

// ended says that the line was entered.
func (s *screen) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = true
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.how {
	case Unbroken:
		if rest, ok := bytes.CutSuffix(b, []byte("\r\n")); ok && s.end {
			s.end = false
			if _, err := s.tty.Write(rest); err != nil {
				return 0, err
			}
			return len(b), nil
		}
	case Masked:
		if _, err := s.tty.Write(s.masked(b)); err != nil {
			return 0, err
		}
		return len(b), nil
	}
	return s.tty.Write(b)
}

func (s *screen) masked(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c
		switch {
		case s.esc == inEscape:
			s.esc = ground
			if c == '[' {
				s.esc = inCSI
			}
		case s.esc == inCSI:
			if c >= 0x40 && c <= 0x7e {
				s.esc = ground
			}
		case c == escape:
			s.esc = inEscape
		case c > ' ' && c != del:
			out[i] = '*'
		}
	}
	return out
}
