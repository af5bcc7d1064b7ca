package status

import (
	"time"

	"itlagent/agent/model"
)

// Backend stores messages in order, of which it may drop the oldest. A vault is
// one.
type Backend interface {
	Append(at time.Time, text string) error
	Messages() []Entry // oldest first
}

// cleared is the message that hides those before it: a backend only grows.
const cleared = "\x00cleared"

// Log is the messages of one phone.
type Log struct {
	backend Backend
	shown   int // messages at most
}

// NewLog returns the log of a phone, which shows as many messages as its model
// does.
func NewLog(b Backend, m model.Model) *Log { return &Log{b, m.Messages()} }

// Add adds a message.
func (l *Log) Add(at time.Time, text string) error { return l.backend.Append(at, text) }

// Clear empties the list that is shown.
func (l *Log) Clear(at time.Time) error { return l.backend.Append(at, cleared) }

// Entries returns what is shown, oldest first.
func (l *Log) Entries() []Entry {
	all := l.backend.Messages()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Text == cleared {
			all = all[i+1:]
			break
		}
	}
	return all[max(0, len(all)-l.shown):]
}
