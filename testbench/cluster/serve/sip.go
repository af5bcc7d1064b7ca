package serve

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"itlagent/agent/accept"
	"itlagent/agent/trustlist"
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
			if !errors.Is(err, errAlarm) && !errors.Is(err, events.ErrLine) {
				status = "503 Service Unavailable" // a full disk: the phone sends it again
			}
		}
	case "REGISTER", "OPTIONS":
		status = "200 OK"
	case "ACK":
		return nil
	}
	return req.Answer(status, n.Node().State().Now(), n.Node().Endpoint("sip"), strings.ToLower(transport))
}

// alarm puts an alarm of a phone into the event log.
func (n *Node) alarm(req *sip.Request) error {
	a, err := req.Alarm()
	if err != nil {
		return fmt.Errorf("%w: %w", errAlarm, err)
	}
	return n.Report(alarmEvent(n.Node(), a))
}

// errAlarm says that a phone sent what is not an alarm.
var errAlarm = errors.New("not an alarm")

// alarmEvent makes an event of an alarm. Anybody can send one, so the event has no name
// and no tag but those of the table alarms, each once. What the cluster computes,
// ITLStatus from comparing the phone's ITL with those that the nodes serve, has a tag
// that is not in the table. Everything else becomes quoted text.
func alarmEvent(n *state.Node, a *sip.Alarm) events.Event {
	e := events.Event{Time: n.State().Now(), Node: n.Name, App: "UC_CALLMANAGER", Severity: 6, Name: a.Name, Text: "Alarm of a phone"}
	known, ok := alarms[a.Name]
	if !ok {
		e.Name = unknownAlarm
		e.Text += fmt.Sprintf(" %q", a.Name)
	}
	var others []string
	seen := make(map[string]bool)
	for _, p := range a.Parameters {
		if slices.Contains(known, p.Name) && !seen[p.Name] {
			seen[p.Name] = true
			e.Tags = append(e.Tags, events.Tag{Key: p.Name, Value: p.Value})
			continue
		}
		others = append(others, fmt.Sprintf("%q", p.Name+"="+p.Value))
	}
	if hash := e.Tag("ITL_Signature"); hash != "" {
		status := events.Tag{Key: "ITLStatus", Value: compareITL(n.State(), hash)}
		e.Tags = slices.Insert(e.Tags, 0, status) // it is never what does not fit the line
	}
	if len(others) > 0 {
		e.Text += ", also " + strings.Join(others, " ")
	}
	return e
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
