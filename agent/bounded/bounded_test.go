package bounded_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"itlagent/agent/bounded"
)

// Both are written in their shortest forms and read back, up to 255 bytes.
func TestLengths(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 254, 255, 256, 65536} {
		text := bounded.Text(strings.Repeat("x", n))
		b, err := text.MarshalMsg([]byte{0xc0})
		if n > bounded.MaxLen {
			if !errors.Is(err, msgp.ErrLimitExceeded) {
				t.Errorf("text of %d: %v", n, err)
			}
			if got := bounded.Cut(string(text)); len(got) != bounded.MaxLen {
				t.Errorf("text of %d is cut to %d", n, len(got))
			}
			b = msgp.AppendString([]byte{0xc0}, string(text))
		}
		var back bounded.Text
		rest, err := back.UnmarshalMsg(append(b[1:], 7))
		if ok := n <= bounded.MaxLen; (err == nil) != ok || ok && (back != text || !bytes.Equal(rest, []byte{7})) {
			t.Errorf("text of %d: %d bytes, rest %x, %v", n, len(back), rest, err)
		}
		data := bounded.Bytes(bytes.Repeat([]byte{0xff}, n))
		if b, err = data.MarshalMsg(nil); n > bounded.MaxLen {
			if !errors.Is(err, msgp.ErrLimitExceeded) {
				t.Errorf("%d bytes: %v", n, err)
			}
			b = msgp.AppendBytes(nil, data)
		}
		var copied bounded.Bytes
		rest, err = copied.UnmarshalMsg(append(b, 7))
		if ok := n <= bounded.MaxLen; (err == nil) != ok || ok && (!bytes.Equal(copied, data) || !bytes.Equal(rest, []byte{7})) || n == 0 && copied != nil {
			t.Errorf("%d bytes: %d, rest %x, %v", n, len(copied), rest, err)
		}
	}
}

// A length that is not true, and another type, are errors and no panics, on
// machines of 32 bits too.
func TestHostile(t *testing.T) {
	for _, b := range [][]byte{nil, {0xd9}, {0xd9, 200, 'x'}, {0xda, 0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff, 'x'}, {0xc4}, {0xc4, 9, 1}, {0xc5, 0, 1, 1}, {0xc6, 0xff, 0xff, 0xff, 0xff, 1}, {0xa5, 'x'}, {0x90}, {7}} {
		var text bounded.Text
		if _, err := text.UnmarshalMsg(b); err == nil {
			t.Errorf("%x is the text %q", b, text)
		}
		var data bounded.Bytes
		if _, err := data.UnmarshalMsg(b); err == nil {
			t.Errorf("%x is the bytes %x", b, data)
		}
	}
}
