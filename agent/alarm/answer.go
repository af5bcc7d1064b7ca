package alarm

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"itlagent/agent/printable"
)

// MaxAnswer bounds what is read of a server's answers, in bytes.
const MaxAnswer = 8 << 10

// ErrRefused says that a server answered, and did not accept the alarm.
var ErrRefused = errors.New("the alarm was refused")

// refusal is an ErrRefused with its answer.
type refusal struct {
	code   int
	phrase string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%v: %d %s", ErrRefused, r.code, printable.Clip(r.phrase, 60))
}

func (r *refusal) Unwrap() error { return ErrRefused }

// answer is one response of a server.
type answer struct {
	code   int // 100 to 699
	phrase string
	callID string
}

// provisional reports whether another response follows.
func (a *answer) provisional() bool { return a.code < 200 }

// err returns nil for an answer that accepts the alarm, else a refusal.
func (a *answer) err() error {
	if a.code/100 == 2 {
		return nil
	}
	return &refusal{a.code, a.phrase}
}

// readAnswer reads one response with its body.
func readAnswer(in *bufio.Reader) (a answer, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil {
			return a, fmt.Errorf("read answer: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		if first {
			if a.code, a.phrase, err = statusLine(line); err != nil {
				return a, err
			}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
		case "call-id", "i":
			a.callID = value
		case "content-length", "l":
			if length, err = strconv.Atoi(value); err != nil || length < 0 || length > MaxAnswer {
				return a, fmt.Errorf("answer with a body of %.20q bytes", value)
			}
		}
	}
	if a.code == 0 {
		return a, errors.New("not a SIP answer: an empty line")
	}
	if _, err := in.Discard(length); err != nil {
		return a, fmt.Errorf("read answer: %w", err)
	}
	return a, nil
}

// statusLine reads "SIP/2.0 202 Accepted".
func statusLine(line string) (code int, phrase string, err error) {
	rest, ok := strings.CutPrefix(line, "SIP/2.0 ")
	digits, phrase, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil || len(digits) != 3 || n < 100 || n > 699 {
		return 0, "", fmt.Errorf("not a SIP answer: %.60q", line)
	}
	return int(n), phrase, nil
}
