// Package filestore keeps named values as files of one directory, for boards
// with a file system and for phones on a host.
//
//	s, err := filestore.Open("/var/lib/itlagent")
//	defer s.Close()
//	err = s.Put("itl", data)
//
// A value is written to a temporary file, synced, renamed over the old one, and
// the directory synced: after a power cut either the old or the new value is
// there. Each file has a header with a checksum, so that a changed bit is an
// error (ErrDamaged), as is anything but a regular file in the place of a value.
// One Store at a time may change a directory: Open locks it (ErrBusy).
//
// Values have up to MaxValue bytes. A Store is safe for concurrent use.
// docs/phone-on-flash.md describes the files.
package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// MaxValue bounds a value, in bytes: the largest file that a phone downloads.
const MaxValue = 2048 << 10

// maxKey bounds a key, in bytes. Keys are of the letters a to z.
const maxKey = 32

var (
	// ErrDamaged says that what is stored is not what was put.
	ErrDamaged = errors.New("the stored value is damaged")
	// ErrBusy says that another Store has the directory open for writing.
	ErrBusy = errors.New("the directory is in use")
	// ErrReadOnly says that a Store was opened for reading alone.
	ErrReadOnly = errors.New("the directory is open for reading alone")
)

// Store is a directory of values.
type Store struct {
	mu       sync.Mutex
	dir      string
	lock     *os.File // nil where the Store is for reading alone, or closed
	unsealed bool     // values without a header are taken as they are
}

// Open opens a directory for reading and writing, and makes it, mode 0700, where it is
// missing. It errs with ErrBusy while another Store, of this process or another one,
// has it open for writing. Values of a directory from before there were checksums get
// theirs now: what they are at that moment is taken as right, once.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock}
	if err := s.upgrade(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenReadOnly opens a directory for reading, also beside a Store that changes it. It
// writes nothing. Values of a directory from before there were checksums are taken as
// they are.
func OpenReadOnly(dir string) (*Store, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: not a directory", dir)
	}
	sealed, err := isSealed(dir)
	return &Store{dir: dir, unsealed: !sealed}, err
}

// Close lets another Store open the directory. The Store can still be read.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	err := s.lock.Close()
	s.lock = nil
	return err
}

func checkKey(key string) error {
	ok := key != "" && len(key) <= maxKey
	for _, c := range []byte(key) {
		ok = ok && 'a' <= c && c <= 'z'
	}
	if !ok {
		return fmt.Errorf("invalid key %.40q", key)
	}
	return nil
}

// Get returns a value. An absent one gives an error that is fs.ErrNotExist, a changed
// one ErrDamaged.
func (s *Store) Get(key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := filepath.Join(s.dir, key)
	data, err := readRegular(path, headerSize+MaxValue)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(s.dir); err != nil {
				return nil, fmt.Errorf("%s: the directory: %v", path, err) // and not absent
			}
		}
		return nil, err
	}
	if s.unsealed && !Encoded(data) {
		if len(data) > MaxValue {
			return nil, fmt.Errorf("%s: %w: larger than %d bytes", path, ErrDamaged, MaxValue)
		}
		return data, nil
	}
	of, value, err := Decode(data)
	if err == nil && of != key {
		err = fmt.Errorf("%w: it is the file of %q", ErrDamaged, of)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return value, nil
}

// readRegular reads a file of at most max bytes. Whatever is not a regular file is
// ErrDamaged, and is not opened: a FIFO would block, a device may act.
func readRegular(path string, max int) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file (%v)", path, ErrDamaged, info.Mode().Type())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	switch size := info.Size(); {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: not a regular file (%v)", path, ErrDamaged, info.Mode().Type())
	case size > int64(max):
		return nil, fmt.Errorf("%s: %w: larger than %d bytes", path, ErrDamaged, max)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err == nil && len(data) > max {
		err = fmt.Errorf("%s: %w: larger than %d bytes", path, ErrDamaged, max)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Put stores a value, mode 0600. When it returns nil the value survives a power
// cut; after an error the old or the new value is in force.
func (s *Store) Put(key string, value []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%s: %d bytes, at most %d", key, len(value), MaxValue)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return fmt.Errorf("%s: %w", s.dir, ErrReadOnly)
	}
	return WriteFile(filepath.Join(s.dir, key), encode(key, value))
}

// WriteFile replaces a file, mode 0600, the way Put does. The name with ".new"
// behind it must not be used for anything else.
func WriteFile(path string, value []byte) error {
	tmp := path + ".new"
	if err := writeSynced(tmp, value); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Delete removes a value; an absent one is no error.
func (s *Store) Delete(key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return fmt.Errorf("%s: %w", s.dir, ErrReadOnly)
	}
	if err := os.Remove(filepath.Join(s.dir, key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(s.dir)
}

// writeSynced writes a file that is not there: what an interrupted write has left is
// removed first, and neither a link nor a FIFO in its place is followed or opened.
func writeSynced(path string, value []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
