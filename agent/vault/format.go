package vault

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"math/bits"
)

// Version is the version of the format that this package writes, and the newest
// that it reads.
const Version = 1

// Sizes in bytes.
const (
	blockHeaderSize = 64
	headerSize      = 64 // of a fragment
	hashSize        = 16 // of SHA-256, cut
	trailerSize     = 32
	idSize          = 16
	valueHashSize   = 8

	// maxMark bounds the payload of a mark: 16 keys of 12 bytes.
	maxMark = 32 + MaxKeys*(3+MaxKeyLength+9)
)

const (
	blockMagic    = "ITLVAULT"
	fragmentMagic = "ITLf"
	trailerMagic  = "ITLc"
)

// kind tells fragments apart.
type kind uint8

const (
	kindValue     kind = 1
	kindTombstone kind = 2
	kindMessage   kind = 3
	kindMark      kind = 4
)

// Flags of a fragment.
const (
	flagCopy = 1 << 0 // carried along from another block, or a mark: it has no trailer
	flagLast = 1 << 1 // the end of its value
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// blockHeader begins a block that was erased whole.
type blockHeader struct {
	eraseShift, programShift uint8
	id                       [idSize]byte
	erases                   uint32
	seq                      uint64 // grows along the ring
	by                       uint64 // seq of the head that erased the block; 0 for formatting
	block                    uint32
}

func (h *blockHeader) encode(b []byte) {
	clear(b[:blockHeaderSize])
	copy(b, blockMagic)
	binary.BigEndian.PutUint16(b[8:], Version)
	b[10], b[11] = h.eraseShift, h.programShift
	copy(b[12:], h.id[:])
	binary.BigEndian.PutUint32(b[28:], h.erases)
	binary.BigEndian.PutUint64(b[32:], h.seq)
	binary.BigEndian.PutUint64(b[40:], h.by)
	binary.BigEndian.PutUint32(b[48:], h.block)
	binary.BigEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crcTable))
}

// decodeBlockHeader returns ok where the header is whole, and its version.
func decodeBlockHeader(b []byte) (h blockHeader, version uint16, ok bool) {
	if string(b[:8]) != blockMagic || binary.BigEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], crcTable) {
		return h, 0, false
	}
	h = blockHeader{
		eraseShift: b[10], programShift: b[11], id: [idSize]byte(b[12:28]),
		erases: binary.BigEndian.Uint32(b[28:]), seq: binary.BigEndian.Uint64(b[32:]),
		by: binary.BigEndian.Uint64(b[40:]), block: binary.BigEndian.Uint32(b[48:]),
	}
	return h, binary.BigEndian.Uint16(b[8:]), true
}

// fragment is the header of a part of a value.
type fragment struct {
	kind   kind
	flags  uint8
	key    [MaxKeyLength]byte
	rev    uint64
	seq    uint64 // of the block that it was written into
	total  uint32 // bytes of the whole value
	offset uint32 // of the part in the value
	length uint32 // of the part
	value  [valueHashSize]byte
}

// crc covers the first n bytes of a header or trailer. It begins with the
// vault's identity, so that no value can hold bytes that look like one.
func (l *layout) crc(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(l.id[:], crcTable), crcTable, b)
}

func (l *layout) encode(b []byte, f *fragment) {
	clear(b[:headerSize])
	copy(b, fragmentMagic)
	b[4], b[5] = byte(f.kind), f.flags
	copy(b[8:], f.key[:])
	binary.BigEndian.PutUint64(b[20:], f.rev)
	binary.BigEndian.PutUint64(b[28:], f.seq)
	binary.BigEndian.PutUint32(b[36:], f.total)
	binary.BigEndian.PutUint32(b[40:], f.offset)
	binary.BigEndian.PutUint32(b[44:], f.length)
	copy(b[48:], f.value[:])
	binary.BigEndian.PutUint32(b[60:], l.crc(b[:60]))
}

// decodeFragment returns ok where the header is whole and says nothing that is
// impossible. room is what the block has from the header on.
func (l *layout) decodeFragment(b []byte, room int) (f fragment, ok bool) {
	if string(b[:4]) != fragmentMagic || binary.BigEndian.Uint32(b[60:]) != l.crc(b[:60]) {
		return f, false
	}
	f = fragment{
		kind: kind(b[4]), flags: b[5], key: [MaxKeyLength]byte(b[8:20]),
		rev: binary.BigEndian.Uint64(b[20:]), seq: binary.BigEndian.Uint64(b[28:]),
		total: binary.BigEndian.Uint32(b[36:]), offset: binary.BigEndian.Uint32(b[40:]), length: binary.BigEndian.Uint32(b[44:]),
		value: [valueHashSize]byte(b[48:56]),
	}
	if f.kind < kindValue || f.kind > kindMark || f.total > MaxValue || f.length > f.total || f.offset > f.total-f.length ||
		int(f.length) > room-headerSize-hashSize {
		return f, false
	}
	return f, true
}

// layout is what follows from a geometry and the identity of a vault.
type layout struct {
	id    [idSize]byte
	block int // bytes of an erase block
	grain int // everything begins at a multiple of it, in bytes
	chunk int // bytes programmed at once

	sha   hash.Hash // used again and again: mounting hashes every record
	place [idSize + 8]byte
	sum   [sha256.Size]byte
}

func (l *layout) align(n int) int { return (n + l.grain - 1) &^ (l.grain - 1) }

// first is where a block's fragments begin.
func (l *layout) first() int { return l.align(blockHeaderSize) }

// size returns the bytes that a fragment takes up in a block.
func (l *layout) size(length int, flags uint8) int {
	n := l.align(headerSize + length + hashSize)
	if flags&flagCopy == 0 {
		n += l.align(trailerSize)
	}
	return n
}

// hash binds a fragment to its vault and place: copied bytes are no fragment
// elsewhere, and no value can hold one.
func (l *layout) hash(block, at int, headerAndPayload []byte) (out [hashSize]byte) {
	if l.sha == nil {
		l.sha = sha256.New()
	}
	copy(l.place[:], l.id[:])
	binary.BigEndian.PutUint32(l.place[idSize:], uint32(block))
	binary.BigEndian.PutUint32(l.place[idSize+4:], uint32(at))
	l.sha.Reset()
	l.sha.Write(l.place[:])
	l.sha.Write(headerAndPayload)
	return [hashSize]byte(l.sha.Sum(l.sum[:0]))
}

// trailer encodes the commit mark of a fragment.
func (l *layout) trailer(b []byte, k kind, flags uint8, key [MaxKeyLength]byte, rev uint64) {
	copy(b, trailerMagic)
	b[4], b[5], b[6], b[7] = byte(k), flags, 0, 0
	copy(b[8:], key[:])
	binary.BigEndian.PutUint64(b[20:], rev)
	binary.BigEndian.PutUint32(b[28:], l.crc(b[:28]))
}

// decodeTrailer returns ok where a commit mark is whole.
func (l *layout) decodeTrailer(b []byte) (k kind, flags uint8, key [MaxKeyLength]byte, rev uint64, ok bool) {
	if string(b[:4]) != trailerMagic || binary.BigEndian.Uint32(b[28:]) != l.crc(b[:28]) {
		return 0, 0, key, 0, false
	}
	return kind(b[4]), b[5], [MaxKeyLength]byte(b[8:20]), binary.BigEndian.Uint64(b[20:]), true
}

// bitErrors counts the bits in which two slices of one length differ.
func bitErrors(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// usedLength returns the length of b without the erased bytes at its end.
func usedLength(b []byte) int {
	n := len(b)
	for n >= 8 && binary.NativeEndian.Uint64(b[n-8:]) == ^uint64(0) {
		n -= 8
	}
	for n > 0 && b[n-1] == 0xff {
		n--
	}
	return n
}

func valueHash(value []byte) [valueHashSize]byte {
	sum := sha256.Sum256(value)
	return [valueHashSize]byte(sum[:])
}

func keyBytes(key string) (out [MaxKeyLength]byte) { copy(out[:], key); return out }

func keyString(key [MaxKeyLength]byte) string {
	n := 0
	for n < len(key) && key[n] != 0 {
		n++
	}
	return string(key[:n])
}
