// Package events is a cluster's application log: what its services report, and
// its alerts, one line each in the form of CiscoLog.
//
//	l, err := events.Open("events.log")
//	err = l.Add(events.Event{Time: now, Node: "test10pub", App: "UC_CERT", Severity: 4, Name: "ITLRecoveryNotBackedUp", Text: "..."})
//
// A line is at most MaxLine bytes. An event that was returned by Since is in the
// file and synced. A Log is safe for concurrent use, and several processes may
// have one file open: a lock on it keeps their lines and numbers apart. Source:
// the CiscoLog grammar as it is published; the names of this project's own events
// are its choice.
package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxLine bounds a line, in bytes.
const MaxLine = 800

// maxWord bounds the names of a node, an application and an event, in bytes.
const maxWord = 100

// maxHeld bounds the events that are held in memory.
const maxHeld = 10_000

// Event is one entry.
type Event struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"` // to the millisecond
	Node     string    `json:"node"`
	App      string    `json:"app"` // "UC_CALLMANAGER"
	Severity int       `json:"severity"`
	Name     string    `json:"name"` // "DeviceTLInfo"
	Tags     []Tag     `json:"tags"`
	Text     string    `json:"text"`
}

// Tag is a key with its value.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Tag returns the value of a tag, or "".
func (e Event) Tag(key string) string {
	for _, t := range e.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// String returns the line, without its end. What would make it longer than
// MaxLine is left out: first the end of the text, then the last tags.
func (e Event) String() string {
	line := fmt.Sprintf("%d: %s: %s UTC: %%%s-%d-%s: ", e.Seq, e.Node, e.Time.UTC().Format("Jan _2 2006 15:04:05.000"),
		e.App, e.Severity, e.Name)
	const tagsEnd = ": "
	open := "%"
	for _, t := range e.Tags {
		tag := fmt.Sprintf("%s[%s=%s]", open, clean(t.Key), clean(t.Value))
		if len(line)+len(tag)+len(tagsEnd) > MaxLine {
			break
		}
		line += tag
		open = ""
	}
	if open == "" {
		line += tagsEnd
	}
	line += clean(e.Text)
	if len(line) > MaxLine {
		line = strings.ToValidUTF8(line[:MaxLine], "") // not the first bytes of a character
	}
	return line
}

// clean keeps a value from ending a tag or a line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\ufffd': // what is no UTF-8 becomes that, and longer
			return '?'
		case r == ']':
			return ')'
		case r == '[':
			return '('
		case r < ' ' || r == 0x7f:
			return ' '
		}
		return r
	}, s)
}

// ErrLine says that a line is not an event.
var ErrLine = errors.New("not an event line")

// Parse reads a line. Tags may stand in any order.
func Parse(line string) (Event, error) {
	head, rest, ok := strings.Cut(line, " UTC: %")
	parts := strings.SplitN(head, ": ", 3)
	if !ok || len(parts) != 3 {
		return Event{}, ErrLine
	}
	seq, err := strconv.ParseUint(parts[0], 10, 64)
	if err != nil {
		return Event{}, ErrLine
	}
	at, err := time.Parse("Jan _2 2006 15:04:05.000", parts[2])
	if err != nil {
		return Event{}, ErrLine
	}
	what, text, _ := strings.Cut(rest, ": ")
	name := strings.SplitN(what, "-", 3)
	if len(name) != 3 {
		return Event{}, ErrLine
	}
	severity, err := strconv.Atoi(name[1])
	if err != nil || severity < 0 || severity > 7 {
		return Event{}, ErrLine
	}
	e := Event{Seq: seq, Time: at, Node: parts[1], App: name[0], Severity: severity, Name: name[2]}
	for _, word := range []string{e.Node, e.App, e.Name} {
		if len(word) > maxWord || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return Event{}, ErrLine
		}
	}
	if tags, ok := strings.CutPrefix(text, "%["); ok {
		for {
			tag, more, ok := strings.Cut(tags, "]")
			if !ok {
				return Event{}, ErrLine
			}
			key, value, _ := strings.Cut(tag, "=")
			e.Tags = append(e.Tags, Tag{key, value})
			if tags, ok = strings.CutPrefix(more, "["); !ok {
				text = strings.TrimPrefix(more, ": ")
				break
			}
		}
	}
	e.Text = text
	return e, nil
}

// Log is an event log. The zero value keeps events in memory alone.
type Log struct {
	mu     sync.Mutex
	f      *os.File
	end    int64 // of the last whole line that was read, in bytes
	lines  int
	next   uint64
	events []Event
}

// Open reads a log and goes on with it, or makes one, mode 0600. A line that was
// cut off is taken away by the next Add; any other that is no event is an error.
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{f: f}
	if err := l.catchUp(); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// catchUp reads the lines that are new in the file. The caller holds mu.
func (l *Log) catchUp() error {
	if l.f == nil {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(l.f, l.end, 1<<62))
	if err != nil {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return nil // what is being written, or was when its writer ended
		}
		l.lines++
		e, err := Parse(string(line))
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", l.f.Name(), l.lines, err)
		}
		l.end += int64(len(line)) + 1
		data = rest
		l.hold(e)
	}
}

func (l *Log) hold(e Event) {
	l.next = e.Seq + 1
	if l.events = append(l.events, e); len(l.events) > maxHeld {
		l.events = append(l.events[:0], l.events[len(l.events)-maxHeld/2:]...)
	}
}

// Add writes an event, which gets the next number, and syncs it. One whose line could
// not be read again is refused with ErrLine.
func (l *Log) Add(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		if err := unix.Flock(int(l.f.Fd()), unix.LOCK_EX); err != nil {
			return fmt.Errorf("lock %s: %w", l.f.Name(), err)
		}
		defer unix.Flock(int(l.f.Fd()), unix.LOCK_UN)
		if err := l.catchUp(); err != nil {
			return err
		}
	}
	e.Seq, e.Time = l.next, e.Time.UTC().Truncate(time.Millisecond)
	if _, err := Parse(e.String()); err != nil {
		return err
	}
	if l.f != nil {
		line := e.String() + "\n"
		if err := l.f.Truncate(l.end); err != nil {
			return err
		}
		if _, err := l.f.WriteAt([]byte(line), l.end); err != nil {
			return err
		}
		if err := l.f.Sync(); err != nil {
			return err
		}
		l.end += int64(len(line))
		l.lines++
	}
	l.hold(e)
	return nil
}

// Since returns the events with this number or a higher one, and the number after
// the last.
func (l *Log) Since(seq uint64) (events []Event, next uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		if err := unix.Flock(int(l.f.Fd()), unix.LOCK_SH); err != nil { // no line is half synced
			return nil, seq, fmt.Errorf("lock %s: %w", l.f.Name(), err)
		}
		defer unix.Flock(int(l.f.Fd()), unix.LOCK_UN)
		if err := l.catchUp(); err != nil {
			return nil, seq, err
		}
	}
	for i := range l.events {
		if l.events[i].Seq >= seq {
			events = append(events, l.events[i:]...)
			break
		}
	}
	return events, l.next, nil
}

// Close closes the file.
func (l *Log) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
