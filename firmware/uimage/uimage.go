// Package uimage reads and writes U-Boot's legacy images: a header of 64 bytes in front of
// a kernel, a ramdisk or a script.
//
//	data, err := uimage.Image{Name: "linux", Arch: uimage.ARM, Type: uimage.Kernel, Load: 0x80008000, Entry: 0x80008000, Data: kernel}.Marshal()
//	img, err := uimage.Parse(data)
//
// Numbers are big endian, the checksums are CRC-32 as in IEEE 802.3, and the time is 0, so
// that the same data give the same bytes. Nothing may follow the data. Its functions are
// safe for concurrent use. Source: U-Boot's include/image.h.
package uimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"itlagent/agent/printable"
)

// Arch is a processor's architecture; a uImage does not tell its byte order.
type Arch byte

// The architectures of this project's boards.
const (
	ARM   Arch = 2
	MIPS  Arch = 5
	ARM64 Arch = 22
	AMD64 Arch = 24
)

// String names an architecture.
func (a Arch) String() string {
	if name, ok := map[Arch]string{ARM: "arm", MIPS: "mips", ARM64: "arm64", AMD64: "amd64"}[a]; ok {
		return name
	}
	return fmt.Sprintf("architecture %d", byte(a))
}

// Type is what an image is.
type Type byte

// The types that are known here.
const (
	Kernel  Type = 2
	Ramdisk Type = 3
	Script  Type = 6
)

// Compression is how the data are packed.
type Compression byte

// The ways to pack.
const (
	None Compression = 0
	Gzip Compression = 1
	LZMA Compression = 3
)

// Sizes in bytes. What U-Boot loads is no larger than the memory of a small board.
const (
	headerSize = 64
	MaxName    = 32
	MaxData    = 256 << 20
)

const (
	magic   = 0x27051956
	osLinux = 5
)

// Image is one image.
type Image struct {
	Name        string // at most MaxName bytes
	Arch        Arch
	Type        Type
	Compression Compression
	Load, Entry uint32 // addresses in the board's memory
	Data        []byte
}

// What Parse finds wrong.
var (
	ErrMagic = errors.New("not a uImage")
	ErrShort = errors.New("a uImage that is cut short")
	ErrCRC   = errors.New("a uImage with a bad CRC")
)

// Marshal returns header and data.
func (i Image) Marshal() ([]byte, error) {
	data := i.Data
	if i.Type == Script { // a list of parts: the size of each, and a 0 behind the last
		data = binary.BigEndian.AppendUint32(nil, uint32(len(i.Data)))
		data = append(append(data, 0, 0, 0, 0), i.Data...)
	}
	if len(i.Name) > MaxName || len(data) > MaxData {
		return nil, fmt.Errorf("a name of %d bytes and %d bytes of data: at most %d and %d", len(i.Name), len(data), MaxName, MaxData)
	}
	h := make([]byte, headerSize, headerSize+len(data))
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }
	put(0, magic)
	put(12, uint32(len(data)))
	put(16, i.Load)
	put(20, i.Entry)
	put(24, crc32.ChecksumIEEE(data))
	h[28], h[29], h[30], h[31] = osLinux, byte(i.Arch), byte(i.Type), byte(i.Compression)
	copy(h[32:], i.Name)
	put(4, crc32.ChecksumIEEE(h)) // over a header without it
	return append(h, data...), nil
}

// Is reports whether data begin as a uImage does.
func Is(data []byte) bool { return len(data) >= 4 && binary.BigEndian.Uint32(data) == magic }

// Parse reads an image and checks both checksums. The data are a part of those given. The
// name is made printable.
func Parse(data []byte) (Image, error) {
	switch {
	case !Is(data):
		return Image{}, ErrMagic
	case len(data) < headerSize:
		return Image{}, ErrShort
	}
	h := bytes.Clone(data[:headerSize])
	at := func(n int) uint32 { return binary.BigEndian.Uint32(h[n:]) }
	sum, size := at(4), at(12)
	copy(h[4:8], []byte{0, 0, 0, 0})
	body := data[headerSize:]
	switch {
	case crc32.ChecksumIEEE(h) != sum:
		return Image{}, fmt.Errorf("%w of its header", ErrCRC)
	case h[28] != osLinux:
		return Image{}, fmt.Errorf("a uImage for another system (%d) than Linux", h[28])
	case size > MaxData || uint64(len(body)) < uint64(size):
		return Image{}, fmt.Errorf("%w: %d of %d bytes", ErrShort, len(body), size)
	case len(body) > int(size):
		return Image{}, fmt.Errorf("%d bytes behind the end of a uImage", len(body)-int(size))
	case crc32.ChecksumIEEE(body) != at(24):
		return Image{}, fmt.Errorf("%w of its data", ErrCRC)
	}
	i := Image{Arch: Arch(h[29]), Type: Type(h[30]), Compression: Compression(h[31]), Load: at(16), Entry: at(20), Data: body}
	name, _, _ := bytes.Cut(h[32:], []byte{0})
	i.Name = printable.Bytes(name)
	if i.Type == Script {
		if len(body) < 8 || binary.BigEndian.Uint32(body[4:]) != 0 || uint64(binary.BigEndian.Uint32(body)) != uint64(len(body)-8) {
			return Image{}, errors.New("a script of several parts")
		}
		i.Data = body[8:]
	}
	return i, nil
}
