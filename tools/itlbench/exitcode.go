package main

import (
	"errors"
	"io/fs"
	"syscall"

	"itlagent/testbench/cluster/serve"
)

// codeOf returns the exit code of an error among args. A file that is missing, that may not
// be read or that is a directory is a matter of the surroundings, whoever meets it: what is
// to be checked was not seen, and the line was well formed.
func codeOf(code int, args []any) int {
	if code != exitNo && code != exitUsage {
		return code
	}
	for _, arg := range args {
		err, ok := arg.(error)
		var port *serve.PortError
		if !ok || errors.As(err, &port) {
			continue
		}
		for _, e := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.EISDIR, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP} {
			if errors.Is(err, e) {
				return exitInfra
			}
		}
	}
	return code
}
