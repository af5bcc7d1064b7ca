package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// log is the raw log and its times. Readers follow it.
type log struct {
	mu      sync.Mutex
	f       *os.File
	times   *os.File
	start   int64 // of this session in the file
	size    int64
	newLine bool // the next byte starts a line
	more    chan struct{}
	ended   bool
}

// logError says that the log cannot be written: the line is not read any further then.
type logError struct{ err error }

func (e *logError) Error() string { return "the log cannot be written: " + e.err.Error() }
func (e *logError) Unwrap() error { return e.err }

// TimeFormat is that of LOG.times, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// openLog opens a log that nobody else writes.
func openLog(name string, overwrite bool) (*log, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	f, err := openLocked(name)
	if err != nil {
		return nil, err
	}
	times, err := openLocked(name + ".times")
	if err != nil {
		f.Close()
		return nil, err
	}
	l := &log{f: f, times: times, newLine: true, more: make(chan struct{})}
	if overwrite {
		err = errors.Join(f.Truncate(0), times.Truncate(0))
	}
	if err == nil {
		l.size, err = f.Seek(0, io.SeekEnd)
		l.start = l.size
	}
	if err == nil {
		_, err = times.Seek(0, io.SeekEnd)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("log: %w", err)
	}
	return l, nil
}

// openLocked opens a file for this process alone. What a board says may hold secrets.
func openLocked(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", name)
	case unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil:
		err = fmt.Errorf("%s is being written by another console", name)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, nil
}

// add writes what came at a time, all of it or an error.
func (l *log) add(b []byte, now time.Time) error {
	if _, err := l.f.Write(b); err != nil {
		return &logError{err}
	}
	var times []byte
	for at := 0; at < len(b); {
		if l.newLine {
			times = appendTime(times, l.size+int64(at), now, "")
		}
		n := bytes.IndexByte(b[at:], '\n')
		l.newLine = n >= 0
		if n < 0 {
			break
		}
		at += n + 1
	}
	if _, err := l.times.Write(times); err != nil {
		return &logError{err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size += int64(len(b))
	l.wake()
	return nil
}

func appendTime(b []byte, at int64, now time.Time, event string) []byte {
	b = strconv.AppendInt(b, at, 10)
	b = append(b, ' ')
	b = now.UTC().AppendFormat(b, TimeFormat)
	if event != "" {
		b = append(append(b, ' '), strings.Map(oneLine, event)...)
	}
	return append(b, '\n')
}

func oneLine(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// event notes what happened. That it cannot be written is found with the next bytes.
func (l *log) event(text string, now time.Time) {
	l.times.Write(appendTime(nil, l.length(), now, text))
}

// wake wakes readers. The caller holds mu.
func (l *log) wake() {
	close(l.more)
	l.more = make(chan struct{})
}

func (l *log) length() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// end says that nothing more comes.
func (l *log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
}

func (l *log) close() error {
	return errors.Join(l.f.Sync(), l.f.Close(), l.times.Close())
}

// joined returns where a reader begins that wants some of what came before.
func (l *log) joined(backlog int64) (from, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.start, l.size-min(max(backlog, 0), Backlog)), l.size
}

// next reads what is behind an offset, and waits for it until stop is closed. Its error
// is io.EOF when nothing more comes.
func (l *log) next(b []byte, at int64, stop <-chan struct{}) (int, error) {
	for {
		l.mu.Lock()
		size, more, ended := l.size, l.more, l.ended
		l.mu.Unlock()
		switch {
		case at < size:
			return l.f.ReadAt(b[:min(int64(len(b)), size-at)], at)
		case ended:
			return 0, io.EOF
		}
		select {
		case <-more:
		case <-stop:
			return 0, io.EOF
		}
	}
}
