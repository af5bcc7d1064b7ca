package vault

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// What is written here is what the usual library writes, to the byte, and what it
// writes is read, in every form of every number.
func TestRecordsAgainstLibrary(t *testing.T) {
	numbers := []uint64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, math.MaxUint64}
	texts := []string{"", "x", strings.Repeat("a", 31), strings.Repeat("b", 32), strings.Repeat("c", 255), strings.Repeat("d", 256)}
	for i, n := range numbers {
		m := message{Time: int64(n >> 1), Last: -int64(n>>1) - 1, Count: uint32(n), Replaces: n, Text: texts[i%len(texts)]}
		lib := msgp.AppendArrayHeader(nil, 5)
		lib = msgp.AppendUint64(lib, uint64(m.Time)) // the library's signed forms are no shorter
		at := len(lib)
		lib = msgp.AppendInt64(lib, m.Last)
		rest := msgp.AppendUint32(nil, m.Count)
		rest = msgp.AppendUint64(rest, m.Replaces)
		rest = msgp.AppendString(rest, m.Text)
		lib = append(lib, rest...)
		got := m.encode()
		if !bytes.HasPrefix(got, lib[:at]) || !bytes.HasSuffix(got, rest) {
			t.Errorf("%+v: %x, the library writes %x", m, got, lib)
		}
		for _, b := range [][]byte{got, lib} {
			var back message
			if err := back.decode(b); err != nil || back != m {
				t.Errorf("%x: %+v, %v, want %+v", b, back, err, m)
			}
			for cut := range b {
				if err := back.decode(b[:cut]); err == nil {
					t.Errorf("%x cut to %d bytes is read", b, cut)
				}
			}
			if err := back.decode(append(b, 0)); err == nil {
				t.Errorf("%x with a byte behind it is read", b)
			}
		}
		left, err := msgp.Skip(got)
		if err != nil || len(left) > 0 {
			t.Errorf("%x: the library leaves %d bytes, %v", got, len(left), err)
		}
	}
	k := mark{Covers: -1, Seq: 77, Newest: []newest{{"itl", 5}, {"config", 1 << 40}}}
	var back mark
	if err := back.decode(k.encode()); err != nil || !reflect.DeepEqual(back, k) {
		t.Errorf("%+v, %v", back, err)
	}
	lib := msgp.AppendArrayHeader(nil, 3)
	lib = msgp.AppendInt32(lib, -1)
	lib = msgp.AppendUint64(lib, 77)
	lib = msgp.AppendArrayHeader(lib, 2)
	for _, n := range k.Newest {
		lib = msgp.AppendString(msgp.AppendArrayHeader(lib, 2), n.Key)
		lib = msgp.AppendUint64(lib, n.Rev)
	}
	if !bytes.Equal(lib, k.encode()) {
		t.Errorf("%x, the library writes %x", k.encode(), lib)
	}
	for name, bad := range map[string][]byte{
		"too many":            msgp.AppendArrayHeader(msgp.AppendUint64(msgp.AppendInt32(msgp.AppendArrayHeader(nil, 3), 0), 0), 65535),
		"a negative number":   {0x93, 0, 0xff, 0x90},
		"a block too large":   append([]byte{0x93, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0}, 0, 0x90),
		"a map":               {0x83, 0, 0, 0x90},
		"a string for an int": {0x93, 0xa1, 'x', 0, 0x90},
	} {
		if err := back.decode(bad); err == nil {
			t.Errorf("%s: %+v", name, back)
		}
	}
	var m message
	for name, bad := range map[string][]byte{
		"a count too large": {0x95, 0, 0, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xa0},
		"a time too large":  {0x95, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xa0},
		"a number for text": {0x95, 0, 0, 0, 0, 0},
	} {
		if err := m.decode(bad); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}
