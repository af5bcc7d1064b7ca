package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The blocks of pcapng that packets need (draft-ietf-opsawg-pcapng, section 4).
const (
	sectionHeader  = 0x0a0d0d0a
	interfaceBlock = 1
	oldPacket      = 2
	simplePacket   = 3
	enhancedPacket = 6
)

const (
	packetHead   = 28      // bytes of a packet block before the packet
	maxInterface = 4 << 10 // bytes of an interface block
)

// gate passes on the blocks of a pcapng file that packets need, once their lengths hold together,
// and leaves the others out. The library behind it does not compare lengths, and keeps every
// interface and name record that a file has.
type gate struct {
	in         *bufio.Reader
	order      binary.ByteOrder
	interfaces int
	snap       uint32 // of the section's first interface
	block, out []byte // out is what of block was not yet taken
}

func (g *gate) Read(p []byte) (int, error) {
	for len(g.out) == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.out)
	g.out = g.out[n:]
	return n, nil
}

var errBlock = errors.New("a block of the pcapng file is damaged")

// next reads the next block that is passed on.
func (g *gate) next() error {
	head, err := g.in.Peek(12)
	if len(head) == 0 {
		return err
	}
	if len(head) < 12 {
		return io.ErrUnexpectedEOF
	}
	if binary.BigEndian.Uint32(head) == sectionHeader {
		g.interfaces = 0
		switch magic := binary.BigEndian.Uint32(head[8:]); magic {
		case 0x1a2b3c4d:
			g.order = binary.BigEndian
		case 0x4d3c2b1a:
			g.order = binary.LittleEndian
		default:
			return fmt.Errorf("%w: byte-order magic %08x", errBlock, magic)
		}
	}
	if g.order == nil {
		return fmt.Errorf("%w: it does not begin with a section", errBlock)
	}
	kind, length := g.order.Uint32(head), int64(g.order.Uint32(head[4:]))
	if length < 12 || length%4 != 0 {
		return fmt.Errorf("%w: length %d", errBlock, length)
	}
	switch kind {
	case sectionHeader, interfaceBlock, oldPacket, simplePacket, enhancedPacket:
		return g.pass(kind, length)
	}
	_, err = io.CopyN(io.Discard, g.in, length)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// pass reads a block and passes it on without what is not needed.
func (g *gate) pass(kind uint32, length int64) error {
	most := int64(maxPacket + packetHead + 64<<10)
	if kind == interfaceBlock {
		most = maxInterface
	}
	if length > most {
		return fmt.Errorf("%w: %d bytes in one block", errBlock, length)
	}
	if int64(cap(g.block)) < length {
		g.block = make([]byte, most)
	}
	b := g.block[:length]
	if _, err := io.ReadFull(g.in, b); err != nil {
		return io.ErrUnexpectedEOF
	}
	if int64(g.order.Uint32(b[length-4:])) != length {
		return fmt.Errorf("%w: its two lengths differ", errBlock)
	}
	keep, err := g.needed(kind, b)
	if err != nil {
		return err
	}
	g.order.PutUint32(b[4:], uint32(keep))
	g.order.PutUint32(b[keep-4:], uint32(keep))
	g.out = b[:keep]
	return nil
}

// needed returns how long a block is without its options.
func (g *gate) needed(kind uint32, b []byte) (int, error) {
	short := fmt.Errorf("%w: a block of %d bytes", errBlock, len(b))
	switch kind {
	case sectionHeader:
		if len(b) < 28 {
			return 0, short
		}
		return 28, nil
	case interfaceBlock:
		if len(b) < 20 {
			return 0, short
		}
		if g.interfaces++; g.interfaces > maxInterfaces {
			return 0, fmt.Errorf("%w: at most %d interfaces", ErrLimit, maxInterfaces)
		}
		if g.interfaces == 1 {
			g.snap = g.order.Uint32(b[12:])
		}
		return len(b), nil // its options say what time stamps mean
	case simplePacket:
		if len(b) < 16 {
			return 0, short
		}
		size := g.order.Uint32(b[8:])
		if g.snap != 0 {
			size = min(size, g.snap)
		}
		if int64(size) > int64(len(b)-16) || size > maxPacket {
			return 0, fmt.Errorf("%w: a packet of %d bytes in a block of %d", errBlock, size, len(b))
		}
		return len(b), nil
	}
	if len(b) < packetHead+4 {
		return 0, short
	}
	size := int64(g.order.Uint32(b[20:]))
	padded := (size + 3) &^ 3
	if size > maxPacket || packetHead+padded+4 > int64(len(b)) {
		return 0, fmt.Errorf("%w: a packet of %d bytes in a block of %d", errBlock, size, len(b))
	}
	return int(packetHead + padded + 4), nil
}
