package status

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"itlagent/agent/model"
)

// Backend keeps messages in order, of which the oldest may give way. A vault is
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
	keep    int
}

// NewLog returns the log of a phone, which shows as many messages as its model
// keeps.
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
	return all[max(0, len(all)-l.keep):]
}

// Store keeps values by name, as the agent's does.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
}

// Kept is a Backend that keeps messages as one value of a Store, for boards
// whose store is not a vault. The last maxKept messages stay.
type Kept struct {
	store Store

	mu      sync.Mutex
	entries []Entry
}

const (
	keptKey  = "messages"
	maxKept  = 64
	maxText  = 200      // bytes of a message that are kept
	maxValue = 64 << 10 // bytes
)

// NewKept reads the messages that the store has. What cannot be read is as none.
func NewKept(s Store) (*Kept, error) {
	k := &Kept{store: s}
	data, err := s.Get(keptKey)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	if len(data) > maxValue {
		return k, errors.New("messages: too large")
	}
	for line := range strings.Lines(string(data)) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(part) != 4 {
			continue
		}
		first, err1 := strconv.ParseInt(part[0], 10, 64)
		last, err2 := strconv.ParseInt(part[1], 10, 64)
		count, err3 := strconv.Atoi(part[2])
		if text, err4 := strconv.Unquote(part[3]); errors.Join(err1, err2, err3, err4) == nil {
			k.entries = append(k.entries, Entry{time.Unix(first, 0), time.Unix(last, 0), count, text})
		}
	}
	return k, nil
}

// Append implements Backend. A message equal to the last one is counted.
func (k *Kept) Append(at time.Time, text string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	text = text[:min(len(text), maxText)]
	at = time.Unix(at.Unix(), 0)
	if n := len(k.entries); n > 0 && k.entries[n-1].Text == text {
		k.entries[n-1].Last = at
		k.entries[n-1].Count++
	} else {
		k.entries = append(k.entries, Entry{at, at, 1, text})
	}
	if n := len(k.entries) - maxKept; n > 0 {
		k.entries = append(k.entries[:0], k.entries[n:]...)
	}
	if k.store == nil {
		return nil
	}
	var b strings.Builder
	for _, e := range k.entries {
		b.WriteString(strconv.FormatInt(e.Time.Unix(), 10) + " " + strconv.FormatInt(e.Last.Unix(), 10) + " " +
			strconv.Itoa(e.Count) + " " + strconv.Quote(e.Text) + "\n")
	}
	return k.store.Put(keptKey, []byte(b.String()))
}

// Messages implements Backend.
func (k *Kept) Messages() []Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Entry(nil), k.entries...)
}
