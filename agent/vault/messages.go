package vault

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"itlagent/agent/bounded"
	"itlagent/agent/status"
)

// maxMessage bounds the payload of a message, encoded.
const maxMessage = 1 + 9 + 9 + 5 + 9 + 3 + MaxMessageText

// stored is a message of the vault.
type stored struct {
	message
	rev     uint64
	part    part
	saved   bool  // in flash, but for its latest count
	written int64 // when, in Unix seconds
}

// limiter protects the flash from being worn out by messages: a bucket of tokens.
type limiter struct {
	tokens int
	since  int64 // Unix seconds of the last token
}

// allow reports whether a message may be written at a time in Unix seconds.
func (l *limiter) allow(now int64) bool {
	const interval = int64(messageInterval / time.Second)
	if n := (now - l.since) / interval; n > 0 {
		l.tokens = int(min(int64(l.tokens)+n, messageBurst))
		l.since += n * interval
	} else if now < l.since {
		l.since = now // the clock was set back
	}
	if l.tokens == 0 {
		return false
	}
	l.tokens--
	return true
}

// Append adds a message, and drops the oldest. A message equal to the
// last one is counted instead. Of messages that come too fast for the flash the
// newest stay in memory, and are written with a later one. The error is that
// of the flash; the message is shown all the same until the power is cut.
func (v *Vault) Append(at time.Time, text string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(text) > MaxMessageText {
		text = text[:MaxMessageText]
	}
	now := at.Unix()
	if n := len(v.messages); n > 0 && v.messages[n-1].Text == bounded.Text(text) {
		m := &v.messages[n-1]
		m.Count, m.Last = m.Count+1, integer(now)
		if age := now - m.written; age < 0 || age >= int64(coalesceTime/time.Second) {
			m.saved = false
		}
	} else {
		v.messages = append(v.messages, stored{message: message{Time: integer(now), Last: integer(now), Count: 1, Text: bounded.Text(text)}})
	}
	err := v.flush(now)
	v.trim()
	return err
}

// trim forgets the oldest messages: of those in flash only once newer ones are
// there, so that a power cut leaves no gap.
func (v *Vault) trim() {
	saved := 0
	for saved < len(v.messages) && v.messages[saved].rev != 0 {
		saved++
	}
	if n := len(v.messages) - saved - max(v.messageSlots, 1); n > 0 {
		v.messages = slices.Delete(v.messages, saved, saved+n)
	}
	if n := saved - v.messageSlots; n > 0 {
		v.messages = slices.Delete(v.messages, 0, n)
	}
}

// flush writes what is not yet in flash, in order, as far as it may.
func (v *Vault) flush(now int64) error {
	for i := range v.messages {
		m := &v.messages[i]
		if m.saved {
			continue
		}
		if v.failure != nil {
			return fmt.Errorf("message: %w: %w", ErrReadOnly, v.failure)
		}
		if v.messageSlots == 0 || !v.limiter.allow(now) {
			return nil
		}
		if err := v.save(m); err != nil {
			return fmt.Errorf("message: %w", err)
		}
		m.written = now
	}
	return nil
}

func (v *Vault) save(m *stored) error {
	m.Replaces = m.rev
	payload := m.encode()
	v.rev++
	f := fragment{kind: kindMessage, flags: flagLast, rev: v.rev, total: uint32(len(payload)), value: valueHash(payload)}
	for tries := 0; ; {
		p, err := v.append(f, payload)
		if err == nil {
			m.rev, m.part, m.saved = v.rev, p, true
			return nil
		}
		if err := v.retryOrAdvance(err, &tries); err != nil {
			return err
		}
	}
}

// Messages returns the messages, oldest first.
func (v *Vault) Messages() []status.Entry {
	v.mu.Lock()
	defer v.mu.Unlock()
	shown := v.messages[max(0, len(v.messages)-max(v.messageSlots, 1)):]
	out := make([]status.Entry, len(shown))
	for i, m := range shown {
		out[i] = status.Entry{Time: time.Unix(int64(m.Time), 0), Last: time.Unix(int64(m.Last), 0), Count: int(m.Count), Text: string(m.Text)}
	}
	return out
}

// latest returns the n entries with the highest revisions, in order, one for each.
func latest(entries []foundMessage, n int) []foundMessage {
	slices.SortFunc(entries, func(a, b foundMessage) int { return cmp.Compare(a.rev, b.rev) })
	entries = slices.CompactFunc(entries, func(a, b foundMessage) bool { return a.rev == b.rev && a.block == b.block && a.at == b.at })
	return slices.Delete(entries, 0, max(0, len(entries)-n))
}

// orderMessages puts the messages that were found in order.
func (m *mount) orderMessages() {
	m.setCapacity()
	m.entries = slices.DeleteFunc(m.entries, func(e foundMessage) bool { return m.blocks[e.block].void })
	for _, e := range latest(m.entries, len(m.entries)) {
		s := stored{message: e.message, rev: e.rev, part: part{int(e.block), int(e.at), int(e.length)}, saved: true, written: int64(e.Last)}
		n := len(m.messages)
		switch {
		case n > 0 && m.messages[n-1].rev == e.rev:
			m.messages[n-1] = s // a copy of the same
		case n > 0 && e.Replaces != 0 && m.messages[n-1].rev == e.Replaces:
			m.messages[n-1] = s
		default:
			m.messages = append(m.messages, s)
		}
	}
	m.trim()
}
