// Package filestore keeps named values as files of one directory, for boards
// with a file system and for phones on a host.
//
//	s, err := filestore.Open("/var/lib/itlagent")
//	err = s.Put("itl", data)
//
// A value is written to a temporary file, synced, renamed over the old one, and
// the directory synced: after a power cut either the old or the new value is
// there. Values may have up to MaxValue bytes. A Store is safe for concurrent use
// as long as one process uses the directory.
package filestore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// MaxValue bounds a value, in bytes: the largest file that a phone downloads.
const MaxValue = 2048 << 10

// Store is a directory of values.
type Store struct {
	mu  sync.Mutex
	dir string
}

// Open makes the directory, mode 0700, where it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Store{dir: dir}, nil
}

func (s *Store) path(key string) (string, error) {
	if key == "" || len(key) > 32 {
		return "", fmt.Errorf("store key %.40q", key)
	}
	for _, c := range key {
		if c < 'a' || c > 'z' {
			return "", fmt.Errorf("store key %.40q", key)
		}
	}
	return filepath.Join(s.dir, key), nil
}

// Get returns a value. An absent one gives an error that is fs.ErrNotExist.
func (s *Store) Get(key string) ([]byte, error) {
	path, err := s.path(key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, MaxValue+1))
	if err == nil && len(value) > MaxValue {
		err = fmt.Errorf("%s: larger than %d bytes", path, MaxValue)
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Put stores a value, mode 0600. When it returns nil the value survives a power
// cut; when it errs the old value stays.
func (s *Store) Put(key string, value []byte) error {
	path, err := s.path(key)
	if err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%s: %d bytes, at most %d", path, len(value), MaxValue)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return WriteFile(path, value)
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
	path, err := s.path(key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(s.dir)
}

func writeSynced(path string, value []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
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
