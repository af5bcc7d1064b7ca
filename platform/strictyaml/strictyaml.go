// Package strictyaml reads YAML into structures: keys that are not known are errors,
// and an error is one line that begins with where it is.
//
//	err := strictyaml.Unmarshal(data, &conf)
//
// A document has at most MaxSize bytes and MaxDepth levels, which is known before it is
// parsed: the library would take 65 KB of memory for each level of brackets. Its
// functions are pure and safe for concurrent use.
package strictyaml

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// Limits of a document.
const (
	MaxSize  = 256 << 10 // bytes
	MaxDepth = 32        // collections inside each other
)

// ErrUnreadable says that a document cannot be read for a reason that the library
// does not tell: it panics on some that are no YAML.
var ErrUnreadable = errors.New("it is not YAML that can be read")

// ErrLimit says that a document is larger or deeper than any that is read: nothing is known
// of what it says.
var ErrLimit = errors.New("over a limit")

// limitError is an ErrLimit that says which.
type limitError string

func (e limitError) Error() string      { return string(e) }
func (limitError) Is(target error) bool { return target == ErrLimit }

// Unmarshal reads a document.
func Unmarshal(data []byte, to any) (err error) {
	if len(data) > MaxSize {
		return limitError(fmt.Sprintf("the file has %d bytes, at most %d", len(data), MaxSize))
	}
	defer Recover(&err)
	if err := checkDepth(string(data)); err != nil {
		return err
	}
	return Line(yaml.UnmarshalWithOptions(data, to, yaml.Strict()))
}

// checkDepth refuses a document that is nested too deeply. It reads the tokens alone,
// which takes memory in proportion to the size. Block collections are told apart by the
// columns where they begin.
func checkDepth(text string) error {
	flow := 0
	var columns []int // where the open block collections begin
	for _, t := range lexer.Tokenize(text) {
		column := 0
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType:
			column = t.Position.Column
		case token.MappingValueType:
			if t.Prev != nil {
				column = t.Prev.Position.Column
			}
		}
		if flow == 0 && column > 0 {
			for len(columns) > 0 && columns[len(columns)-1] >= column {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, column)
		}
		if flow+len(columns) > MaxDepth {
			return limitError(fmt.Sprintf("line %d: nested deeper than %d levels", t.Position.Line, MaxDepth))
		}
	}
	return nil
}

// Recover turns a panic of the library into ErrUnreadable; it is deferred.
func Recover(err *error) {
	if recover() != nil {
		*err = ErrUnreadable
	}
}

// mistyped is how the library says that a value is of another kind than it belongs there.
var mistyped = regexp.MustCompile(`cannot unmarshal .+ into Go (?:struct field|value) ?\S* of type (\S+)`)

// wanted says in words what a Go type takes.
func wanted(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "a text"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"), strings.HasPrefix(goType, "float"):
		return "a number"
	}
	return "keys with values"
}

var position = regexp.MustCompile(`^\[(\d+):\d+\] (.*)$`)

// Line makes one line of an error of the library, with the line of the document
// first where it is known.
func Line(err error) error {
	if err == nil {
		return nil
	}
	text, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
	if m := mistyped.FindStringSubmatch(text); m != nil {
		text = strings.Replace(text, m[0], wanted(m[1])+" belongs here", 1)
	}
	if m := position.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("line %s: %s", m[1], m[2])
	}
	return errors.New(text)
}
