//go:build linux || darwin

package hostport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"itlagent/platform/serial"
)

// lockDir is where lock files of serial ports are. Tests change it.
var lockDir = "/var/lock"

// lockName is the lock file of a device: /dev/pts/7 is LCK..pts_7, as picocom has it.
func lockName(dir, real string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(real, "/dev/"), "/", "_")
	return filepath.Join(dir, "LCK.."+name)
}

// lockFile makes the lock file of a port, and returns its name: none where this user may
// not make one, for there flock alone has to do. A file whose process is gone is
// replaced.
func lockFile(dir, path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "LTMP..")
	if err != nil {
		return "", nil
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "%10d\n", os.Getpid()) // FHS: ten bytes of ASCII and a line end
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return "", nil
	}
	name := lockName(dir, real)
	for range 3 {
		err = os.Link(f.Name(), name) // of two who do so, one makes it
		if !errors.Is(err, fs.ErrExist) {
			break
		}
		if pid := lockHolder(dir, real); pid != 0 {
			return "", &serial.InUseError{Name: path, PID: pid, Program: program(pid)}
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s: the old lock file %w", path, err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%s: lock file: %w", path, err)
	}
	return name, nil
}

// lockHolder returns the process that a lock file names, or 0 where there is none that
// lives. This process holds none that flock does not know of.
func lockHolder(dir, real string) int {
	f, err := os.OpenFile(lockName(dir, real), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil && len(text) == 4 {
		pid, err = int(int32(binary.NativeEndian.Uint32(text))), nil // old programs write it so
	}
	if err != nil || pid <= 0 || pid == os.Getpid() {
		return 0
	}
	if err := unix.Kill(pid, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return 0
	}
	return pid
}
