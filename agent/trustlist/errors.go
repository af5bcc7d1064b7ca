package trustlist

import (
	"errors"
	"fmt"
)

// The ways in which a file can be unfit, for callers that branch on them.
var (
	ErrEmpty     = errors.New("empty file")
	ErrTooLarge  = errors.New("too large")
	ErrMalformed = errors.New("malformed")
	ErrWrongFile = errors.New("wrong kind of file")
	ErrDigest    = errors.New("unsupported signature algorithm")
	ErrWeakKey   = errors.New("RSA key is outside 1024 to 4096 bits")
	ErrSignature = errors.New("signature does not verify")
)

// FileError is an error at a place in a file. Offset counts bytes from the start
// of the file. Unwrap gives one of the Err values of this package.
type FileError struct {
	Offset int
	Err    error
	Detail string // what is wrong there; may be empty
}

// Error returns "offset N: " and the error with its detail.
func (e *FileError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("offset %d: %v: %s", e.Offset, e.Err, e.Detail)
}

// Unwrap returns the sentinel.
func (e *FileError) Unwrap() error { return e.Err }

func malformed(offset int, format string, args ...any) error {
	return &FileError{Offset: offset, Err: ErrMalformed, Detail: fmt.Sprintf(format, args...)}
}

func wrongFile(offset int, format string, args ...any) error {
	return &FileError{Offset: offset, Err: ErrWrongFile, Detail: fmt.Sprintf(format, args...)}
}

// quoted writes a name of a file in quotes, at most 60 characters of it.
func quoted(name []byte) string { return fmt.Sprintf("%.60q", name) }
