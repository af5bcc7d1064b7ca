// Package bounded has the strings of records on flash: MessagePack of at most
// MaxLen bytes each, for types whose codec msgp generates.
//
//	type record struct {
//		Name bounded.Text
//		Hash bounded.Bytes
//	}
//
// What is longer is refused by its header, before the library reads it: a length of
// 32 bits becomes negative where an int has 32 bits, on which msgp 1.6.5 panics.
// The types are safe for concurrent use as strings and slices are. The forms are
// those of the MessagePack specification, "str" and "bin".
package bounded

import "github.com/tinylib/msgp/msgp"

// MaxLen bounds a Text and a Bytes, in bytes: the most that MessagePack's forms
// with a length of one byte have.
const MaxLen = 255

// MessagePack's forms with longer lengths.
const (
	str16, str32 = 0xda, 0xdb
	bin16, bin32 = 0xc5, 0xc6
)

// Text is a string of at most MaxLen bytes.
type Text string

// Cut returns the first MaxLen bytes of s.
func Cut(s string) Text { return Text(s[:min(len(s), MaxLen)]) }

// MarshalMsg appends the text; msgp.ErrLimitExceeded where it is too long.
func (t Text) MarshalMsg(b []byte) ([]byte, error) {
	if len(t) > MaxLen {
		return b, msgp.ErrLimitExceeded
	}
	return msgp.AppendString(b, string(t)), nil
}

// UnmarshalMsg reads a text and returns what is behind it.
func (t *Text) UnmarshalMsg(b []byte) ([]byte, error) {
	if len(b) > 0 && (b[0] == str16 || b[0] == str32) {
		return b, msgp.ErrLimitExceeded
	}
	s, rest, err := msgp.ReadStringBytes(b)
	*t = Text(s)
	return rest, err
}

// Msgsize returns the most bytes that the text takes up.
func (t Text) Msgsize() int { return msgp.StringPrefixSize + len(t) }

// Bytes is at most MaxLen bytes. None and nil are the same, and are read as nil.
type Bytes []byte

// MarshalMsg appends the bytes; msgp.ErrLimitExceeded where they are too many.
func (d Bytes) MarshalMsg(b []byte) ([]byte, error) {
	if len(d) > MaxLen {
		return b, msgp.ErrLimitExceeded
	}
	return msgp.AppendBytes(b, d), nil
}

// UnmarshalMsg reads the bytes, of which it returns a copy in d, and returns what
// is behind them.
func (d *Bytes) UnmarshalMsg(b []byte) ([]byte, error) {
	*d = nil
	if len(b) > 0 && (b[0] == bin16 || b[0] == bin32) {
		return b, msgp.ErrLimitExceeded
	}
	read, rest, err := msgp.ReadBytesBytes(b, nil)
	if len(read) > 0 {
		*d = read
	}
	return rest, err
}

// Msgsize returns the most bytes that the bytes take up.
func (d Bytes) Msgsize() int { return msgp.BytesPrefixSize + len(d) }
