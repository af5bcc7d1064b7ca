package vault

import (
	"encoding/binary"
	"errors"
	"math"
)

// Marks and messages are MessagePack: arrays of integers, strings and arrays. The
// few forms that they need are written here, for the usual library brings
// encoding/json along and weighs 330 KB of a program of at most 6 MiB; the tests
// compare with it. Integers take the shortest form when they are written, and any
// when they are read.

// mark opens a block for new data: what was copied into it before is complete.
type mark struct {
	Covers int32    // the block whose needed content was copied here; -1 for none
	Seq    uint64   // of that block
	Newest []newest // the newest revision of every key
}

// newest tells which revision of a key was the newest when a block was opened.
type newest struct {
	Key string
	Rev uint64
}

// message is one entry of the messages.
type message struct {
	Time     int64  // Unix seconds of the first
	Last     int64  // Unix seconds of the last
	Count    uint32 // equal ones in a row
	Replaces uint64 // revision of the entry that this one stands for; 0 for none
	Text     string
}

// maxNewest bounds the array of a mark.
const maxNewest = 16

func (m *mark) encode() []byte {
	b := append([]byte(nil), 0x93)
	b = putInt(b, int64(m.Covers))
	b = putUint(b, m.Seq)
	b = putArray(b, len(m.Newest))
	for _, n := range m.Newest {
		b = append(b, 0x92)
		b = putString(b, n.Key)
		b = putUint(b, n.Rev)
	}
	return b
}

func (m *mark) decode(b []byte) error {
	r := reader{b: b}
	r.array(3, 3)
	covers := r.int()
	m.Seq = r.uint()
	m.Newest = make([]newest, r.array(0, maxNewest))
	for i := range m.Newest {
		r.array(2, 2)
		m.Newest[i] = newest{r.string(), r.uint()}
	}
	if covers < math.MinInt32 || covers > math.MaxInt32 {
		r.bad = true
	}
	m.Covers = int32(covers)
	return r.end()
}

func (m *message) encode() []byte {
	b := append([]byte(nil), 0x95)
	b = putInt(b, m.Time)
	b = putInt(b, m.Last)
	b = putUint(b, uint64(m.Count))
	b = putUint(b, m.Replaces)
	return putString(b, m.Text)
}

func (m *message) decode(b []byte) error {
	r := reader{b: b}
	r.array(5, 5)
	m.Time, m.Last = r.int(), r.int()
	count := r.uint()
	m.Replaces, m.Text = r.uint(), r.string()
	if count > math.MaxUint32 {
		r.bad = true
	}
	m.Count = uint32(count)
	return r.end()
}

func putUint(b []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

func putInt(b []byte, n int64) []byte {
	switch {
	case n >= 0:
		return putUint(b, uint64(n))
	case n >= -32:
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
}

func putArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
}

func putString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	}
	return append(b, s...)
}

var errRecord = errors.New("not a record")

// reader reads the forms; the first that does not fit makes it bad, after which
// everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errRecord
	}
	return nil
}

// take returns n bytes, or none.
func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// number returns an integer's bits, and whether they are those of a signed form.
func (r *reader) number() (bits uint64, signed bool) {
	switch c := r.byte(); {
	case c < 0x80:
		return uint64(c), false
	case c >= 0xe0:
		return uint64(int64(int8(c))), true
	case c >= 0xcc && c <= 0xd3:
		size := 1 << ((c - 0xcc) % 4)
		for _, x := range r.take(size) {
			bits = bits<<8 | uint64(x)
		}
		if signed = c >= 0xd0; signed {
			shift := 64 - 8*size
			bits = uint64(int64(bits<<shift) >> shift)
		}
		return bits, signed
	}
	r.bad = true
	return 0, false
}

func (r *reader) uint() uint64 {
	n, signed := r.number()
	if signed && int64(n) < 0 {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) int() int64 {
	n, signed := r.number()
	if !signed && n > math.MaxInt64 {
		r.bad = true
		return 0
	}
	return int64(n)
}

// length reads a length of up to 16 bits behind its first byte.
func (r *reader) length(size int) (n int) {
	for _, x := range r.take(size) {
		n = n<<8 | int(x)
	}
	return n
}

func (r *reader) array(least, most int) int {
	n := 0
	switch c := r.byte(); {
	case c&0xf0 == 0x90:
		n = int(c & 0x0f)
	case c == 0xdc:
		n = r.length(2)
	default:
		r.bad = true
	}
	if r.bad || n < least || n > most {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) string() string {
	n := 0
	switch c := r.byte(); {
	case c&0xe0 == 0xa0:
		n = int(c & 0x1f)
	case c == 0xd9:
		n = r.length(1)
	case c == 0xda:
		n = r.length(2)
	default:
		r.bad = true
	}
	return string(r.take(n))
}
