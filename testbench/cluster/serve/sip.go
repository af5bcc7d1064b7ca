package serve

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/sip"
)

// answerSIP handles a request that came over a flow, and returns the response; nil gives
// none.
func (n *Node) answerSIP(r *running, req *sip.Request, from *flow) []byte {
	if !n.answers(r) {
		return nil
	}
	status := "405 Method Not Allowed"
	switch req.Method {
	case "REGISTER":
		return n.register(req, from)
	case "REFER":
		status = n.refer(req)
	case "OPTIONS":
		status = "200 OK"
	case "ACK":
		return nil
	}
	return req.Answer(status, n.Node().State().Now(), n.Node().Endpoint(from.port()), strings.ToLower(from.transport))
}

// answers reports whether the call manager service answers a request, which may take it a
// while: its fault says so.
func (n *Node) answers(r *running) bool {
	switch f := n.Node().Fault(profile.CallManagerService); f.Kind {
	case "close":
		return false
	case "pause":
		r.wait(nil, held)
		return false
	case "slow":
		r.wait(nil, f.Delay)
	}
	return true
}

// refer takes an alarm, or the token that a phone asks for before it fails back.
func (n *Node) refer(req *sip.Request) (status string) {
	if len(req.Body) == 0 && strings.Contains(req.ReferTo, sip.TokenRegistration) {
		return "202 Accepted"
	}
	err := n.alarm(req)
	if err == nil {
		return "202 Accepted"
	}
	n.Logf("%s: SIP REFER: %v", n.Node().Name, err)
	if !errors.Is(err, errAlarm) && !errors.Is(err, events.ErrLine) {
		return "503 Service Unavailable" // a full disk: the phone sends it again
	}
	return "400 Bad Request"
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
