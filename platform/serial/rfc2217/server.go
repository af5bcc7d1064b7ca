package rfc2217

import (
	"encoding/binary"
	"net"
	"sync"
	"time"

	"itlagent/platform/serial"
)

// Controller is the port behind a server.
type Controller interface {
	serial.Control
	Mode() serial.Mode // as it is now
}

// signature is what the server calls itself.
const signature = "itlagent"

// Server is the server's end of a connection: what is read is what the client sends to
// the port, what is written goes to the client. Commands are carried out, and answered
// with what the port then is, while Read is called. Read and Write may be called side
// by side, Write by several.
type Server struct {
	net.Conn
	control Controller
	parser  parser
	options options

	breaking time.Time // when the client began a break
	dtr, rts bool

	mu sync.Mutex // writes of Conn
}

// NewServer serves a port to a connection.
func NewServer(conn net.Conn, control Controller) *Server {
	s := &Server{Conn: conn, control: control, dtr: true, rts: true}
	known := func(o byte) bool { return o == optBinary || o == optSGA || o == optComPort }
	s.options = options{
		send:     func(verb, option byte) { s.raw([]byte{iac, verb, option}) },
		wantUs:   func(o byte) bool { return known(o) || o == optEcho },
		wantThem: known,
	}
	s.parser = parser{option: s.option, handler: s.handle}
	return s
}

// option agrees to options. Clients wait for a first word on modem lines.
func (s *Server) option(verb, option byte) {
	on := s.options.them[optComPort]
	s.options.got(verb, option)
	if !on && s.options.them[optComPort] {
		s.tellModem()
	}
}

func (s *Server) raw(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.Conn.Write(b)
	return err
}

// Read implements io.Reader.
func (s *Server) Read(b []byte) (int, error) {
	for {
		n, err := s.Conn.Read(b)
		if data := s.parser.data(b[:n]); len(data) > 0 || err != nil || len(b) == 0 {
			return len(data), err
		}
	}
}

// Write implements io.Writer.
func (s *Server) Write(b []byte) (int, error) {
	if err := s.raw(escape(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// handle carries out a client's command. What the port refuses stays as it was, which
// the answer says.
func (s *Server) handle(command byte, value []byte) {
	m := s.control.Mode()
	switch command {
	case cmdSignature:
		if len(value) == 0 {
			s.raw(encode(cmdSignature+answer, []byte(signature)...))
		}
	case cmdBaud:
		if len(value) != 4 {
			return
		}
		if v := binary.BigEndian.Uint32(value); v > 0 && v <= serial.MaxBaud {
			m.Baud = int(v)
			s.control.SetMode(m)
		}
		s.raw(encode(cmdBaud+answer, binary.BigEndian.AppendUint32(nil, uint32(s.control.Mode().Baud))...))
	case cmdDataSize, cmdParity, cmdStopSize, cmdControl:
		if len(value) == 1 {
			s.raw(encode(command+answer, s.single(command, value[0], m)))
		}
	case cmdModemState, cmdModemStateMask:
		if command == cmdModemStateMask {
			s.raw(encode(command+answer, value[:min(1, len(value))]...))
		}
		s.tellModem()
	case cmdLineStateMask, cmdPurge:
		s.raw(encode(command+answer, value[:min(1, len(value))]...))
	}
}

// single sets what one byte says, and returns the byte that says how it is now.
func (s *Server) single(command, v byte, m serial.Mode) byte {
	switch command {
	case cmdDataSize:
		if v != 0 {
			m.DataBits = int(v)
			s.trySet(m)
		}
		return byte(s.control.Mode().DataBits)
	case cmdParity:
		for p, n := range parities {
			if n == v {
				m.Parity = p
				s.trySet(m)
			}
		}
		return parities[s.control.Mode().Parity]
	case cmdStopSize:
		if v != 0 {
			m.StopBits = int(v)
			s.trySet(m)
		}
		return byte(s.control.Mode().StopBits)
	}
	return s.line(v, m)
}

func (s *Server) trySet(m serial.Mode) {
	if m.Check() == nil {
		s.control.SetMode(m)
	}
}

// line carries out a value of cmdControl.
func (s *Server) line(v byte, m serial.Mode) byte {
	on := map[bool]byte{true: 0, false: 1} // each "off" is one more than its "on"
	switch v {
	case ctlFlowNone, ctlFlowXON, ctlFlowRTS:
		for f, n := range flows {
			if n == v {
				m.Flow = f
				s.control.SetMode(m)
			}
		}
		return flows[s.control.Mode().Flow]
	case ctlFlowQuery:
		return flows[m.Flow]
	case ctlBreakOn:
		s.breaking = time.Now()
	case ctlBreakOff:
		if !s.breaking.IsZero() {
			s.control.Break(min(max(time.Since(s.breaking), time.Millisecond), maxBreak))
			s.breaking = time.Time{}
		}
	case ctlBreakQuery:
		return ctlBreakOn + on[!s.breaking.IsZero()]
	case ctlDTRQuery:
		return ctlDTROn + on[s.dtr]
	case ctlRTSQuery:
		return ctlRTSOn + on[s.rts]
	case ctlDTROn, ctlDTROff, ctlRTSOn, ctlRTSOff:
		dtr, rts := s.dtr, s.rts
		switch v {
		case ctlDTROn, ctlDTROff:
			dtr = v == ctlDTROn
		default:
			rts = v == ctlRTSOn
		}
		if s.control.SetModem(dtr, rts) == nil {
			s.dtr, s.rts = dtr, rts
		}
	case ctlInFlow:
		return ctlInFlowNone
	}
	return v
}

// maxBreak bounds the break that a client may ask for.
const maxBreak = 2 * time.Second

// tellModem sends the state of the modem lines where the port has them.
func (s *Server) tellModem() {
	m, err := s.control.Modem()
	if err != nil {
		// Peers wait for it: an unknown port is said to be ready.
		m = serial.Modem{CTS: true, DSR: true, DCD: true}
	}
	var v byte
	for bit, set := range map[byte]bool{stateCTS: m.CTS, stateDSR: m.DSR, stateRI: m.RI, stateDCD: m.DCD} {
		if set {
			v |= bit
		}
	}
	s.raw(encode(cmdModemState+answer, v))
}
