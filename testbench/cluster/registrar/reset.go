package registrar

import (
	"slices"
	"time"

	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip"
)

// Message is what is to be sent.
type Message struct {
	To    Flow
	Bytes []byte
}

// notice is a NOTIFY whose answer is awaited.
type notice struct {
	request []byte
	callID  string
	sent    time.Time
	again   bool // it may get lost: it is sent again
	tries   int
}

// queue is who is to be told, at most so many a second.
type queue struct {
	waiting []told
	rate    int
	budget  float64   // of phones that may be told now
	at      time.Time // that it was reckoned
}

// told is a phone that is to be told something.
type told struct {
	device string
	action sip.Action
	from   sip.Notify // server and user agent
}

// Reset tells the registered phones that an order is for. server is where phones reach
// the call manager, "host:port", by the names of transports as they register. A phone
// that is still waiting to be told is told once.
func (r *Registrar) Reset(o state.Order, userAgent string, server func(transport string) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waits := make(map[string]bool, len(r.resets.waiting))
	for _, w := range r.resets.waiting {
		waits[w.device] = true
	}
	var devices []string
	for device, e := range r.phones {
		if e.Registered && !waits[device] && (o.Device == "" || o.Device == device) {
			devices = append(devices, device)
		}
	}
	slices.Sort(devices)
	action := sip.Action(o.Action)
	if action == "" {
		action = sip.Reset
	}
	for _, device := range devices {
		if e := r.phones[device]; action == sip.Reset || action == sip.Restart {
			e.Resetting = true
		}
		to := sip.Notify{UserAgent: userAgent, Server: server(r.phones[device].Transport)}
		r.resets.waiting = append(r.resets.waiting, told{device, action, to})
	}
	if r.resets.rate = o.Rate; o.Rate <= 0 {
		r.resets.rate = DefaultRate
	}
}

// Tick ends registrations that are over, and returns what is to be sent now: to the next
// phones in the queue, and again to those that have not answered.
func (r *Registrar) Tick(now time.Time) (out []Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.phones {
		if e.Registered && now.After(e.until) {
			r.end(e)
		}
	}
	q := &r.resets
	if q.at.IsZero() {
		q.budget = float64(q.rate)
	}
	q.budget = min(q.budget+now.Sub(q.at).Seconds()*float64(q.rate), float64(q.rate))
	q.at = now
	for len(q.waiting) > 0 && q.budget >= 1 {
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		if e := r.phones[next.device]; e != nil && e.Registered {
			q.budget--
			out = append(out, r.tell(e, next, now))
		}
	}
	for _, e := range r.notices {
		switch {
		case now.Sub(e.sent) < answerTime:
		case e.again && e.tries < maxTries:
			e.tries, e.sent = e.tries+1, now
			out = append(out, Message{e.flow, e.request})
		case now.Sub(e.sent) >= noAnswer:
			e.Resetting = false
			r.forget(e)
		}
	}
	return out
}

// tell makes the NOTIFY for a phone. The caller holds mu.
func (r *Registrar) tell(e *entry, t told, now time.Time) Message {
	r.forget(e)
	n := t.from
	n.Transport = map[string]string{"UDP": "udp", "TLS": "tls"}[e.Transport]
	if n.Transport == "" {
		n.Transport = "tcp"
	}
	n.User, n.Host, n.CallID, n.Action, n.Now = e.reg.User, e.reg.Host, e.reg.CallID, t.action, r.conf.Now()
	request, callID := n.Bytes()
	e.notice = notice{request: request, callID: callID, sent: now, again: n.Transport == "udp", tries: 1}
	e.Asked = "told"
	r.notices[callID] = e
	return Message{e.flow, request}
}

// forget stops waiting for an answer. The caller holds mu.
func (r *Registrar) forget(e *entry) {
	delete(r.notices, e.callID)
	e.notice = notice{}
}

// Answered takes the answer to a NOTIFY that came over a flow, and returns the phone that
// refuses what it was told, "" where none does.
func (r *Registrar) Answered(a *sip.Answer, from Flow) (refuses string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.notices[a.CallID]
	if e == nil || e.flow != from || a.Code < 200 {
		return ""
	}
	r.forget(e)
	e.Asked = "accepted"
	if a.Code >= 300 {
		e.Asked, e.Resetting = "refused", false
		return e.Device
	}
	return ""
}

// Waiting returns how many phones are still to be told.
func (r *Registrar) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.resets.waiting)
}
