// Package events is a cluster's application log: what its services report, and
// its alerts, one line each in the form of CiscoLog.
//
//	l, err := events.Open("events.log")
//	err = l.Add(events.Event{Time: now, Node: "test10pub", App: "UC_CERT", Severity: 4, Name: "ITLRecoveryNotBackedUp", Text: "..."})
//
// A line is at most MaxLine bytes. An event that was returned by Since is in the
// file and synced. A file of more than maxFile bytes becomes the older one, Older, in
// the place of the one before; numbers go on. The last maxHeld events are in memory.
// A Log is safe for concurrent use, and several processes may have one file open: a
// lock on it keeps their lines and numbers apart. Source: the CiscoLog grammar as it
// is published; the names of this project's own events are its choice.
package events

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/printable"
)

// MaxLine bounds a line, in bytes.
const MaxLine = 800

// maxWord bounds the names of a node, an application and an event, in bytes.
const maxWord = 100

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
func (e Event) String() string { return e.In(time.UTC) }

// In returns the line with its time in a zone, for people: Parse reads those in UTC.
func (e Event) In(zone *time.Location) string {
	line := fmt.Sprintf("%d: %s: %s: %%%s-%d-%s: ", e.Seq, e.Node, e.Time.In(zone).Format("Jan _2 2006 15:04:05.000 MST"),
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

// clean keeps a value from ending a tag or a line, and from showing what is not there.
func clean(s string) string {
	return printable.Text(strings.Map(func(r rune) rune {
		switch {
		case r == '\ufffd': // what is not UTF-8 becomes that, and longer
			return '?'
		case r == ']':
			return ')'
		case r == '[':
			return '('
		case r < ' ' || r == 0x7f:
			return ' '
		}
		return r
	}, s))
}

// isKey reports whether a key reads back as it was written.
func isKey(key string) bool {
	return key != "" && len(key) <= maxWord && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("=[]", r) })
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
