// Package store keeps a cluster in a directory: the state, the lists that it has served,
// and its backups. Without a directory it keeps the lists in memory.
//
//	d, err := store.Open("lab")
//	unlock, err := d.Lock()
//	s, err := d.Load()
//	err = d.Save(next)
//
// Files have mode 0600, folders 0700. A state is written under another name, synced and
// renamed: after a kill at any time the old or the new one is there. Several processes
// may use one directory: Lock keeps them from writing at the same time. A Dir is safe
// for concurrent use but for Load and Save, which belong to whoever holds the lock.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"itlagent/platform/filestore"
	"itlagent/testbench/cluster/state"
)

const (
	stateFile = "state.json"
	lockFile  = "lock"
	maxState  = 64 << 20 // bytes; 40 nodes and 10,000 phones take less than a tenth
)

// ErrWrite says that something could not be written: a full disk, for example. What
// was there before is still there.
var ErrWrite = errors.New("the directory of the cluster cannot be written")

// Dir is the directory of a cluster. Its zero value keeps lists in memory and nothing
// else.
type Dir struct {
	path  string
	lock  *os.File
	stamp fs.FileInfo // of the state file that was loaded or saved last

	mu    sync.Mutex
	lists map[string][]byte // in memory, by hash
}

// Open makes the directory where there is none.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, lock: lock}, nil
}

// Exists reports a directory without a cluster as fs.ErrNotExist.
func Exists(path string) error {
	_, err := os.Stat(filepath.Join(path, stateFile))
	return err
}

// Path returns the directory, "" in memory.
func (d *Dir) Path() string { return d.path }

// Close gives the directory up.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	return d.lock.Close()
}

// Lock keeps other processes from changing the state.
func (d *Dir) Lock() (unlock func(), err error) {
	if d.lock == nil {
		return func() {}, nil
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", d.path, err)
	}
	return func() { unix.Flock(int(d.lock.Fd()), unix.LOCK_UN) }, nil
}

// Changed reports whether the state file is another one than was loaded or saved last.
func (d *Dir) Changed() (bool, error) {
	if d.path == "" {
		return false, nil
	}
	info, err := os.Stat(filepath.Join(d.path, stateFile))
	if err != nil {
		return false, err
	}
	was := d.stamp
	return was == nil || !os.SameFile(was, info) || !was.ModTime().Equal(info.ModTime()) || was.Size() != info.Size(), nil
}

// Load reads the state. Without one the error is fs.ErrNotExist; one that is not as it
// was written gives state.ErrDamaged.
func (d *Dir) Load() (*state.State, error) {
	if d.path == "" {
		return nil, fs.ErrNotExist
	}
	path := filepath.Join(d.path, stateFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxState {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, state.ErrDamaged, maxState)
	}
	s, err := state.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d.stamp = info
	return s, nil
}

// Save puts the state in the place of the old one, and before it the lists that are
// new in its history, so that none is ever missing. An error is ErrWrite, or one of
// making the file.
func (d *Dir) Save(s *state.State) error {
	if err := d.saveLists(s.Effects.Lists); err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	if d.path == "" {
		return nil
	}
	data, err := s.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(d.path, stateFile)
	if err := filestore.WriteFile(path, data); err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	d.stamp, err = os.Stat(path)
	return err
}
