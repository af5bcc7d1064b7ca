package vaultimage

import "encoding/binary"

// unpacker reads the few forms of MessagePack that a vault holds.
type unpacker struct {
	b   []byte
	bad bool
}

func (u *unpacker) next(n int) []byte {
	if n > len(u.b) {
		u.bad, u.b = true, nil
		return make([]byte, n)
	}
	out := u.b[:n]
	u.b = u.b[n:]
	return out
}

func (u *unpacker) array() int {
	switch c := u.next(1)[0]; {
	case c&0xf0 == 0x90:
		return int(c & 0x0f)
	case c == 0xdc:
		return int(binary.BigEndian.Uint16(u.next(2)))
	}
	u.bad = true
	return 0
}

func (u *unpacker) int() int64 {
	c := u.next(1)[0]
	if c < 0x80 || c >= 0xe0 {
		return int64(int8(c))
	}
	if c < 0xcc || c > 0xd3 {
		u.bad = true
		return 0
	}
	size := 1 << (c & 3)
	var raw [8]byte
	copy(raw[8-size:], u.next(size))
	n := int64(binary.BigEndian.Uint64(raw[:]))
	if shift := 64 - 8*size; c >= 0xd0 { // signed
		return n << shift >> shift
	}
	return n
}

func (u *unpacker) str() string {
	switch c := u.next(1)[0]; {
	case c&0xe0 == 0xa0:
		return string(u.next(int(c & 0x1f)))
	case c == 0xd9:
		return string(u.next(int(u.next(1)[0])))
	}
	u.bad = true
	return ""
}
