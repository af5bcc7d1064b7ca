package main

import (
	"errors"
	"strings"
	"syscall"

	"itlagent/platform/readfile"
	"itlagent/platform/strictyaml"
)

// maxPassword bounds a file with a password, in bytes.
const maxPassword = 4 << 10

// readLimited reads a file of at most most bytes. A regular file that is larger is not
// read at all; of anything else, such as a pipe or a device, no more than that.
func readLimited(path string, most int64) ([]byte, error) {
	return readfile.AtMost(path, most)
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
