package events

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2014, 2, 6, 12, 0, 0, 0, time.UTC)

func event(i int) Event {
	return Event{Time: noon, Node: "n", App: "A", Severity: 6, Name: "Number", Text: fmt.Sprint(i)}
}

// A log of many events becomes two files, for all that have it open. No number is left
// out or comes twice, and whoever opens it later goes on where it ended.
func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	var logs []*Log
	for range 3 {
		l, err := open(path, 2000)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		logs = append(logs, l)
	}
	const many = 300
	for i := range many {
		if err := logs[i%2].Add(event(i)); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 { // so that it does not miss two rotations
			logs[2].Since(0)
		}
	}
	for i, l := range logs[:2] {
		got, next, err := l.Since(0)
		if err != nil || next != many || len(got) != many {
			t.Fatalf("log %d: %d events, next %d, %v", i, len(got), next, err)
		}
		for j, e := range got {
			if e.Seq != uint64(j) || e.Text != fmt.Sprint(j) {
				t.Fatalf("log %d, event %d: %v", i, j, e)
			}
		}
	}
	for _, file := range []string{path, Older(path)} {
		info, err := os.Stat(file)
		if err != nil || info.Size() > 2000+MaxLine || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	again, err := open(path, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, next, err := again.Since(0); err != nil || next != many || len(got) == 0 || got[len(got)-1].Seq != many-1 {
		t.Errorf("opened again: %d events, next %d, %v", len(got), next, err)
	}
}

// A long log is read in constant memory.
func TestOpenInConstantMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	line := event(1)
	line.Text = strings.Repeat("x", MaxLine-100)
	const size = 200 << 20
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	one := []byte(line.String() + "\n")
	block := bytes.Repeat(one, 1000)
	for n := 0; n < size; n += len(block) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	peak := make(chan uint64)
	stop := make(chan bool)
	go func() {
		var most uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	l, err := Open(path)
	close(stop)
	most := <-peak
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if most > 100<<20 { // the events in memory, and what was not collected yet
		t.Errorf("%d MiB for a log of %d MiB", most>>20, size>>20)
	}
}

// A line that is too long is an error, and not read to its end.
func TestLongLine(t *testing.T) {
	for _, size := range []int{MaxLine + 1, 10 << 20} {
		path := filepath.Join(t.TempDir(), "events.log")
		if err := os.WriteFile(path, append(bytes.Repeat([]byte("x"), size), '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrLine) {
			t.Errorf("%d bytes: %v, want %v", size, err, ErrLine)
		}
	}
}
