package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"itlagent/agent/sccp"
	"itlagent/agent/settings"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/sip"
)

// startSCCP starts what phones register with whose firmware speaks SCCP, in mixed mode by TLS
// too, on the port that phones take for that.
func (n *Node) startSCCP(r *running) error {
	l, secure, err := n.listenSCCP(r)
	if err != nil {
		return err
	}
	r.accept(l, sipLimits(), func(conn net.Conn) { n.serveSCCP(r, conn, conn, false) })
	if id := n.Node().Secure; id != nil {
		r.accept(secure, sipLimits(), n.byTLS(id, func(raw, secure net.Conn) { n.serveSCCP(r, raw, secure, true) }))
	}
	return nil
}

// listenSCCP opens the port of SCCP, and that behind it, which is kept free outside of mixed
// mode, where secure is nil.
func (n *Node) listenSCCP(r *running) (l, secure net.Listener, err error) {
	const tries = 50 // the other one may be taken where the first is free
	for try := 1; ; try++ {
		free := strings.HasSuffix(n.Node().Endpoint("sccp"), ":0")
		if l, err = net.Listen("tcp", n.Node().Endpoint("sccp")); err != nil {
			return nil, nil, n.portError("sccp", err)
		}
		here := l.Addr().(*net.TCPAddr)
		next := &net.TCPAddr{IP: here.IP, Port: here.Port + settings.SecureSkinny}
		var kept io.Closer
		switch {
		case next.Port > 65535:
			err = errors.New("no port is so far behind it")
		case n.Node().Secure != nil:
			secure, err = net.ListenTCP("tcp", next)
			kept = secure
		case free:
			kept, err = reserve(next.IP, next.Port)
		}
		if err == nil {
			r.closers = append(r.closers, func() { l.Close() })
			if kept != nil {
				r.closers = append(r.closers, func() { kept.Close() })
			}
			return l, secure, n.setPort("sccp", l.Addr())
		}
		l.Close()
		if !free || try == tries {
			return nil, nil, n.portError("sccps", err)
		}
	}
}

// skinny is a connection by SCCP.
type skinny struct {
	n      *Node
	conn   *phoneConn
	secure bool
	last   sccp.Restarted // what the phone has said in front of its registration
}

// serveSCCP answers the messages of a phone until it leaves.
func (n *Node) serveSCCP(r *running, raw, conn net.Conn, secure bool) {
	s := &skinny{n: n, conn: &phoneConn{raw: raw, conn: conn}, secure: secure}
	defer n.phones.Gone(s.conn)
	in := bufio.NewReaderSize(conn, 512)
	for {
		patience := sipIdle
		if s.conn.registered.Load() {
			patience = n.phones.Silence()
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := in.Peek(1); err != nil {
			return
		}
		conn.SetReadDeadline(time.Now().Add(sipRequest))
		m, err := sccp.Read(in)
		if err != nil {
			s.log(err)
			return
		}
		if !n.answers(r) {
			return
		}
		answer, on := s.answer(m)
		if answer != nil && s.conn.write(answer.Bytes()) != nil || !on {
			return
		}
	}
}

func (s *skinny) log(err error) {
	s.n.Logf("%s: SCCP %v: %v", s.n.Node().Name, s.conn.conn.RemoteAddr(), err)
}

// answer handles a message. on is false where the connection is to end. What phones say of
// calls, lines and displays is passed over.
func (s *skinny) answer(m sccp.Message) (answer *sccp.Message, on bool) {
	n, now := s.n, time.Now()
	n.phones.Heard(s.conn, now)
	switch m.ID {
	case sccp.RegisterPhone:
		return s.register(m, now)
	case sccp.KeepAlive: // of a phone that is registered, or keeps its back-up alive
		return &sccp.Message{ID: sccp.KeepAliveAck}, true
	case sccp.UnregisterMe:
		n.phones.Left(s.conn)
		return &sccp.Message{ID: sccp.UnregisterAck, Body: make([]byte, 4)}, true
	case sccp.TokenRequest:
		return s.token(m), true
	case sccp.TextAlarm:
		if r, ok := m.Restarted(); ok {
			s.last = r
		}
	case sccp.XMLAlarm:
		if err := s.alarm(m); err != nil {
			s.log(err)
		}
	}
	return nil, true
}

// register accepts a phone, or says why not and ends the connection.
func (s *skinny) register(m sccp.Message, now time.Time) (answer *sccp.Message, on bool) {
	n := s.n
	reg, err := sccp.ReadRegister(m.Body)
	var keepAlive time.Duration
	if err == nil {
		last := ""
		if s.last.Device == reg.Device {
			last = s.last.Last
		}
		keepAlive, err = n.phones.RegisterSCCP(&reg, last, s.conn, s.conn.conn.RemoteAddr().String(), s.secure, now)
	}
	if err != nil {
		s.log(fmt.Errorf("registration: %w", err))
		short := "Malformed registration"
		switch {
		case errors.Is(err, registrar.ErrUnknown):
			short = "Unknown device"
		case errors.Is(err, registrar.ErrInsecure):
			short = "TLS is needed"
		}
		why := sccp.Reject(short)
		return &why, false
	}
	s.last = sccp.Restarted{}
	if n.phones.Holds(s.conn) {
		s.conn.settle(true)
	}
	ack := sccp.Accept(keepAlive, reg.Version)
	return &ack, true
}

// token says whether a phone may come back.
func (s *skinny) token(m sccp.Message) *sccp.Message {
	device, err := m.Token()
	if known, _ := s.n.knows(device); err == nil && known {
		return &sccp.Message{ID: sccp.TokenAck}
	}
	return &sccp.Message{ID: sccp.TokenReject, Body: []byte{60, 0, 0, 0}} // seconds to wait
}

// alarm puts an alarm of a phone into the event log. Phones may fill it up with zeros.
func (s *skinny) alarm(m sccp.Message) error {
	a, err := sip.ReadAlarm([]byte(strings.TrimRight(string(m.Body[:min(len(m.Body), sccp.MaxAlarm)]), "\x00")))
	if err != nil {
		return fmt.Errorf("%w: %w", errAlarm, err)
	}
	return s.n.Report(alarmEvent(s.n.Node(), a))
}
