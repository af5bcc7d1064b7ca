package alarm

import (
	"errors"
	"fmt"

	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

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

// judge returns nil for an answer that accepts the alarm, else a refusal.
func judge(m *sip.Message) error {
	if m.Code/100 == 2 {
		return nil
	}
	return &refusal{m.Code, m.Phrase}
}
