package vault

import (
	"encoding/binary"
	"hash/crc32"
)

// SealHeader writes the checksum of a changed block header.
func SealHeader(b []byte) {
	binary.BigEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crcTable))
}
