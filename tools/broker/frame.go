package broker

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The protocol on the UNIX socket: frames of a type, a length (16 bits, big endian) and
// so many bytes. The two ends are the same program; a first frame with the version
// keeps different ones apart.
const (
	frameHello   = 'h' // to the broker: version, backlog wanted, name
	frameData    = 'd' // both ways: bytes
	frameEarlier = 'b' // to the client: bytes from before it joined
	frameCommand = 'c' // to the broker
	frameReply   = 'r' // to the client: empty, or why not
	frameEvent   = 'e' // to the client: what happened
	frameRefused = 'x' // to the client: why bytes were not sent
)

// version is that of the protocol.
const version = "1"

// maxFrame bounds a frame, in bytes.
const maxFrame = 1<<16 - 1

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b := append([]byte{kind, 0, 0}, payload[:min(len(payload), maxFrame)]...)
	binary.BigEndian.PutUint16(b[1:], uint16(len(b)-3))
	_, err := w.Write(b)
	return err
}

// readFrame reads a frame into buf, which has room for the longest.
func readFrame(r io.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(head[1:]))
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, fmt.Errorf("a frame is cut: %w", err)
	}
	return head[0], buf[:n], nil
}
