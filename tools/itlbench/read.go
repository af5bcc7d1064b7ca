package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"itlagent/platform/strictyaml"
)

// maxPassword bounds a file with a password, in bytes.
const maxPassword = 4 << 10

// readLimited reads a file of at most most bytes. A regular file that is larger is not
// read at all; of anything else, such as a pipe or a device, no more than that.
func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tooLarge := &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("more than %d bytes", most)}
	if info.Mode().IsRegular() && info.Size() > most {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, tooLarge
	}
	return data, err
}

// readYAML reads a file of at most the size that strictyaml reads.
func readYAML(path string) ([]byte, error) { return readLimited(path, strictyaml.MaxSize) }

// readPassword reads a password from a file, without the end of its line.
func readPassword(path string) (string, error) {
	text, err := readLimited(path, maxPassword)
	return strings.TrimRight(string(text), "\r\n"), err
}

// operationFailed tells what a user did wrong, exit code 2, from what the machine did,
// such as a full disk.
func (e *env) operationFailed(command string, err error) int {
	var machine syscall.Errno
	if errors.As(err, &machine) {
		return e.fail(exitInfra, "%s: %v", command, err)
	}
	return e.usage("%s: %v", command, err)
}
