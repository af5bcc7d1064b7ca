// Package sccp reads and writes the messages of SCCP ("Skinny") that a phone needs to
// register and to hear a reset, and those with which a call manager answers.
//
//	conn.Write(sccp.Register{Device: "SEP64A0E71502CC", Type: 436}.Message().Bytes())
//	m, err := sccp.Read(conn)
//	if action, ok := m.Reset(); ok { ... }
//
//	reg, err := sccp.ReadRegister(m.Body) // of the other side
//	conn.Write(sccp.Accept(30*time.Second, reg.Version).Bytes())
//
// A message has at most MaxBody bytes behind its identifier; no more is read of one. All
// functions are pure but for Read. Sources: chan-sccp, and the SCCP alarms of public
// traces; what they leave open is in quirks.go.
package sccp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// MaxBody bounds what a message has behind its identifier, in bytes. The largest that a
// phone gets here has 40; others are passed over.
const MaxBody = 4 << 10

// MaxAlarm bounds the XML of an alarm, in bytes.
const MaxAlarm = 2048

// ID says what a message is.
type ID uint32

// The messages.
const (
	KeepAlive      ID = 0x0000 // phone to call manager
	RegisterPhone  ID = 0x0001
	TextAlarm      ID = 0x0020 // phone to call manager, before it registers
	UnregisterMe   ID = 0x0027
	TokenRequest   ID = 0x0029 // may the phone come back?
	RegisterAck    ID = 0x0081 // call manager to phone
	RegisterReject ID = 0x009d
	ResetPhone     ID = 0x009f
	KeepAliveAck   ID = 0x0100
	UnregisterAck  ID = 0x0118
	TokenAck       ID = 0x011a
	TokenReject    ID = 0x011b
	XMLAlarm       ID = 0x015a // phone to call manager, before it registers
)

// Message is one message.
type Message struct {
	ID   ID
	Body []byte
}

// ErrTooLarge says that a message has more than MaxBody bytes, or fewer than an identifier.
var ErrTooLarge = errors.New("SCCP message of an impossible length")

// Read reads one message. Before the first byte of one the error is io.EOF.
func Read(r io.Reader) (Message, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	length := binary.LittleEndian.Uint32(head[:]) // of the identifier and the body
	if length < 4 || length > MaxBody+4 {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, length)
	}
	m := Message{ID: ID(binary.LittleEndian.Uint32(head[8:])), Body: make([]byte, length-4)}
	if _, err := io.ReadFull(r, m.Body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	return m, nil
}

// Bytes writes a message, with the header version of phones that negotiate none.
func (m Message) Bytes() []byte {
	b := make([]byte, 12, 12+len(m.Body))
	binary.LittleEndian.PutUint32(b, uint32(len(m.Body)+4))
	binary.LittleEndian.PutUint32(b[8:], uint32(m.ID))
	return append(b, m.Body...)
}

// word returns the n-th number of a body.
func (m Message) word(n int) (uint32, bool) {
	if len(m.Body) < 4*n+4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(m.Body[4*n:]), true
}

// KeepAlive returns how often a call manager that accepted the phone wants to hear of it,
// within bounds.
func (m Message) KeepAlive() time.Duration {
	n, ok := m.word(0)
	if !ok || n == 0 {
		return usualKeepAlive
	}
	return min(time.Duration(n)*time.Second, longestKeepAlive)
}

// Action is what a call manager tells a phone.
type Action uint32

// The actions.
const (
	Reset       Action = 1
	Restart     Action = 2
	ApplyConfig Action = 3
)

// Reset returns what a ResetPhone tells; ok is false for another message, and for an
// action that is not known.
func (m Message) Reset() (a Action, ok bool) {
	n, whole := m.word(0)
	return Action(n), m.ID == ResetPhone && whole && n >= 1 && n <= 3
}

// Register is what a phone says of itself.
type Register struct {
	Device  string // at most 15 bytes
	Address netip.Addr
	Type    uint32 // the model as clusters count them
	MAC     string // 12 hex digits
	Load    string // at most 31 bytes
	Stamp   string // of its configuration, at most 47 bytes
	Version byte   // of the protocol; written as the one that this package speaks
}

// Message writes the registration.
func (r Register) Message() Message {
	var b []byte
	text := func(s string, size int) {
		field := make([]byte, size)
		copy(field[:size-1], s)
		b = append(b, field...)
	}
	words := func(all ...uint32) {
		for _, n := range all {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
	}
	var v4 [4]byte
	var v6 [16]byte
	if a := r.Address.Unmap(); a.Is4() {
		v4 = a.As4()
	} else if a.Is6() {
		v6 = a.As16()
	}
	text(r.Device, 16)
	words(0, 1) // user, instance
	b = append(b, v4[:]...)
	words(r.Type, maxStreams, 0)
	b = append(b, protocolVersion, 0, 0, 0)
	words(0, 0) // conferences: at most, active
	b = append(b, (r.MAC + "000000000000")[:12]...)
	words(0, maxLines) // scope of the IPv4 address
	b = append(b, v6[:]...)
	words(0) // and of the IPv6 one
	text(r.Load, 32)
	text(r.Stamp, 48)
	return Message{ID: RegisterPhone, Body: b}
}

// Alarm writes an alarm, of which at most MaxAlarm bytes go out.
func Alarm(xml []byte) Message {
	return Message{ID: XMLAlarm, Body: xml[:min(len(xml), MaxAlarm)]}
}

// Restarting says in a text how the phone last reset, "25: Name=... Last=Initialized". One
// that is too long ends early.
func Restarting(text string) Message {
	body := make([]byte, 4+alarmText+8)
	binary.LittleEndian.PutUint32(body, informational)
	copy(body[4:3+alarmText], text)
	return Message{ID: TextAlarm, Body: body}
}
