package registrar

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/sccp"
	"itlagent/testbench/sip"
)

// keepAlive is how often a phone that uses SCCP is to be heard of.
func (r *Registrar) keepAlive() time.Duration {
	return time.Duration(min(r.conf.Expires, KeepAlive)) * time.Second
}

// Silence is after how long without a word a registration by SCCP is over.
func (r *Registrar) Silence() time.Duration { return keepAlives * r.keepAlive() }

// RegisterSCCP takes a registration by SCCP that came over a flow, and returns how often the
// phone is to be heard of. last is how the phone says that it has reset; it may be "". Each
// registration is a new one, and the only one over its flow. The error is ErrUnknown or
// ErrInsecure.
func (r *Registrar) RegisterSCCP(reg *sccp.Register, last string, from Flow, address string, secure bool, now time.Time) (keepAlive time.Duration, err error) {
	if err := r.admits(reg.Device, secure); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, device := range slices.Clone(r.flows[from]) {
		r.end(r.phones[device])
	}
	e := r.begin(reg.Device, from)
	e.reg = sip.Register{}
	e.Protocol, e.Transport, e.Address = "SCCP", "TCP", address
	if secure {
		e.Transport = "TLS"
	}
	e.Model, e.Load, e.InactiveLoad, e.Last = strconv.FormatUint(uint64(reg.Type), 10), reg.Load, "", strings.ToLower(last)
	e.until = now.Add(r.Silence())
	return r.keepAlive(), nil
}

// Heard notes that a phone that registered by SCCP over a flow is there.
func (r *Registrar) Heard(from Flow, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, device := range r.flows[from] {
		if e := r.phones[device]; e.Protocol == "SCCP" {
			e.until = now.Add(r.Silence())
		}
	}
}

// Left ends the registrations that were made over a flow, whose phones take their leave.
func (r *Registrar) Left(from Flow) { r.Gone(from) }

// order is what a phone is told by SCCP.
func order(a sip.Action) sccp.Message {
	switch a {
	case sip.Reset:
		return sccp.Order(sccp.Reset)
	case sip.Restart:
		return sccp.Order(sccp.Restart)
	}
	return sccp.Order(sccp.ApplyConfig)
}
