package capture

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"itlagent/testbench/evidence"
	"itlagent/testbench/sip"
)

// sipParser reads what a phone sends to its call manager without encryption.
type sipParser struct {
	r    *reader
	f    *flow
	buf  []byte
	stop bool
}

const sipRoom = sip.MaxHead + sip.MaxBody // bytes of a message

func (s *sipParser) data(dir int, at time.Time, b []byte) {
	for dir == fromClient && !s.stop && len(b) > 0 {
		take := b[:min(len(b), sipRoom-len(s.buf))]
		s.buf = append(s.buf, take...)
		b = b[len(take):]
		for {
			n := messageLength(s.buf)
			if n < 0 || n == 0 && len(s.buf) >= sipRoom || n > sipRoom {
				s.stop, s.buf = true, nil
				return
			}
			if n == 0 || n > len(s.buf) {
				break
			}
			s.r.message(s.f.client, s.f.server, s.buf[:n], at)
			s.buf = append(s.buf[:0], s.buf[n:]...)
		}
	}
}

// messageLength returns how long the message is that bytes begin with: 0 where its head is not
// whole, -1 where it is none.
func messageLength(b []byte) int {
	if trimmed := bytes.TrimLeft(b, "\r\n"); len(trimmed) == 0 {
		return 0 // keep-alive
	}
	head, _, found := bytes.Cut(b, []byte("\r\n\r\n"))
	if !found {
		return 0
	}
	length := 0
	for line := range strings.SplitSeq(string(head), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "l") {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil || n < 0 {
				return -1
			}
			length = n
		}
	}
	return len(head) + 4 + length
}

func (s *sipParser) lost(int) { s.stop, s.buf = true, nil }

func (s *sipParser) end(ending) {}

// message takes one SIP message.
func (r *reader) message(client, server netip.AddrPort, b []byte, at time.Time) {
	req, err := sip.NewReader(bytes.NewReader(b)).Next()
	if err != nil {
		return
	}
	m := &Message{Method: req.Method}
	if alarm, err := req.Alarm(); err == nil && alarm != nil {
		if report, err := evidence.FromAlarm(alarm, at); err == nil {
			m.Report, m.Device = &report, "SEP"+report.MAC.String()
		}
	} else if reg, err := req.Register(); err == nil && reg != nil {
		m.Device = reg.Device
	}
	if m.Device == "" {
		return
	}
	if p := r.named(client.Addr(), m.Device); p != nil {
		r.add(p, &Event{Time: at, End: at, Server: server, Message: m})
	}
}
