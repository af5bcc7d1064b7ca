// Package strictyaml reads YAML into structures: keys that are not known are errors,
// and an error is one line that begins with where it is.
//
//	err := strictyaml.Unmarshal(data, &conf)
//
// Its functions are pure and safe for concurrent use.
package strictyaml

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// MaxSize bounds a document, in bytes.
const MaxSize = 1 << 20

// ErrUnreadable says that a document cannot be read for a reason that the library
// does not tell: it panics on some that are no YAML.
var ErrUnreadable = errors.New("it is not YAML that can be read")

// Unmarshal reads a document.
func Unmarshal(data []byte, to any) (err error) {
	if len(data) > MaxSize {
		return fmt.Errorf("the file has %d bytes, at most %d", len(data), MaxSize)
	}
	defer Recover(&err)
	return Line(yaml.UnmarshalWithOptions(data, to, yaml.Strict()))
}

// Recover turns a panic of the library into ErrUnreadable; it is deferred.
func Recover(err *error) {
	if recover() != nil {
		*err = ErrUnreadable
	}
}

var position = regexp.MustCompile(`^\[(\d+):\d+\] (.*)$`)

// Line makes one line of an error of the library, with the line of the document
// first where it is known.
func Line(err error) error {
	if err == nil {
		return nil
	}
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	if m := position.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("line %s: %s", m[1], m[2])
	}
	return errors.New(text)
}
