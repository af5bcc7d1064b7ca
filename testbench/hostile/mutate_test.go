package hostile_test

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
)

// mutate returns a copy of a sample with one to four things done to it: bits flipped,
// bytes cut off, inserted, deleted, doubled or swapped, and lengths set to extremes.
func mutate(r *rand.Rand, sample []byte) []byte {
	data := slices.Clone(sample)
	for range 1 + r.IntN(4) {
		if len(data) == 0 {
			return data
		}
		at := r.IntN(len(data))
		n := 1 + r.IntN(min(64, len(data)-at))
		switch r.IntN(10) {
		case 0, 1:
			data[at] ^= 1 << r.IntN(8)
		case 2:
			data[at] = byte(r.Uint32())
		case 3:
			data = data[:at]
		case 4:
			data = slices.Delete(data, at, at+n)
		case 5:
			more := make([]byte, n)
			for i := range more {
				more[i] = byte(r.Uint32())
			}
			data = slices.Insert(data, at, more...)
		case 6:
			data = slices.Insert(data, at, data[at:at+n]...)
		case 7, 8: // what may be a length
			extreme := []uint16{0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff, uint16(len(data)), uint16(len(data) - at), uint16(len(data) - at + 1)}
			if at+2 <= len(data) {
				binary.BigEndian.PutUint16(data[at:], extreme[r.IntN(len(extreme))])
			}
		case 9: // two elements, or what may be some
			other := r.IntN(len(data))
			m := min(n, len(data)-other)
			a, b := slices.Clone(data[at:at+min(m, n)]), slices.Clone(data[other:other+m])
			copy(data[at:], b)
			copy(data[other:], a)
		}
	}
	return data
}
