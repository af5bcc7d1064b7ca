// Package readfile reads files that come from outside without taking more memory than
// their reader expects.
//
//	keys, err := readfile.AtMost("authorized_keys", 64<<10)
//
// A pipe without a writer is waited for, as by os.Open. The function is safe for
// concurrent use.
package readfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// AtMost reads a file of at most most bytes. A regular file that is larger is not read at
// all; of anything else, such as a pipe or a device, no more than that. Errors are
// *fs.PathError.
func AtMost(path string, most int64) ([]byte, error) {
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
