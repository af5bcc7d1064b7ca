package status

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// Store keeps values by name, as the agent's does.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
}

// Kept is a Backend that stores messages as one value of a Store, for boards whose
// store is not a vault. It has the newest maxKept. It is safe for concurrent use.
type Kept struct {
	store Store
	key   string

	mu      sync.Mutex
	entries []Entry
}

const (
	maxKept   = 64       // messages
	maxText   = 200      // bytes of a message; what is longer is cut
	maxStored = 64 << 10 // bytes
)

// NewKept reads the messages that a store has under a key. A nil store has none and
// stores none. Messages that cannot be read count as none: the error says so, beside
// a Kept that can be used.
func NewKept(s Store, key string) (*Kept, error) {
	k := &Kept{store: s, key: key}
	if s == nil {
		return k, nil
	}
	data, err := s.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		k.entries, err = decode(data)
	}
	if err != nil {
		return k, fmt.Errorf("messages: %w", err)
	}
	return k, nil
}

// Append implements Backend. A message equal to the last one is counted. After an
// error it is in memory alone, until the next one is stored.
func (k *Kept) Append(at time.Time, text string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	text = cut(text)
	at = time.Unix(at.Unix(), 0)
	if n := len(k.entries); n > 0 && k.entries[n-1].Text == text {
		k.entries[n-1].Last = at
		k.entries[n-1].Count = min(k.entries[n-1].Count, math.MaxInt32-1) + 1
	} else {
		k.entries = append(k.entries, Entry{at, at, 1, text})
	}
	if n := len(k.entries) - maxKept; n > 0 {
		k.entries = slices.Delete(k.entries, 0, n)
	}
	if k.store == nil {
		return nil
	}
	data, err := encode(k.entries)
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	return k.store.Put(k.key, data)
}

// cut returns the first maxText bytes of a text, without a part of a character.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// Messages implements Backend.
func (k *Kept) Messages() []Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.entries)
}
