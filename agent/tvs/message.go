package tvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"itlagent/agent/trustlist"
)

// Type is the third byte of a message.
type Type uint8

// The message types.
const (
	CertVerificationReq Type = 1
	CertVerificationRes Type = 2
	QueryCertReq        Type = 3
	QueryCertRes        Type = 4
)

// String returns the name that a cluster's trace prints.
func (t Type) String() string {
	switch t {
	case CertVerificationReq:
		return "TVS_MSG_CERT_VERIFICATION_REQ"
	case CertVerificationRes:
		return "TVS_MSG_CERT_VERIFICATION_RES"
	case QueryCertReq:
		return "TVS_MSG_QUERY_CERT_REQ"
	case QueryCertRes:
		return "TVS_MSG_QUERY_CERT_RES"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Message is one request or response. Which fields it carries depends on Type.
type Message struct {
	Type     Type
	Reserved uint8  // sent as 0 by phones; servers send anything
	Session  uint32 // echoed by the response

	Device      string           // requests: "CP-8861-SEPB000B4BA0AEE"
	Subject     string           // QueryCertReq
	Issuer      string           // QueryCertReq
	Serial      []byte           // QueryCertReq
	Certificate []byte           // CertVerificationReq and QueryCertRes: DER
	Status      uint8            // responses: 0 is valid
	Roles       []trustlist.Role // responses, where valid
	TTL         uint32           // responses, where valid: seconds
}

const (
	discriminator = 0x57
	version       = 0x01
	headerSize    = 10 // bytes
)

// Tags of the elements: a tag byte, a 16-bit length, a value.
const (
	tagDevice      = 1
	tagCertificate = 2
	tagSubject     = 3
	tagIssuer      = 4
	tagSerial      = 5
	tagStatus      = 7
	tagRoles       = 8
	tagTTL         = 9
)

// deviceKind precedes the device name in its element.
const deviceKind = 0x01

// ErrProtocol is wrapped by every error about the form of a message.
var ErrProtocol = errors.New("not a TVS message")

func protocol(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// Append appends the encoded message to b, elements in the order of the traces.
// It errs only where the payload would exceed MaxPayload bytes.
func (m *Message) Append(b []byte) ([]byte, error) {
	at := len(b)
	b = append(b, discriminator, version, byte(m.Type), m.Reserved)
	b = binary.BigEndian.AppendUint32(b, m.Session)
	b = append(b, 0, 0)
	put := func(tag byte, value ...byte) {
		b = append(b, tag, byte(len(value)>>8), byte(len(value)))
		b = append(b, value...)
	}
	switch m.Type {
	case CertVerificationReq, QueryCertReq:
		put(tagDevice, append([]byte{deviceKind}, m.Device...)...)
	default:
		put(tagStatus, m.Status)
	}
	if m.Type == QueryCertReq {
		put(tagSubject, append([]byte(m.Subject), 0)...)
		put(tagIssuer, append([]byte(m.Issuer), 0)...)
		put(tagSerial, m.Serial...)
	}
	if m.Type == CertVerificationReq || m.Type == QueryCertRes && m.Status == 0 {
		put(tagCertificate, m.Certificate...)
	}
	if (m.Type == CertVerificationRes || m.Type == QueryCertRes) && m.Status == 0 {
		roles := make([]byte, len(m.Roles))
		for i, r := range m.Roles {
			roles[i] = byte(r)
		}
		put(tagRoles, roles...)
		put(tagTTL, binary.BigEndian.AppendUint32(nil, m.TTL)...)
	}
	n := len(b) - at - headerSize
	if n > MaxPayload {
		return nil, protocol("payload of %d bytes, at most %d", n, MaxPayload)
	}
	binary.BigEndian.PutUint16(b[at+8:], uint16(n))
	return b, nil
}

// Decode reads one message that fills b exactly. Unknown elements are skipped,
// known ones may occur once. The message's slices alias b.
func Decode(b []byte) (*Message, error) {
	m, n, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	if len(b)-headerSize != n {
		return nil, protocol("header says %d bytes, %d follow", n, len(b)-headerSize)
	}
	var seen uint16
	for p := b[headerSize:]; len(p) > 0; {
		if len(p) < 3 {
			return nil, protocol("message ends inside an element's tag and length")
		}
		tag, n := p[0], int(binary.BigEndian.Uint16(p[1:]))
		if n > len(p)-3 {
			return nil, protocol("element %d of %d bytes is longer than the %d left", tag, n, len(p)-3)
		}
		value := p[3 : 3+n : 3+n]
		p = p[3+n:]
		if tag == 0 || tag > tagTTL {
			continue
		}
		if seen&(1<<tag) != 0 {
			return nil, protocol("element %d occurs twice", tag)
		}
		seen |= 1 << tag
		if err := m.set(tag, value); err != nil {
			return nil, err
		}
	}
	for _, tag := range required(m) {
		if seen&(1<<tag) == 0 {
			return nil, protocol("%v lacks element %d", m.Type, tag)
		}
	}
	return m, nil
}

// required lists the elements without which a message says nothing.
func required(m *Message) []byte {
	switch {
	case m.Type == CertVerificationReq:
		return []byte{tagCertificate}
	case m.Type == QueryCertReq:
		return []byte{tagIssuer, tagSerial}
	case m.Type == QueryCertRes && m.Status == 0:
		return []byte{tagStatus, tagCertificate, tagRoles}
	}
	return []byte{tagStatus}
}

func (m *Message) set(tag byte, value []byte) error {
	fixed := map[byte]int{tagStatus: 1, tagTTL: 4}
	if want, ok := fixed[tag]; ok && len(value) != want {
		return protocol("element %d is %d bytes long, not %d", tag, len(value), want)
	}
	switch tag {
	case tagDevice:
		if len(value) < 1 {
			return protocol("empty device name")
		}
		m.Device = string(value[1:])
	case tagCertificate:
		m.Certificate = value
	case tagSubject:
		m.Subject = text(value)
	case tagIssuer:
		m.Issuer = text(value)
	case tagSerial:
		m.Serial = value
	case tagStatus:
		m.Status = value[0]
	case tagRoles:
		for _, r := range value {
			m.Roles = append(m.Roles, trustlist.Role(r))
		}
	case tagTTL:
		m.TTL = binary.BigEndian.Uint32(value)
	}
	return nil
}

// text returns a value without its closing NUL, if it has one.
func text(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == 0 {
		b = b[:n-1]
	}
	return string(b)
}

func decodeHeader(b []byte) (*Message, int, error) {
	if len(b) < headerSize {
		return nil, 0, protocol("%d bytes, a header has %d", len(b), headerSize)
	}
	m := &Message{Type: Type(b[2]), Reserved: b[3], Session: binary.BigEndian.Uint32(b[4:])}
	n := int(binary.BigEndian.Uint16(b[8:]))
	switch {
	case b[0] != discriminator || b[1] != version:
		return nil, 0, protocol("it begins with %02x %02x, not %02x %02x", b[0], b[1], discriminator, version)
	case m.Type < CertVerificationReq || m.Type > QueryCertRes:
		return nil, 0, protocol("%v", m.Type)
	case n > MaxPayload:
		return nil, 0, protocol("payload of %d bytes, at most %d", n, MaxPayload)
	}
	return m, n, nil
}

// Read reads one message. It asks for no more memory than the header's length,
// which is at most MaxPayload bytes. A connection that ends inside a message
// gives io.ErrUnexpectedEOF; one that ends before it, io.EOF.
func Read(r io.Reader) (*Message, error) {
	b := make([]byte, headerSize, headerSize+512)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	_, n, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	b = append(b, make([]byte, n)...)
	if _, err := io.ReadFull(r, b[headerSize:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return Decode(b)
}
