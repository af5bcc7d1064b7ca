package vault

import (
	"encoding/binary"
	"hash/crc32"
)

// SealHeader writes the checksum of a changed block header.
func SealHeader(b []byte) {
	binary.BigEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crcTable))
}

// SealFragment writes the checksum and hash of the changed fragment at an offset
// of the memory, as far as it lies in its block.
func SealFragment(mem []byte, at, blockSize, grain int) {
	l := layout{id: [idSize]byte(mem[12:28]), block: blockSize, grain: grain}
	block, within := at/blockSize, at%blockSize
	binary.BigEndian.PutUint32(mem[at+60:], l.crc(mem[at:at+60]))
	length := int(binary.BigEndian.Uint32(mem[at+44:]))
	if end := within + headerSize + length; length <= blockSize && end+hashSize <= blockSize {
		sum := l.hash(block, within, mem[at:at+headerSize+length])
		copy(mem[at+headerSize+length:], sum[:])
	}
}
