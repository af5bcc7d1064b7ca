package events

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a log.
const (
	maxHeld = 10_000  // events in memory
	maxFile = 4 << 20 // bytes of a file: some 20,000 events
)

// Older returns the name of the file with the events before those of a log.
func Older(path string) string { return path + ".1" }

// Files returns the files of the log at a path that there are, the older one first;
// the log itself also where it is missing.
func Files(path string) []string {
	if _, err := os.Stat(Older(path)); err == nil {
		return []string{Older(path), path}
	}
	return []string{path}
}

// Log is an event log. The zero value holds events in memory only.
type Log struct {
	mu     sync.Mutex
	path   string
	most   int64    // bytes of the file
	f      *os.File // nil in memory
	end    int64    // of the last whole line that was read, in bytes
	lines  int      // of the file, so far
	next   uint64
	events []Event
}

// Open reads a log and goes on with it, or makes one, mode 0600. A line that was
// cut off is taken away by the next Add; any other that is not an event is an error.
func Open(path string) (*Log, error) { return open(path, maxFile) }

func open(path string, most int64) (*Log, error) {
	l := &Log{path: path, most: most}
	if old, err := os.Open(Older(path)); err == nil {
		l.f = old
		err = l.catchUp()
		old.Close()
		if err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := l.reopen(); err != nil {
		return nil, err
	}
	if err := l.catchUp(); err != nil {
		l.f.Close()
		return nil, err
	}
	return l, nil
}

// reopen begins with the file that is at the path now.
func (l *Log) reopen() error {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		l.f, l.end, l.lines = f, 0, 0
	}
	return err
}

// catchUp reads the lines that are new in the file, in constant memory. The caller
// holds mu.
func (l *Log) catchUp() error {
	if l.f == nil {
		return nil
	}
	in := bufio.NewReaderSize(io.NewSectionReader(l.f, l.end, 1<<62), 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			return nil // what is being written, or was when its writer ended
		}
		if err == nil || err == bufio.ErrBufferFull {
			l.lines++
		}
		if err == bufio.ErrBufferFull || err == nil && len(line) > MaxLine+1 {
			return fmt.Errorf("%s: line %d: %w: more than %d bytes", l.f.Name(), l.lines, ErrLine, MaxLine)
		}
		if err != nil {
			return err
		}
		e, err := Parse(string(line[:len(line)-1]))
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", l.f.Name(), l.lines, err)
		}
		l.end += int64(len(line))
		l.hold(e)
	}
}

func (l *Log) hold(e Event) {
	l.next = e.Seq + 1
	if l.events = append(l.events, e); len(l.events) > maxHeld {
		l.events = append(l.events[:0], l.events[len(l.events)-maxHeld/2:]...)
	}
}

// lock locks the file that is at the path, and reads what is new. Another process may
// have rotated the one that is open.
func (l *Log) lock(how int) (unlock func(), err error) {
	for {
		f := l.f
		if err := unix.Flock(int(f.Fd()), how); err != nil {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		unlock := func() { unix.Flock(int(f.Fd()), unix.LOCK_UN) }
		if err := l.catchUp(); err != nil {
			unlock()
			return nil, err
		}
		here, err := f.Stat()
		if err != nil {
			unlock()
			return nil, err
		}
		at, err := os.Stat(l.path)
		if err == nil && os.SameFile(here, at) {
			return unlock, nil
		}
		unlock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := l.reopen(); err != nil {
			return nil, err
		}
		f.Close()
	}
}

// rotate begins another file. The caller has locked the old one, and keeps that lock
// until others may see the new one.
func (l *Log) rotate() error {
	if err := os.Rename(l.path, Older(l.path)); err != nil {
		return err
	}
	return l.reopen()
}

// Add writes an event, which gets the next number, and syncs it. One whose line could
// not be read again is refused with ErrLine. Another error says that the file could not
// be written; the event is not in the log then.
func (l *Log) Add(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range e.Tags {
		if !isKey(t.Key) {
			return fmt.Errorf("%w: tag %.40q", ErrLine, t.Key)
		}
	}
	if l.f != nil {
		unlock, err := l.lock(unix.LOCK_EX)
		if err != nil {
			return err
		}
		defer func() { unlock() }()
		if l.end >= l.most {
			old := l.f
			if err := l.rotate(); err != nil {
				return err
			}
			old.Close() // ends its lock
			if unlock, err = l.lock(unix.LOCK_EX); err != nil {
				unlock = func() {}
				return err
			}
		}
	}
	e.Seq, e.Time = l.next, e.Time.UTC().Truncate(time.Millisecond)
	line := e.String()
	if _, err := Parse(line); err != nil {
		return err
	}
	if l.f != nil {
		if err := l.write(line + "\n"); err != nil {
			return err
		}
	}
	l.hold(e)
	return nil
}

// write puts a line behind the last whole one.
func (l *Log) write(line string) error {
	if err := l.f.Truncate(l.end); err != nil {
		return err
	}
	if _, err := l.f.WriteAt([]byte(line), l.end); err != nil {
		l.f.Truncate(l.end)
		return err
	}
	if err := l.f.Sync(); err != nil {
		l.f.Truncate(l.end)
		return err
	}
	l.end += int64(len(line))
	l.lines++
	return nil
}

// Since returns the events with this number or a higher one, and the number after
// the last. Of those that are no longer in memory there are none.
func (l *Log) Since(seq uint64) (events []Event, next uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		unlock, err := l.lock(unix.LOCK_SH) // no line is half synced
		if err != nil {
			return nil, seq, err
		}
		defer unlock()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
