package events_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/events"
)

var at = time.Date(2014, 2, 6, 18, 24, 27, 123_000_000, time.UTC)

func TestLine(t *testing.T) {
	e := events.Event{Seq: 7, Time: at, Node: "test10pub", App: "UC_CALLMANAGER", Severity: 6, Name: "DeviceTLInfo",
		Tags: []events.Tag{{Key: "DeviceName", Value: "SEP64A0E71502CC"}, {Key: "IPv6Address", Value: ""}}, Text: "lists: changed"}
	const want = "7: test10pub: Feb  6 2014 18:24:27.123 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=SEP64A0E71502CC][IPv6Address=]: lists: changed"
	if e.String() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
	if back, err := events.Parse(want); err != nil || !reflect.DeepEqual(back, e) || back.Tag("DeviceName") != "SEP64A0E71502CC" || back.Tag("x") != "" {
		t.Errorf("read back %+v, %v", back, err)
	}
	plain := events.Event{Time: at, Node: "n", App: "A", Severity: 4, Name: "B", Text: "no tags"}
	if back, err := events.Parse(plain.String()); err != nil || !reflect.DeepEqual(back, plain) {
		t.Errorf("read back %+v, %v", back, err)
	}
	evil := events.Event{Time: at, Node: "n", App: "A", Name: "B", Tags: []events.Tag{{Key: "k", Value: "a]b[c\nd"}}, Text: strings.Repeat("x", 2000)}
	if line := evil.String(); len(line) != events.MaxLine || strings.Contains(line, "\n") {
		t.Errorf("%d bytes: %q", len(line), line)
	}
	evil.Tags = append(evil.Tags, events.Tag{Key: "long", Value: strings.Repeat("y", 2000)})
	if back, err := events.Parse(evil.String()); err != nil || len(back.Tags) != 1 || back.Tag("k") != "a)b(c d" {
		t.Errorf("a tag that does not fit: %+v, %v", back, err)
	}
	for _, bad := range []string{"", "hello", "x: n: Feb  6 2014 18:24:27.123 UTC: %A-4-B: t", "1: n: Feb 36 2014 18:24:27.123 UTC: %A-4-B: t",
		"1: n: Feb  6 2014 18:24:27.123 UTC: %A-9-B: t", "1: n: Feb  6 2014 18:24:27.123 UTC: %A: t", "1: n: Feb  6 2014 18:24:27.123 UTC: %A-4-B: %[k=v"} {
		if e, err := events.Parse(bad); !errors.Is(err, events.ErrLine) {
			t.Errorf("Parse(%q) = %+v, %v", bad, e, err)
		}
	}
}

// What was shown is there again, also after an end in the middle of a line.
func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	l, err := events.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"One", "Two"} {
		if err := l.Add(events.Event{Time: at, Node: "n", App: "A", Severity: 4, Name: name, Text: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	shown, next, _ := l.Since(1)
	if len(shown) != 1 || shown[0].Name != "Two" || next != 2 {
		t.Errorf("since 1: %v, next %d", shown, next)
	}
	l.Close()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("2: n: Feb")
	f.Close()
	if l, err = events.Open(path); err != nil {
		t.Fatal(err)
	}
	other, err := events.Open(path) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Add(events.Event{Time: at, Node: "n", App: "A", Severity: 4, Name: "Other", Text: "t"}); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if err := l.Add(events.Event{Time: at, Node: "n", App: "A", Severity: 4, Name: "Three", Text: "t"}); err != nil {
		t.Fatal(err)
	}
	all, _, _ := l.Since(0)
	if len(all) != 4 || all[2].Name != "Other" || all[3].Seq != 3 || all[3].Name != "Three" {
		t.Errorf("after an end in a line: %v", all)
	}
	for _, e := range []events.Event{{Time: at, Node: "n", App: "A", Name: strings.Repeat("x", 900)}, {Time: at, Node: "n: n", App: "A", Name: "B"}, {Time: at, Node: "n", App: "A", Name: "B", Severity: 9}} {
		if err := l.Add(e); !errors.Is(err, events.ErrLine) {
			t.Errorf("an event that cannot be read again: %v", err)
		}
	}
	l.Close()
	if err := os.WriteFile(path, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := events.Open(path); !errors.Is(err, events.ErrLine) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a damaged log: %v", err)
	}
}

// What is read as an event is written as the same line, but for characters that a
// line cannot hold.
func FuzzParse(f *testing.F) {
	f.Add("7: test10pub: Feb  6 2014 18:24:27.123 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=SEP64A0E71502CC][IPv6Address=]: lists: changed")
	f.Add("0: n: Feb  6 2014 18:24:27.123 UTC: %A-4-B: t")
	f.Fuzz(func(t *testing.T, line string) {
		e, err := events.Parse(line)
		if err != nil {
			return
		}
		if again, err := events.Parse(e.String()); err == nil && again.String() != e.String() {
			t.Fatalf("%q is written as %q and then as %q", line, e, again)
		}
	})
}

// A tag reads back as it was written, or is refused.
func TestTagKeys(t *testing.T) {
	l := new(events.Log)
	for _, key := range []string{"a=b", "", "a]b", "a[b", "a b", "a\nb", "\u202e", strings.Repeat("k", 101)} {
		err := l.Add(events.Event{Time: at, Node: "n", App: "A", Severity: 4, Name: "B", Tags: []events.Tag{{Key: key, Value: "v"}}})
		if !errors.Is(err, events.ErrLine) {
			t.Errorf("key %q: %v, want %v", key, err, events.ErrLine)
		}
	}
	if err := l.Add(events.Event{Time: at, Node: "n", App: "A", Severity: 4, Name: "B", Tags: []events.Tag{{Key: "CTL_Signature", Value: "a=b"}}}); err != nil {
		t.Error(err)
	}
}
