package status_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"itlagent/agent/holdings"
	"itlagent/agent/status"
)

// oldMessages is what programs before this one have on flash.
const oldMessages = `1393445761 1393445821 3 "Trust List Update Failed"` + "\n" + `-1 -1 1 "a \"b\"\n\u202e\x00"` + "\n"

// newMessages is the same in today's form.
const newMessages = "\x91\x92" +
	"\x94\xd2\x53\x0e\x4b\x81\xd2\x53\x0e\x4b\xbd\x03\xb8Trust List Update Failed" +
	"\x94\xff\xff\x01\xaaa \"b\"\n\u202e\x00"

func entries() []status.Entry {
	return []status.Entry{
		{Time: time.Unix(1393445761, 0), Last: time.Unix(1393445821, 0), Count: 3, Text: "Trust List Update Failed"},
		{Time: time.Unix(-1, 0), Last: time.Unix(-1, 0), Count: 1, Text: "a \"b\"\n\u202e\x00"},
	}
}

// Messages in the form of lines of text are read, and written in today's form with
// the next one.
func TestOldMessages(t *testing.T) {
	store := new(holdings.MemStore)
	store.Put("shown", []byte(oldMessages))
	kept, err := status.NewKept(store, "shown")
	if err != nil || !reflect.DeepEqual(kept.Messages(), entries()) {
		t.Fatalf("%+v, %v", kept.Messages(), err)
	}
	if err := kept.Append(time.Unix(1393445999, 7), "new"); err != nil {
		t.Fatal(err)
	}
	if data, err := store.Get("shown"); err != nil || data[0] != 0x91 {
		t.Errorf("the next one wrote %q, %v", data, err)
	}
	kept, err = status.NewKept(store, "shown")
	want := append(entries(), status.Entry{Time: time.Unix(1393445999, 0), Last: time.Unix(1393445999, 0), Count: 1, Text: "new"})
	if err != nil || !reflect.DeepEqual(kept.Messages(), want) {
		t.Errorf("after the next one: %+v, %v", kept.Messages(), err)
	}
}

// The form on flash is this, to the byte.
func TestNewMessages(t *testing.T) {
	store := new(holdings.MemStore)
	store.Put("messages", []byte(newMessages))
	kept, err := status.NewKept(store, "messages")
	if err != nil || !reflect.DeepEqual(kept.Messages(), entries()) {
		t.Fatalf("%+v, %v", kept.Messages(), err)
	}
	other := new(holdings.MemStore)
	if kept, err = status.NewKept(other, "messages"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{1393445761, 1393445799, 1393445821} {
		kept.Append(time.Unix(at, 0), "Trust List Update Failed")
	}
	kept.Append(time.Unix(-1, 0), "a \"b\"\n\u202e\x00")
	if data, err := other.Get("messages"); err != nil || string(data) != newMessages {
		t.Errorf("written\n%x, %v; want\n%x", data, err, newMessages)
	}
}

// What is damaged counts as none, with an error, and can be used.
func TestDamagedMessages(t *testing.T) {
	bad := []string{newMessages + "\x00", "\x91\xdc\x00\x41" + strings.Repeat("\x94\x00\x00\x01\xa0", 65), "\x91\xdd\xff\xff\xff\xff", "\x91\x91\x94\x00\x00\x01\xdb\xff\xff\xff\xffx",
		"\x91\x91\x94\x00\x00\x00\xa0", "\x91\x91\x94\x00\x00\xce\x80\x00\x00\x00\xa0", "\xff", "\x90"}
	for i := 1; i < len(newMessages); i++ {
		bad = append(bad, newMessages[:i])
	}
	for _, data := range bad {
		store := new(holdings.MemStore)
		store.Put("messages", []byte(data))
		kept, err := status.NewKept(store, "messages")
		if err == nil || len(kept.Messages()) != 0 {
			t.Errorf("%.40x: %d messages, %v", data, len(kept.Messages()), err)
		}
		if err := kept.Append(at, "text"); err != nil {
			t.Errorf("%.40x: %v", data, err)
		}
		if kept, err = status.NewKept(store, "messages"); err != nil || len(kept.Messages()) != 1 {
			t.Errorf("%.40x, then a message: %v", data, err)
		}
	}
}

// A long message is cut between characters, and is the same after a restart; a count
// ends at 2^31-1.
func TestBoundsOfMessages(t *testing.T) {
	store := new(holdings.MemStore)
	kept, err := status.NewKept(store, "messages")
	if err != nil {
		t.Fatal(err)
	}
	for n := 195; n < 205; n++ {
		for _, text := range []string{strings.Repeat("x", n), strings.Repeat("x", n) + "\u20ac", strings.Repeat("x", n) + "\U0001f600", strings.Repeat("\xbf", n)} {
			if err := kept.Append(at, text); err != nil {
				t.Fatal(err)
			}
			again, err := status.NewKept(store, "messages")
			if err != nil || !reflect.DeepEqual(again.Messages(), kept.Messages()) {
				t.Fatalf("%d: %v, %d and %d messages", n, err, len(again.Messages()), len(kept.Messages()))
			}
			all := again.Messages()
			got := all[len(all)-1].Text
			if len(got) > 200 || !strings.HasPrefix(text, got) || utf8.ValidString(text) && !utf8.ValidString(got) || len(text) <= 200 && got != text {
				t.Errorf("%q is kept as %q", text, got)
			}
		}
	}
	store.Put("messages", []byte("0 0 2147483647 \"often\"\n0 0 2147483648 \"too often\"\n0 0 0 \"never\"\n"))
	if kept, err = status.NewKept(store, "messages"); err != nil || len(kept.Messages()) != 1 {
		t.Fatalf("%+v, %v", kept.Messages(), err)
	}
	if err := kept.Append(at, "often"); err != nil || kept.Messages()[0].Count != math.MaxInt32 {
		t.Errorf("%+v, %v", kept.Messages(), err)
	}
	none, err := status.NewKept(nil, "messages")
	if err == nil {
		err = none.Append(at, "text")
	}
	if err != nil || len(none.Messages()) != 1 {
		t.Errorf("without a store: %v, %v", none.Messages(), err)
	}
}

// Messages that are damaged in any way can be used.
func FuzzKept(f *testing.F) {
	f.Add([]byte(oldMessages))
	f.Add([]byte(newMessages))
	f.Fuzz(func(t *testing.T, data []byte) {
		store := new(holdings.MemStore)
		store.Put("messages", data)
		kept, _ := status.NewKept(store, "messages")
		if err := kept.Append(at, "text"); err != nil {
			t.Fatal(err)
		}
		again, err := status.NewKept(store, "messages")
		if err != nil || !reflect.DeepEqual(again.Messages(), kept.Messages()) || len(kept.Messages()) > 64 {
			t.Fatalf("%v: %d and %d messages", err, len(again.Messages()), len(kept.Messages()))
		}
	})
}
