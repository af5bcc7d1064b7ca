package capture

import (
	"encoding/binary"
	"fmt"
	"time"
)

// What of TLS is looked at (RFC 5246, RFC 8446).
const (
	tls10 = 0x0301
	tls13 = 0x0304

	changeCipher = 20
	alertRecord  = 21
	handshake    = 22
	content      = 23

	helloClient    = 1
	helloServer    = 2
	certificateMsg = 11

	supportedVersions = 43
)

func versionName(v uint16) string {
	switch {
	case v == 0x0300:
		return "SSL 3.0"
	case v >= tls10 && v <= tls13:
		return fmt.Sprintf("TLS 1.%d", v-tls10)
	}
	return fmt.Sprintf("TLS %04x", v)
}

// alertNames are those by which a client refuses, and what else is met (RFC 5246, 7.2).
var alertNames = map[uint8]string{
	0: "close notify", 10: "unexpected message", 20: "bad record", 40: "handshake failure", 42: "bad certificate", 43: "unsupported certificate",
	44: "certificate revoked", 45: "certificate expired", 46: "certificate unknown", 48: "unknown CA", 49: "access denied", 70: "protocol version",
	71: "insufficient security", 80: "internal error", 112: "unrecognised name",
}

func alertName(code uint8) string {
	if name := alertNames[code]; name != "" {
		return name
	}
	return "unnamed"
}

// aboutCertificate reports whether an alert refuses a certificate.
func aboutCertificate(code uint8) bool { return code >= 42 && code <= 46 || code == 48 }

// tlsParser reads the records of a connection.
type tlsParser struct {
	r      *reader
	f      *flow
	event  *Event
	side   [2]tlsSide
	opened bool // the client's first message was seen
}

// tlsSide is one direction.
type tlsSide struct {
	head      []byte // of a record, until it has five bytes
	kind      byte
	left      int    // bytes of the record to come
	record    []byte // of an alert
	messages  []byte // of the handshake, that are not whole yet
	total     int    // bytes of handshake in clear
	encrypted bool
	stopped   bool
}

const recordHead = 5 // bytes

func (t *tlsParser) data(dir int, at time.Time, b []byte) {
	s := &t.side[dir]
	t.event.End = at
	for len(b) > 0 && !s.stopped {
		if s.left == 0 {
			take := b[:min(len(b), recordHead-len(s.head))]
			s.head = append(s.head, take...)
			b = b[len(take):]
			if len(s.head) < recordHead {
				return
			}
			t.begin(dir)
			continue
		}
		take := b[:min(len(b), s.left)]
		b = b[len(take):]
		s.left -= len(take)
		t.piece(dir, take)
	}
}

// begin reads the head of a record.
func (t *tlsParser) begin(dir int) {
	s := &t.side[dir]
	s.kind, s.left = s.head[0], int(binary.BigEndian.Uint16(s.head[3:]))
	const most = 1<<14 + 2048 // bytes (RFC 5246, 6.2.3)
	if s.head[1] != 3 || s.kind < changeCipher || s.kind > content || s.left > most {
		s.stopped = true
	}
	s.head, s.record = s.head[:0], s.record[:0]
	switch {
	case s.kind == changeCipher:
		s.encrypted = true
		t.event.TLS.Finished[dir] = true
	case s.kind == content:
		s.encrypted = true
		t.event.TLS.Records[dir]++
	}
}

// piece takes a part of a record.
func (t *tlsParser) piece(dir int, b []byte) {
	s := &t.side[dir]
	switch {
	case s.kind == content:
		t.event.TLS.Content[dir] += len(b)
	case s.kind == alertRecord:
		if s.record = append(s.record, b[:min(len(b), 2)]...); s.left == 0 {
			t.alert(dir)
		}
	case s.kind == handshake && !s.encrypted:
		if s.total += len(b); s.total > maxHandshake {
			s.stopped = true
			t.event.TLS.Lost = true
			return
		}
		s.messages = append(s.messages, b...)
		t.handshake(dir)
	}
}

const maxAlerts = 8

func (t *tlsParser) alert(dir int) {
	s, tls := &t.side[dir], t.event.TLS
	if len(tls.Alerts) >= maxAlerts {
		return
	}
	a := Alert{By: dir, Encrypted: s.encrypted}
	if !s.encrypted && len(s.record) >= 2 {
		a.Level, a.Code = s.record[0], s.record[1]
	}
	tls.Alerts = append(tls.Alerts, a)
}

// handshake reads the messages that are whole.
func (t *tlsParser) handshake(dir int) {
	s := &t.side[dir]
	for len(s.messages) >= 4 {
		n := int(s.messages[1])<<16 | int(s.messages[2])<<8 | int(s.messages[3])
		if len(s.messages) < 4+n {
			return
		}
		body := s.messages[4 : 4+n]
		if dir == fromClient && !t.opened {
			// The first message is the hello, or what came before is missing.
			t.opened = true
			t.event.TLS.Lost = t.event.TLS.Lost || s.messages[0] != helloClient
		}
		switch kind := s.messages[0]; {
		case dir == fromServer && kind == helloServer:
			t.hello(body)
		case dir == fromServer && kind == certificateMsg && len(t.event.TLS.Certificates) == 0:
			t.event.TLS.Certificates = t.r.certificates(body)
		}
		s.messages = s.messages[4+n:]
	}
}

// hello reads what the server has chosen.
func (t *tlsParser) hello(b []byte) {
	const fixed = 2 + 32 + 1 // version, random, length of the session's name
	if len(b) < fixed || len(b) < fixed+int(b[fixed-1])+3 {
		return
	}
	tls := t.event.TLS
	tls.Version = binary.BigEndian.Uint16(b)
	b = b[fixed+int(b[fixed-1]):]
	tls.Suite = binary.BigEndian.Uint16(b)
	if b = b[3:]; len(b) < 2 {
		return
	}
	for b = b[2:]; len(b) >= 4; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return
		}
		if binary.BigEndian.Uint16(b) == supportedVersions && n == 2 {
			tls.Version = binary.BigEndian.Uint16(b[4:])
		}
		b = b[4+n:]
	}
}

func (t *tlsParser) lost(dir int) {
	t.side[dir].stopped = true
	t.event.TLS.Lost = true
}

func (t *tlsParser) end(e ending) {
	t.event.TLS.Closed, t.event.TLS.Reset = e.by, e.reset
	t.event.End = e.at
	if e.evicted {
		t.event.TLS.Lost = true
	}
}

// certificates reads the message Certificate of TLS (RFC 5246, 7.4.2), up to a few of a chain.
func (r *reader) certificates(b []byte) (all [][]byte) {
	const most = 8
	length := func() int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
	if len(b) < 3 || length() != len(b)-3 {
		return nil
	}
	for b = b[3:]; len(b) >= 3 && len(all) < most; {
		n := length()
		if n > len(b)-3 {
			return nil
		}
		der, ok := r.store(b[3 : 3+n])
		if !ok {
			return nil
		}
		all = append(all, der)
		b = b[3+n:]
	}
	return all
}
