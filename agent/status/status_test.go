package status_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"itlagent/agent/holdings"
	"itlagent/agent/model"
	"itlagent/agent/status"
)

// Scrapers and people look for these very words.
func TestTexts(t *testing.T) {
	for m, want := range map[status.Message][2]string{ // of 79xx and 88xx
		status.CTLAndITLInstalled: {"CTL and ITL installed"}, status.CTLInstalled: {"CTL installed"}, status.ITLInstalled: {"ITL installed"},
		status.NoTrustListInstalled: {"No Trust List installed", "No Trust List Installed"}, status.TrustListUpdated: {"Trust List updated"},
		status.TrustListUpdateFailed: {"Trust List Update Failed", "Trust List update failed"}, status.TFTPError: {"TFTP Error"},
		status.FileNotFound: {"File not found", "File Not Found"}, status.TFTPTimeout: {"TFTP timeout", "TFTP Timeout"},
		status.ErasingLists: {"Erasing CTL and ITL files"}, status.FactoryReset: {"Reset to factory settings"},
		status.Restarting:        {"Restart requested by Cisco Unified Communications Manager"},
		status.TFTPAuthorization: {"TFTP authorization failure"},
	} {
		if want[1] == "" {
			want[1] = want[0]
		}
		if got := [2]string{m.Text(model.F79), m.Text(model.F88)}; got != want {
			t.Errorf("message %d: %q, want %q", m, got, want)
		}
		if !strings.EqualFold(m.Text(model.F79), m.Text(model.F88)) {
			t.Errorf("message %d differs in more than case", m)
		}
	}
	if n := len(status.Messages()); n != 13 {
		t.Errorf("%d messages", n)
	}
}

var at = time.Date(2014, 2, 26, 20, 16, 1, 0, time.UTC)

// A phone shows as many as its model keeps, also after a restart, and none of
// those before it was cleared.
func TestLog(t *testing.T) {
	store := new(holdings.MemStore)
	open := func(name string) *status.Log {
		t.Helper()
		kept, err := status.NewKept(store, "messages")
		if err != nil {
			t.Fatal(err)
		}
		return status.NewLog(kept, model.Find(name, ""))
	}
	l := open("CP-7965G")
	for i := range 40 {
		if err := l.Add(at.Add(time.Duration(i)*time.Second), fmt.Sprintf("message \"%d\"\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{"CP-7965G": 10, "CP-8861": 30} {
		got := open(name).Entries()
		if len(got) != want || got[len(got)-1].Text != "message \"39\"\n" || !got[len(got)-1].Time.Equal(at.Add(39*time.Second)) {
			t.Errorf("%s shows %d, the last %+v", name, len(got), got[len(got)-1])
		}
	}
	l = open("CP-7965G")
	for range 3 {
		if err := l.Add(at.Add(time.Minute), "again"); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.Entries(); got[len(got)-1].Count != 3 {
		t.Errorf("equal messages: %+v", got[len(got)-1])
	}
	if err := l.Clear(at); err != nil || len(l.Entries()) != 0 || len(open("CP-8861").Entries()) != 0 {
		t.Errorf("cleared: %v, %d left", err, len(l.Entries()))
	}
	if err := l.Add(at, strings.Repeat("x", 1000)); err != nil || len(l.Entries()) != 1 || len(l.Entries()[0].Text) != 200 {
		t.Errorf("a long one: %v, %d", err, len(l.Entries()))
	}
}

// broken is a store that fails.
type broken struct{ holdings.MemStore }

func (*broken) Put(string, []byte) error { return errors.New("flash is full") }

func TestKeptDamaged(t *testing.T) {
	store := new(holdings.MemStore)
	store.Put("messages", []byte("rubbish\n1 1 1 \"sound\"\n1 1 x \"bad\"\n"))
	kept, err := status.NewKept(store, "messages")
	if err != nil || len(kept.Messages()) != 1 || kept.Messages()[0].Text != "sound" {
		t.Errorf("%v, %v", kept.Messages(), err)
	}
	store.Put("messages", make([]byte, 100<<10))
	if _, err := status.NewKept(store, "messages"); err == nil {
		t.Error("too large: no error")
	}
	kept, err = status.NewKept(new(broken), "messages")
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Append(at, "text"); err == nil || len(kept.Messages()) != 1 {
		t.Errorf("a failing store: %v, %d shown", err, len(kept.Messages()))
	}
}
