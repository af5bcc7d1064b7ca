package linuxinit

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// board plays a board with a watchdog: it is reset where nothing is written in time,
// and fails the test where the device is used after its close.
type board struct {
	t       *testing.T
	seconds int // of the timeout
	most    int // seconds that the driver grants; 0 for any
	setErr  error
	getErr  error
	written bytes.Buffer
	timer   *time.Timer
	reset   atomic.Bool
	closed  bool
}

func (b *board) Write(p []byte) (int, error) {
	if b.closed {
		b.t.Error("write after close")
	}
	if b.timer != nil {
		b.timer.Stop()
	}
	b.timer = time.AfterFunc(time.Duration(b.seconds)*time.Second, func() { b.reset.Store(true) })
	return b.written.Write(p)
}

func (b *board) Close() error {
	if bytes.HasSuffix(b.written.Bytes(), []byte("V")) && b.timer != nil {
		b.timer.Stop()
	}
	b.closed = true
	return nil
}

func (b *board) setTimeout(seconds int) error {
	if b.setErr == nil {
		b.seconds = seconds
		if b.most > 0 {
			b.seconds = min(seconds, b.most)
		}
	}
	return b.setErr
}

func (b *board) getTimeout() (int, error) { return b.seconds, b.getErr }

// A loop that goes on keeps the board up, whatever it takes; one that hangs has the
// board reset within the timeout.
func TestHungLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{t: t, seconds: 30}
		w, err := newWatchdog(b, WatchdogTimeout)
		if err != nil || w.Timeout() != WatchdogTimeout {
			t.Fatalf("timeout %v, %v", w.Timeout(), err)
		}
		for range 20 {
			time.Sleep(WatchdogTimeout - time.Second)
			if err := w.Feed(); err != nil {
				t.Fatal(err)
			}
		}
		if b.reset.Load() {
			t.Fatal("the board was reset under a loop that fed it")
		}
		time.Sleep(WatchdogTimeout - time.Second) // the loop hangs
		if b.reset.Load() {
			t.Error("the board was reset before its time")
		}
		time.Sleep(2 * time.Second)
		if !b.reset.Load() {
			t.Error("the board was not reset")
		}
	})
}

// An orderly end does not reset the board.
func TestWatchdogClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{t: t}
		w, err := newWatchdog(b, 1500*time.Millisecond)
		if err != nil || w.Timeout() != 2*time.Second {
			t.Fatalf("timeout %v, %v; want it in whole seconds, rounded up", w.Timeout(), err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if b.reset.Load() || !b.closed || b.written.String() != "\x00V" {
			t.Errorf("reset %v, closed %v, written %q", b.reset.Load(), b.closed, b.written.String())
		}
	})
}

// Feeding is cheap: a loop may do it at every packet.
func TestFeedOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{t: t}
		w, err := newWatchdog(b, WatchdogTimeout)
		if err != nil {
			t.Fatal(err)
		}
		for range 10000 {
			time.Sleep(time.Millisecond)
			w.Feed()
		}
		if n := b.written.Len(); n != 11 {
			t.Errorf("%d writes in 10 s, want 11", n)
		}
		w.Close()
	})
}

// A driver that does not grant the timeout would reset a program that works.
func TestWatchdogRefused(t *testing.T) {
	for name, c := range map[string]struct {
		b    *board
		want string
	}{
		"too short":      {&board{t: t, most: 15}, "resets the board after 15 s, 60 s are needed"},
		"fixed, short":   {&board{t: t, seconds: 30, setErr: unix.EOPNOTSUPP}, "after 30 s"},
		"no timeout":     {&board{t: t, getErr: unix.ENOTTY}, "without a known timeout"},
		"a timeout of 0": {&board{t: t, setErr: unix.EINVAL}, "after 0 s"},
	} {
		w, err := newWatchdog(c.b, WatchdogTimeout)
		if err == nil || !strings.Contains(err.Error(), c.want) || w != nil || c.b.written.String() != "V" || !c.b.closed {
			t.Errorf("%s: %v, want %q; written %q, closed %v", name, err, c.want, c.b.written.String(), c.b.closed)
		}
	}
	long := &board{t: t, seconds: 128, setErr: unix.EOPNOTSUPP}
	if w, err := newWatchdog(long, WatchdogTimeout); err != nil || w.Timeout() != 128*time.Second {
		t.Errorf("a fixed, long timeout: %v", err)
	}
	long.timer.Stop()
}

// A board without a watchdog needs no special case.
func TestNoWatchdog(t *testing.T) {
	dir := t.TempDir()
	w, err := OpenWatchdog(filepath.Join(dir, "none"), WatchdogTimeout)
	if !errors.Is(err, fs.ErrNotExist) || w != nil || w.Feed() != nil || w.Close() != nil || w.Timeout() != 0 {
		t.Errorf("%v, %v", w, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, dir} {
		if _, err := OpenWatchdog(path, WatchdogTimeout); err == nil || !strings.Contains(err.Error(), "not a character device") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := OpenWatchdog("/dev/null", WatchdogTimeout); err == nil || !strings.Contains(err.Error(), "without a known timeout") {
		t.Errorf("/dev/null: %v", err)
	}
}
