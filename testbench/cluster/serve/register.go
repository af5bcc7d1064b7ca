package serve

import (
	"errors"
	"strings"
	"time"

	"itlagent/agent/settings"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip"
)

// knownPhones returns the phones of the state in force.
func (n *Node) knownPhones() *knownPhones {
	s := n.Node().State()
	all := n.known.Load()
	if all == nil || all.of != s {
		all = &knownPhones{of: s, by: make(map[string]*profile.PhoneSpec, len(s.Phones))}
		for i := range s.Phones {
			all.by["SEP"+s.Phones[i].MAC] = &s.Phones[i]
		}
		n.known.Store(all)
	}
	return all
}

// knows reports whether the cluster knows a device, and whether it must use TLS: in mixed
// mode one whose security mode is authenticated or encrypted.
func (n *Node) knows(device string) (known, secured bool) {
	all := n.knownPhones()
	p := all.by[device]
	return p != nil, p != nil && all.of.SecurityMode(p) != settings.NonSecure
}

// stamp returns the version of a device's configuration, "" for one that is not known.
func (n *Node) stamp(device string) string {
	all := n.knownPhones()
	if p := all.by[device]; p != nil {
		return all.of.Stamp(p)
	}
	return ""
}

// knownPhones are the phones of a state by name: a search for each of thousands, for each of
// them, would take seconds.
type knownPhones struct {
	of *state.State
	by map[string]*profile.PhoneSpec
}

// userAgent is how the call manager names itself.
func (n *Node) userAgent() string { return "Cisco-CUCM" + n.Node().State().Release().Name }

// register answers a REGISTER: 100 Trying, and then what it comes to.
func (n *Node) register(req *sip.Request, from *flow) []byte {
	now := n.Node().State().Now()
	refuse := func(status string, err error) []byte {
		n.Logf("%s: SIP %s: REGISTER: %v", n.Node().Name, from.address, err)
		return req.Answer(status, now, n.Node().Endpoint(from.port()), strings.ToLower(from.transport))
	}
	reg, err := req.Register()
	if err != nil {
		return refuse("400 Bad Request", err)
	}
	granted, fresh, err := n.phones.Register(reg, from.key, from.address, from.transport, time.Now())
	switch {
	case errors.Is(err, registrar.ErrInsecure):
		return refuse("403 Forbidden", err)
	case err != nil:
		return refuse("404 Not Found", err)
	}
	if from.conn != nil && n.phones.Holds(from.key) {
		from.conn.settle(true)
	}
	answer := req.Granted(sip.Grant{Now: now, Server: n.userAgent(), Expires: granted, Fresh: fresh})
	if from.transport == "UDP" { // RFC 4320, section 4.1
		return answer
	}
	return append(req.Trying(now), answer...)
}

// answered takes the answer of a phone to what it was told.
func (n *Node) answered(a *sip.Answer, from *flow) {
	if device := n.phones.Answered(a, from.key, time.Now()); device != "" {
		n.Logf("%s: %s refuses to reset: %d", n.Node().Name, device, a.Code)
	}
}

// followOrders tells registered phones to reset, where there are orders that this node
// has not passed on. Those of before its start are not for anybody who is there now.
func (n *Node) followOrders() {
	now := n.Node()
	s, r := now.State(), n.open[profile.CallManagerService]
	if n.orders == unheard {
		n.orders = s.Resets
	}
	for _, o := range s.OrdersAfter(n.orders, now.Name) {
		if r != nil && !n.Mute {
			n.phones.Reset(o, n.userAgent(), func(transport string) string {
				if transport == "TLS" {
					return now.Advertised("sips")
				}
				return now.Advertised("sip")
			})
		}
	}
	n.orders = s.Resets
	if r != nil && n.phones.Waiting() > 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// resetEvery is how often the next phones are told to reset: waves of a tenth of the rate.
const resetEvery = 100 * time.Millisecond

// tick tells phones what they are to be told, and ends registrations that are over, until
// the service ends.
func (n *Node) tick(r *running) {
	t := time.NewTicker(resetEvery)
	defer t.Stop()
	for {
		select {
		case <-r.ending:
			return
		case <-r.wake:
		case <-t.C:
		}
		for _, f := range n.phones.Lost() {
			if c, ok := f.(*phoneConn); ok {
				c.settle(false)
			}
		}
		for _, m := range n.phones.Tick(time.Now()) {
			r.done.Go(func() { r.send(m) })
		}
	}
}
