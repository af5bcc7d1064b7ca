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

// notice is an order whose answer is awaited.
type notice struct {
	of      told
	request []byte
	callID  string // of the NOTIFY; by SCCP, where there is none, the device's name
	sent    time.Time
	again   bool // it may get lost: it is sent again
	tries   int
}

// queue is who is to be told, at most so many a second.
type queue struct {
	waiting []told
	later   []told // that have refused, and are told again
	rate    int
	budget  float64   // of phones that may be told now
	at      time.Time // that it was reckoned
}

// told is a phone that is to be told something.
type told struct {
	device string
	action sip.Action
	from   sip.Notify // server and user agent
	after  time.Time  // not before
	tries  int        // that were refused
}

// boots reports whether a phone that obeys leaves, and registers again.
func boots(a sip.Action) bool { return a == sip.Reset || a == sip.Restart }

// stronger returns the one of two actions that does more.
func stronger(a, b sip.Action) sip.Action {
	all := sip.Actions() // the one that does most first
	return all[max(0, min(slices.Index(all, a), slices.Index(all, b)))]
}

// Reset tells the registered phones that an order is for. server is where phones reach
// the call manager, "host:port", by the names of transports as they register. A phone
// that is still waiting to be told is told once, what does most.
func (r *Registrar) Reset(o state.Order, userAgent string, server func(transport string) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waits := make(map[string]*told, len(r.resets.waiting))
	for _, list := range [][]told{r.resets.waiting, r.resets.later} {
		for i := range list {
			waits[list[i].device] = &list[i]
		}
	}
	action := sip.Action(o.Action)
	if action == "" {
		action = sip.Reset
	}
	var devices []string
	for device, e := range r.phones {
		if e.Registered && (o.Device == "" || o.Device == device) {
			devices = append(devices, device)
		}
	}
	slices.Sort(devices)
	for _, device := range devices {
		e := r.phones[device]
		e.queued = e.queued || boots(action)
		e.Resetting = e.Resetting || e.queued
		if w := waits[device]; w != nil {
			w.action = stronger(w.action, action)
			continue
		}
		to := sip.Notify{UserAgent: userAgent, Server: server(e.Transport)}
		r.resets.waiting = append(r.resets.waiting, told{device: device, action: action, from: to})
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
	q.due(now)
	if q.at.IsZero() {
		q.budget = float64(q.rate)
	}
	q.budget = min(q.budget+now.Sub(q.at).Seconds()*float64(q.rate), float64(q.rate))
	q.at = now
	for len(q.waiting) > 0 && q.budget >= 1 {
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		e := r.phones[next.device]
		if e == nil {
			continue
		}
		if e.queued = false; e.Registered {
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
			of := e.of
			r.forget(e)
			if e.Protocol != "SCCP" || !boots(of.action) || !r.later(e, of, now) {
				e.Resetting = false
			}
		}
	}
	return out
}

// due lets those wait for their turn whose time has come.
func (q *queue) due(now time.Time) {
	q.later = slices.DeleteFunc(q.later, func(t told) bool {
		if now.Before(t.after) {
			return false
		}
		q.waiting = append(q.waiting, t)
		return true
	})
}

// later lets a phone that has refused be told again at a time, unless it has refused too
// often. The caller holds mu.
func (r *Registrar) later(e *entry, of told, at time.Time) bool {
	if of.tries++; of.tries > maxRefusals {
		return false
	}
	of.after = at
	e.Asked, e.queued = "later", boots(of.action)
	r.resets.later = append(r.resets.later, of)
	return true
}

// tell makes the order for a phone. The caller holds mu.
func (r *Registrar) tell(e *entry, t told, now time.Time) Message {
	r.forget(e)
	e.Asked = "told"
	if e.Protocol == "SCCP" {
		e.notice = notice{of: t, request: order(t.action).Bytes(), callID: e.Device, sent: now}
		r.notices[e.callID] = e
		return Message{e.flow, e.request}
	}
	n := t.from
	n.Transport = map[string]string{"UDP": "udp", "TLS": "tls"}[e.Transport]
	if n.Transport == "" {
		n.Transport = "tcp"
	}
	n.User, n.Host, n.CallID, n.Action, n.Now = e.reg.User, e.reg.Host, e.reg.CallID, t.action, r.conf.Now()
	n.Stamp = r.conf.Stamp(e.Device)
	request, callID := n.Bytes()
	e.notice = notice{of: t, request: request, callID: callID, sent: now, again: n.Transport == "udp", tries: 1}
	r.notices[callID] = e
	return Message{e.flow, request}
}

// forget stops waiting for an answer. The caller holds mu.
func (r *Registrar) forget(e *entry) {
	delete(r.notices, e.callID)
	e.notice = notice{}
}

// Answered takes the answer to a NOTIFY that came over a flow, and returns the phone that
// refuses what it was told for good, "" where none does. One that answers 503 is told again.
func (r *Registrar) Answered(a *sip.Answer, from Flow, now time.Time) (refuses string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.notices[a.CallID]
	if e == nil || e.flow != from || a.Code < 200 {
		return ""
	}
	of := e.of
	r.forget(e)
	wait := retryTime
	if a.RetryAfter > 0 {
		wait = min(a.RetryAfter, retryMost)
	}
	switch {
	case a.Code < 300:
		e.Asked = "accepted"
	case a.Code == 503 && r.later(e, of, now.Add(wait)):
	default:
		e.Asked, e.Resetting = "refused", false
		return e.Device
	}
	return ""
}

// Waiting returns how many phones are still to be told.
func (r *Registrar) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.resets.waiting) + len(r.resets.later)
}
