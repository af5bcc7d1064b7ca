// Package registrar is who is registered with the call manager of one node, and who is to
// be told to reset.
//
//	r := registrar.New(registrar.Config{Known: known, Now: bench})
//	granted, fresh, err := r.Register(reg, conn, "192.0.2.7:51778", "TCP", time.Now())
//	r.Reset(state.Order{Action: "reset", Rate: 50}, "Cisco-CUCM10.0", address)
//	for _, m := range r.Tick(time.Now()) { send(m) } // some ten times a second
//
// Phones that use SCCP are taken by RegisterSCCP, and are heard of by Heard. It opens no
// connection: a Flow stands for one, and what is to be sent is returned.
// Registrations end by the machine's clock, since the bench clock jumps. It remembers
// phones that the cluster knows and no others, some 400 bytes each, also those whose
// registration is over. A Registrar is safe for concurrent use. Sources: RFC 3261,
// section 10, traces of phones with CUCM 11.5 and 12.5, and chan-sccp.
package registrar

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"itlagent/testbench/sip"
)

// Flow is what reaches a phone: a connection, or a datagram's source. Two are the same
// where == says so.
type Flow any

// Errors of a registration that is refused.
var (
	// ErrUnknown: the cluster does not know the phone.
	ErrUnknown = errors.New("no such phone")
	// ErrInsecure: the phone's security mode wants TLS.
	ErrInsecure = errors.New("the phone's security mode wants TLS")
)

// Phone is a phone as the call manager knows it.
type Phone struct {
	Device       string    `json:"device"` // "SEP64A0E71502CC"
	Node         string    `json:"node"`
	Registered   bool      `json:"registered"`
	Address      string    `json:"address"`   // "host:port" that it sends from
	Protocol     string    `json:"protocol"`  // "SIP" or "SCCP"
	Transport    string    `json:"transport"` // "TCP", "UDP" or "TLS"
	Model        string    `json:"model"`     // the number that the phone has for it; may be ""
	Load         string    `json:"load"`
	InactiveLoad string    `json:"inactiveLoad"`
	Last         string    `json:"last"`  // how it last reset: "initialized", "reset-reset", "reset-restart"; may be ""
	Since        time.Time `json:"since"` // of the bench clock: when this registration began, or ended
	// Serial numbers the registrations with this node: a phone that comes back has a
	// higher one. A refresh keeps it.
	Serial uint64 `json:"serial"`
	// Resetting: it is to be told, or was told, to reset or to restart, and has not
	// registered again since.
	Resetting bool `json:"resetting"`
	// Asked is the answer to the last order: "" before one, "told" while it is awaited,
	// "accepted", "refused", or "later" where the phone is to be told again. By SCCP there is
	// no answer but that the phone leaves.
	Asked string `json:"asked"`
}

// Config is what a Registrar needs of its node.
type Config struct {
	// Known reports whether the cluster knows a device, and whether it must use TLS.
	Known func(device string) (known, secured bool)
	Now   func() time.Time // the bench clock
	// Stamp returns the version of a device's configuration; nil where there is none.
	Stamp func(device string) string
	// Expires is what is granted at most, in seconds; DefaultExpires, and KeepAlive by SCCP,
	// where 0.
	Expires int
	// First is below the serial numbers of this registrar: one that lives after another
	// has higher ones.
	First uint64
}

// Registrar is the registrations with one node.
type Registrar struct {
	conf Config

	mu      sync.Mutex
	serial  uint64
	phones  map[string]*entry
	flows   map[Flow][]string // devices registered over a flow
	notices map[string]*entry // phones whose answer is awaited, by the Call-ID of the NOTIFY
	resets  queue
	lost    []Flow
}

// entry is a phone, registered or not.
type entry struct {
	Phone
	reg   sip.Register
	flow  Flow
	until time.Time // of the machine's clock
	// queued: it waits to be told to reset or to restart.
	queued bool
	notice
}

// New returns a registrar with which nobody is registered.
func New(c Config) *Registrar {
	if c.Expires == 0 {
		c.Expires = DefaultExpires
	}
	if c.Stamp == nil {
		c.Stamp = func(string) string { return "" }
	}
	return &Registrar{conf: c, serial: c.First, phones: make(map[string]*entry), flows: make(map[Flow][]string), notices: make(map[string]*entry)}
}

// admits reports whether a device may register: the error is ErrUnknown or ErrInsecure.
func (r *Registrar) admits(device string, secure bool) error {
	known, secured := r.conf.Known(device)
	switch {
	case !known:
		return ErrUnknown
	case secured && !secure:
		return ErrInsecure
	}
	return nil
}

// Register takes a REGISTER that came over a flow, and returns the seconds that it
// grants, and whether the registration is new. Expires 0 ends the registration that was
// made over this flow; of a phone that is registered elsewhere it is a keep-alive. The
// error is ErrUnknown or ErrInsecure.
func (r *Registrar) Register(reg *sip.Register, from Flow, address, transport string, now time.Time) (granted int, fresh bool, err error) {
	if err := r.admits(reg.Device, transport == "TLS"); err != nil {
		return 0, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.phones[reg.Device]
	if reg.Expires == 0 {
		if e != nil && e.Registered && e.flow == from {
			r.end(e)
		}
		return 0, false, nil
	}
	granted = min(reg.Expires, r.conf.Expires)
	if fresh = e == nil || !e.Registered || e.reg.CallID != reg.CallID || e.flow != from; fresh {
		e = r.begin(reg.Device, from)
		e.Load, e.InactiveLoad, e.Last = reg.ActiveLoad, reg.InactiveLoad, reg.Last
	}
	e.reg, e.Address, e.Protocol, e.Transport, e.Model = *reg, address, "SIP", transport, reg.Model
	e.until = now.Add(time.Duration(granted)*time.Second + grace)
	return granted, fresh, nil
}

// begin begins a registration over a flow. The caller holds mu.
func (r *Registrar) begin(device string, from Flow) *entry {
	e := r.phones[device]
	if e == nil {
		e = &entry{Phone: Phone{Device: device}}
		r.phones[device] = e
	}
	if e.Registered {
		r.end(e) // it has come back, before it was missed
	}
	r.serial++
	e.Serial, e.Registered, e.Since, e.flow = r.serial, true, r.conf.Now(), from
	e.Resetting = e.queued // it may have come back by itself, before it was told
	r.flows[from] = append(r.flows[from], device)
	return e
}

// end ends a registration. The caller holds mu.
func (r *Registrar) end(e *entry) {
	e.Registered, e.Since = false, r.conf.Now()
	r.forget(e)
	rest := slices.DeleteFunc(r.flows[e.flow], func(device string) bool { return device == e.Device })
	if len(rest) == 0 {
		delete(r.flows, e.flow)
		r.lost = append(r.lost, e.flow)
	} else {
		r.flows[e.flow] = rest
	}
	e.flow = nil
}

// Holds reports whether somebody is registered over a flow.
func (r *Registrar) Holds(f Flow) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.flows[f]) > 0
}

// Lost returns the flows over which nobody is registered any more, each once.
func (r *Registrar) Lost() []Flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := slices.DeleteFunc(r.lost, func(f Flow) bool { return len(r.flows[f]) > 0 })
	r.lost = nil
	return lost
}

// Lifetime is how long a registration by SIP goes on without being refreshed.
func (r *Registrar) Lifetime() time.Duration {
	return time.Duration(r.conf.Expires)*time.Second + grace
}

// Gone ends the registrations that were made over a flow: it is closed.
func (r *Registrar) Gone(f Flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, device := range slices.Clone(r.flows[f]) {
		r.end(r.phones[device])
	}
}

// Phones returns the phones in the order of their names, for a node of this name: those
// that are registered, and those that were.
func (r *Registrar) Phones(node string) []Phone {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Phone, 0, len(r.phones))
	for device, e := range r.phones {
		if known, _ := r.conf.Known(device); !known {
			if e.Registered {
				r.end(e)
			}
			delete(r.phones, device)
			continue
		}
		p := e.Phone
		p.Node = node
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Phone) int { return strings.Compare(a.Device, b.Device) })
	return all
}
