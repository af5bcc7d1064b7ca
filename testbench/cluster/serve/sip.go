package serve

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/accept"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/sip"
)

// Limits of the SIP service.
const (
	sipIdle     = 2 * time.Minute  // between requests; phones refresh within it
	sipRequest  = 10 * time.Second // from the first byte of a request to its last
	sipDatagram = sip.MaxHead + sip.MaxBody
)

// startSIP starts what a phone reports to: it takes alarms and answers 202. Calls
// are not its matter.
func (n *Node) startSIP(r *running) error {
	const tries = 20 // a free tcp port may be taken for udp
	for try := 1; ; try++ {
		free := strings.HasSuffix(n.Node().Endpoint("sip"), ":0")
		l, err := net.Listen("tcp", n.Node().Endpoint("sip"))
		if err != nil {
			return n.portError("sip", err)
		}
		addr := l.Addr().(*net.TCPAddr)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: addr.Port})
		if err != nil {
			l.Close()
			if free && try < tries {
				continue
			}
			return n.portError("sip", err)
		}
		r.closers = append(r.closers, func() { l.Close(); udp.Close() })
		if err := n.setPort("sip", l.Addr()); err != nil {
			return err
		}
		r.accept(l, accept.Limits{Conns: sipConns, First: sipIdle}, func(conn net.Conn) { n.serveSIP(r, conn) })
		r.done.Go(func() { n.serveSIPDatagrams(r, udp) })
		return nil
	}
}

func (n *Node) serveSIP(r *running, conn net.Conn) {
	in := sip.NewReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(sipIdle))
		if in.Wait() == nil {
			conn.SetReadDeadline(time.Now().Add(sipRequest))
		}
		req, err := in.Next()
		if err != nil {
			if err != io.EOF {
				n.Logf("%s: SIP %v: %v", n.Node().Name, conn.RemoteAddr(), err)
			}
			return
		}
		answer := n.answerSIP(r, req, "TCP")
		if answer == nil {
			return
		}
		conn.SetWriteDeadline(time.Now().Add(sipIdle))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (n *Node) serveSIPDatagrams(r *running, udp *net.UDPConn) {
	buf := make([]byte, sipDatagram)
	for {
		size, from, err := udp.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		req, err := sip.NewReader(bytes.NewReader(buf[:size])).Next()
		if err != nil {
			n.Logf("%s: SIP %v: %v", n.Node().Name, from, err)
			continue
		}
		if answer := n.answerSIP(r, req, "UDP"); answer != nil {
			udp.WriteToUDP(answer, from)
		}
	}
}

// answerSIP handles a request and returns the response; nil gives none.
func (n *Node) answerSIP(r *running, req *sip.Request, transport string) []byte {
	switch f := n.Node().Fault(profile.CallManagerService); f.Kind {
	case "close":
		return nil
	case "pause":
		r.wait(nil, held)
		return nil
	case "slow":
		r.wait(nil, f.Delay)
	}
	status := "405 Method Not Allowed"
	switch req.Method {
	case "REFER":
		status = "202 Accepted"
		if err := n.alarm(req); err != nil {
			n.Logf("%s: SIP REFER: %v", n.Node().Name, err)
			status = "400 Bad Request"
		}
	case "REGISTER", "OPTIONS":
		status = "200 OK"
	case "ACK":
		return nil
	}
	return req.Answer(status, n.Node().State().Now(), n.Node().Endpoint("sip"), strings.ToLower(transport))
}

// alarm puts an alarm of a phone into the event log. Beside the phone's own
// parameters stands what comes of comparing its ITL with those that the nodes
// serve.
func (n *Node) alarm(req *sip.Request) error {
	a, err := req.Alarm()
	if err != nil {
		return err
	}
	e := events.Event{Time: n.Node().State().Now(), Node: n.Node().Name, App: "UC_CALLMANAGER", Severity: 6, Name: a.Name, Text: "Alarm of a phone"}
	for _, p := range a.Parameters {
		e.Tags = append(e.Tags, events.Tag{Key: p.Name, Value: p.Value})
	}
	if held := e.Tag("ITL_Signature"); held != "" {
		e.Tags = append(e.Tags, events.Tag{Key: "ITLStatus", Value: compareITL(n.Node().State(), held)})
	}
	return n.Report(e)
}

// compareITL compares the hash that a phone reports with the lists served now.
func compareITL(s *state.State, hash string) string {
	if strings.EqualFold(hash, "Not Installed") {
		return "Not Installed"
	}
	for _, n := range s.Nodes {
		sum := sha1.Sum(n.ITL)
		if strings.EqualFold(strings.ReplaceAll(hash, " ", ""), strings.ReplaceAll(trustlist.FormatSerial(sum[:]), ":", "")) {
			return "Match"
		}
	}
	return "MisMatch"
}
