package filestore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile is locked by the Store that changes a directory, and names its process.
const lockFile = ".lock"

// lockDir locks a directory until the file that it returns is closed, or the process
// ends. A kernel that was built without file locks has none to give: there the
// directory is opened without one.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := hold(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

// hold locks a lock file and writes who has it.
func hold(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file (%v)", lockFile, info.Mode().Type())
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		const enough = 80 // bytes
		who, _ := io.ReadAll(io.LimitReader(f, enough))
		if len(who) == 0 {
			return ErrBusy
		}
		return fmt.Errorf("%w by %q", ErrBusy, who)
	}
	if err != nil && !errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("lock: %w", err)
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "process %d, %.40s", os.Getpid(), filepath.Base(os.Args[0]))
	return err
}
