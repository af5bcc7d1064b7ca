package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Opcodes of RFC 1350, section 5, and RFC 2347.
const (
	opRRQ   = 1
	opDATA  = 3
	opACK   = 4
	opERROR = 5
	opOACK  = 6
)

// Error codes of RFC 1350, appendix I, and RFC 2347.
const (
	codeOther    = 0
	codeNotFound = 1
	codeDiskFull = 3 // RFC 2349: the answer to a tsize that is too large
	codeIllegal  = 4
	codeUnknown  = 5 // transfer ID
	codeOptions  = 8
)

// Sizes of packets, in bytes.
const (
	headerSize  = 4   // opcode and block number
	plainBlock  = 512 // without the blksize option
	maxRequest  = 512 // RFC 2347, section "Packet Formats"
	minBlksize  = 8   // RFC 2348
	maxBlksize  = 65464
	maxWindow   = 65535 // RFC 7440
	maxTimeout  = 255   // seconds, RFC 2349
	maxErrorOut = 64    // text of an ERROR that we send
)

// packet is one that a server may send.
type packet struct {
	op      uint16
	block   uint16 // of DATA
	data    []byte // of DATA; it stands in the datagram's bytes
	code    uint16 // of ERROR
	text    string // of ERROR, as it came
	options []option
}

type option struct{ name, value string }

var errMalformed = errors.New("malformed packet")

// parse reads a datagram of a server. A request or an ACK is none: only clients send
// those.
func parse(b []byte) (packet, error) {
	if len(b) < headerSize {
		return packet{}, errMalformed
	}
	p := packet{op: binary.BigEndian.Uint16(b)}
	switch p.op {
	case opDATA:
		p.block, p.data = binary.BigEndian.Uint16(b[2:]), b[headerSize:]
	case opERROR:
		// The text ends with a NUL; a server that leaves it out has still said no.
		p.code = binary.BigEndian.Uint16(b[2:])
		p.text, _, _ = strings.Cut(string(b[headerSize:min(len(b), maxRequest)]), "\x00")
	case opOACK:
		if len(b) > maxRequest {
			return packet{}, errMalformed
		}
		for rest := string(b[2:]); rest != ""; {
			name, behind, found := strings.Cut(rest, "\x00")
			value, next, ended := strings.Cut(behind, "\x00")
			if !found || !ended || name == "" || value == "" {
				return packet{}, errMalformed
			}
			p.options = append(p.options, option{strings.ToLower(name), value})
			rest = next
		}
	default:
		return packet{}, errMalformed
	}
	return p, nil
}

// Options are what a request asks for beyond RFC 1350; the zero value asks for nothing.
// A server may leave out each, and is then served as RFC 1350 has it.
type Options struct {
	BlockSize int  // bytes in a block, 8 to 65464; 0: not asked, blocks have 512 bytes
	Timeout   int  // seconds before the server sends again, 1 to 255; 0: not asked
	Size      bool // asks for the file's size, so that a file above the limit is refused before its first byte
	Window    int  // blocks before an ACK, 1 to 65535; 0: not asked, every block has its ACK
}

func (o Options) valid() error {
	switch {
	case o.BlockSize != 0 && (o.BlockSize < minBlksize || o.BlockSize > maxBlksize):
		return fmt.Errorf("block size %d: not from %d to %d bytes", o.BlockSize, minBlksize, maxBlksize)
	case o.Timeout < 0 || o.Timeout > maxTimeout:
		return fmt.Errorf("timeout %d: not from 1 to %d seconds", o.Timeout, maxTimeout)
	case o.Window < 0 || o.Window > maxWindow:
		return fmt.Errorf("window %d: not from 1 to %d blocks", o.Window, maxWindow)
	}
	return nil
}

// request returns the RRQ for the name, in octet mode.
func request(name string, ask Options) ([]byte, error) {
	b := append([]byte{0, opRRQ}, name+"\x00octet\x00"...)
	add := func(name string, value int) { b = append(b, name+"\x00"+strconv.Itoa(value)+"\x00"...) }
	if ask.Size {
		add("tsize", 0)
	}
	if ask.BlockSize != 0 {
		add("blksize", ask.BlockSize)
	}
	if ask.Timeout != 0 {
		add("timeout", ask.Timeout)
	}
	if ask.Window != 0 {
		add("windowsize", ask.Window)
	}
	if name == "" || strings.Contains(name, "\x00") || len(b) > maxRequest {
		return nil, fmt.Errorf("%w: %.140q", ErrName, name)
	}
	return b, nil
}

func ack(block uint16) []byte {
	return []byte{0, opACK, byte(block >> 8), byte(block)}
}

func errorPacket(code uint16, text string) []byte {
	b := append([]byte{0, opERROR, byte(code >> 8), byte(code)}, text[:min(len(text), maxErrorOut)]...)
	return append(b, 0)
}
