package serial

import (
	"fmt"
	"strconv"
	"strings"
)

// Mode is how bytes are sent. Its zero value means Default.
type Mode struct {
	Baud     int    // bits a second
	DataBits int    // 5 to 8
	Parity   Parity // 'N', 'E', 'O', 'M' or 'S'
	StopBits int    // 1 or 2
	Flow     Flow
}

// Parity is the letter of a parity: none, even, odd, mark, space.
type Parity byte

// Flow is how a receiver holds a sender back.
type Flow string

// The kinds of flow control.
const (
	NoFlow  Flow = "none"
	RTSCTS  Flow = "rtscts"
	XONXOFF Flow = "xonxoff"
)

// Default is 115200 8N1 without flow control: what nearly every board speaks.
var Default = Mode{Baud: 115200, DataBits: 8, Parity: 'N', StopBits: 1, Flow: NoFlow}

// MaxBaud bounds rates, in bits a second: no UART that is known goes beyond.
const MaxBaud = 12_000_000

// WithDefaults returns the mode with Default's values in the place of zeroes.
func (m Mode) WithDefaults() Mode {
	if m.Baud == 0 {
		m.Baud = Default.Baud
	}
	if m.DataBits == 0 {
		m.DataBits = Default.DataBits
	}
	if m.Parity == 0 {
		m.Parity = Default.Parity
	}
	if m.StopBits == 0 {
		m.StopBits = Default.StopBits
	}
	if m.Flow == "" {
		m.Flow = Default.Flow
	}
	return m
}

// Check says what of a whole mode is impossible.
func (m Mode) Check() error {
	switch {
	case m.Baud < 50 || m.Baud > MaxBaud:
		return fmt.Errorf("invalid rate %d: want 50 to %d", m.Baud, MaxBaud)
	case m.DataBits < 5 || m.DataBits > 8:
		return fmt.Errorf("%d data bits: want 5 to 8", m.DataBits)
	case !strings.ContainsRune("NEOMS", rune(m.Parity)):
		return fmt.Errorf("invalid parity %q: want N, E, O, M or S", m.Parity)
	case m.StopBits != 1 && m.StopBits != 2:
		return fmt.Errorf("%d stop bits: want 1 or 2", m.StopBits)
	case m.Flow != NoFlow && m.Flow != RTSCTS && m.Flow != XONXOFF:
		return fmt.Errorf("invalid flow control %q: want none, rtscts or xonxoff", string(m.Flow))
	}
	return nil
}

// String returns the mode as ParseMode reads it: "115200,8N1", "9600,7E1,rtscts".
func (m Mode) String() string {
	m = m.WithDefaults()
	s := fmt.Sprintf("%d,%d%c%d", m.Baud, m.DataBits, m.Parity, m.StopBits)
	if m.Flow != NoFlow {
		s += "," + string(m.Flow)
	}
	return s
}

// ParseMode reads "115200", "115200,8N1" or "115200,8N1,rtscts", each part of which may
// be missing. What is not said is as in Default. The kernel's form, "115200n8", is
// understood too.
func ParseMode(text string) (Mode, error) {
	var m Mode
	if text == "" {
		return Default, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > 3 {
		return m, fmt.Errorf("invalid mode %q: want one such as 115200,8N1", text)
	}
	for _, p := range parts {
		if err := m.set(p); err != nil {
			return Mode{}, err
		}
	}
	m = m.WithDefaults()
	return m, m.Check()
}

func (m *Mode) set(p string) error {
	lower := strings.ToLower(p)
	if f := Flow(lower); f == NoFlow || f == RTSCTS || f == XONXOFF {
		m.Flow = f
		return nil
	}
	if len(p) == 3 && p[0] >= '5' && p[0] <= '8' && strings.IndexByte("neoms", lower[1]) >= 0 && (p[2] == '1' || p[2] == '2') {
		m.DataBits, m.Parity, m.StopBits = int(p[0]-'0'), Parity(strings.ToUpper(p)[1]), int(p[2]-'0')
		return nil
	}
	digits := strings.TrimLeft(p, "0123456789")
	if rest := strings.ToLower(digits); len(rest) == 2 && strings.IndexByte("neo", rest[0]) >= 0 && rest[1] >= '5' && rest[1] <= '8' {
		m.Parity, m.DataBits, p = Parity(strings.ToUpper(rest)[0]), int(rest[1]-'0'), p[:len(p)-2]
	}
	n, err := strconv.Atoi(p)
	if err != nil || n < 50 {
		return fmt.Errorf("invalid mode %q: want a rate such as 115200, a frame such as 8N1, or rtscts or xonxoff", p)
	}
	m.Baud = n
	return nil
}
