package sccp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// The call manager's side.

// errRegister says that a registration is not what phones send.
var errRegister = errors.New("not a registration")

// ReadRegister reads the body of a RegisterPhone. What older phones leave out at its end is
// zero. The name of the device is returned in upper case; one that has other characters than
// letters, digits, '-' and '_' is an error. A load or a stamp with characters that cannot be
// seen is left out.
func ReadRegister(body []byte) (Register, error) {
	if len(body) < shortestRegister {
		return Register{}, fmt.Errorf("%w: %d bytes", errRegister, len(body))
	}
	name, err := deviceName(body)
	if err != nil {
		return Register{}, err
	}
	field := func(at, size int) []byte {
		if len(body) < at+size {
			return make([]byte, size)
		}
		return body[at : at+size]
	}
	r := Register{Device: name, Type: binary.LittleEndian.Uint32(body[28:]), Version: field(40, 4)[0],
		MAC: text(field(52, 12)), Load: text(field(92, 32)), Stamp: text(field(124, 48))}
	r.Address = netip.AddrFrom4([4]byte(body[24:28]))
	if v6 := netip.AddrFrom16([16]byte(field(72, 16))); r.Address.IsUnspecified() && !v6.IsUnspecified() {
		r.Address = v6
	}
	return r, nil
}

// deviceName reads the name that a registration and a request for a token begin with.
func deviceName(body []byte) (string, error) {
	name, _, _ := bytes.Cut(body[:min(16, len(body))], []byte{0})
	for _, c := range name {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return "", fmt.Errorf("%w: device %.20q", errRegister, name)
		}
	}
	if len(name) == 0 || len(name) > 15 {
		return "", fmt.Errorf("%w: device %.20q", errRegister, name)
	}
	return strings.ToUpper(string(name)), nil
}

// Token returns which device asks in a TokenRequest.
func (m Message) Token() (device string, err error) { return deviceName(m.Body) }

// text returns the characters up to the first zero, "" where one cannot be seen.
func text(field []byte) string {
	field, _, _ = bytes.Cut(field, []byte{0})
	for _, c := range field {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return string(field)
}

// Accept answers a registration: a keep-alive is awaited so often, and the protocol is the
// phone's, or the newest one that is known here.
func Accept(keepAlive time.Duration, version byte) Message {
	body := make([]byte, 20)
	seconds := uint32(keepAlive / time.Second)
	binary.LittleEndian.PutUint32(body, seconds)
	copy(body[4:10], "D-M-Y")                         // how dates are written
	binary.LittleEndian.PutUint32(body[12:], seconds) // with a back-up
	body[16] = min(version, protocolVersion)
	return Message{ID: RegisterAck, Body: body}
}

// Reject refuses a registration, with at most 32 bytes of why.
func Reject(why string) Message {
	body := make([]byte, 33)
	copy(body[:32], why)
	return Message{ID: RegisterReject, Body: body}
}

// Order tells a registered phone what to do.
func Order(a Action) Message {
	return Message{ID: ResetPhone, Body: binary.LittleEndian.AppendUint32(nil, uint32(a))}
}

// Restarted is what the text of an alarm says.
type Restarted struct{ Device, Load, Last string }

// Restarted returns how a phone says that it has reset, "Reset-Reset"; ok is false for
// another message, and for an alarm of something else.
func (m Message) Restarted() (r Restarted, ok bool) {
	if m.ID != TextAlarm || len(m.Body) < 4 {
		return r, false
	}
	for word := range strings.FieldsSeq(text(m.Body[4:min(len(m.Body), 4+alarmText)])) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "Name":
			r.Device = strings.ToUpper(value)
		case "Load":
			r.Load = value
		case "Last":
			r.Last = value
		}
	}
	return r, r.Device != "" && r.Last != ""
}
