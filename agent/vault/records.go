package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"

	"itlagent/agent/bounded"
)

// Marks and messages are MessagePack: arrays of integers, strings and arrays, in
// their shortest forms. docs/vault-format.md describes them.

//go:generate go tool msgp -o=records_gen.go -io=false -tests=false -unexported

// An array has at most as many elements as a mark names keys: maxNewest.
//msgp:limit arrays:16
//msgp:tuple mark newest message
//msgp:ignore integer

// mark opens a block for new data: what was copied into it before is complete.
type mark struct {
	Covers integer  // the block whose needed content was copied here; -1 for none
	Seq    uint64   // of that block
	Newest []newest // the newest revision of every key
}

// newest tells which revision of a key was the newest when a block was opened.
type newest struct {
	Key bounded.Text
	Rev uint64
}

// message is one entry of the messages.
type message struct {
	Time     integer // Unix seconds of the first
	Last     integer // Unix seconds of the last
	Count    uint32  // equal ones in a row
	Replaces uint64  // revision of the entry that this one stands for; 0 for none
	Text     bounded.Text
}

// maxNewest bounds the array of a mark.
const maxNewest = MaxKeys

// errRecord says that bytes are not one record and nothing else.
var errRecord = errors.New("not a record")

func (m *mark) encode() []byte { return marshal(m) }

func (m *mark) decode(b []byte) error {
	if err := unmarshal(m, b); err != nil {
		return err
	}
	if m.Covers < -1 || m.Covers > math.MaxInt32 {
		return fmt.Errorf("%w: block %d", errRecord, m.Covers)
	}
	return nil
}

func (m *message) encode() []byte { return marshal(m) }

func (m *message) decode(b []byte) error {
	err := unmarshal(m, b)
	if err == nil && len(m.Text) > MaxMessageText {
		err = fmt.Errorf("%w: %d bytes of text", errRecord, len(m.Text))
	}
	return err
}

func marshal(m msgp.Marshaler) []byte {
	b, err := m.MarshalMsg(nil)
	if err != nil {
		panic(err) // only a text over its limit fails, and there is none
	}
	return b
}

// unmarshal wants one record and nothing behind it.
func unmarshal(m msgp.Unmarshaler, b []byte) error {
	rest, err := m.UnmarshalMsg(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes behind it", errRecord, len(rest))
	}
	return nil
}

// integer is written in an unsigned form where it is not negative, and in eight
// bytes where it is below -32. The library would choose signed forms of every
// width; the bytes on flash are older than its use.
type integer int64

// MarshalMsg appends the integer.
func (n integer) MarshalMsg(b []byte) ([]byte, error) {
	switch {
	case n >= 0:
		return msgp.AppendUint64(b, uint64(n)), nil
	case n >= -32:
		return msgp.AppendInt64(b, int64(n)), nil
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n)), nil
}

// UnmarshalMsg reads an integer of any form and returns what is behind it.
func (n *integer) UnmarshalMsg(b []byte) ([]byte, error) {
	i, rest, err := msgp.ReadInt64Bytes(b)
	*n = integer(i)
	return rest, err
}

// Msgsize returns the most bytes that an integer takes up.
func (n integer) Msgsize() int { return msgp.Int64Size }
