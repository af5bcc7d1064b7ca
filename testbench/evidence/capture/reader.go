package capture

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket/layers"

	"itlagent/agent/boot"
)

// Capture is what was read.
type Capture struct {
	First, Last time.Time // of its packets
	Packets     int
	Phones      []*Phone // in the order in which they were first seen
	Notes       []string // what could not be read
	Evicted     int      // connections and transfers that were given up for others
	Damage      error    // where the file ends early; what is before it was read
}

// Phone is what one phone did.
type Phone struct {
	Device    string // "SEP64A0E71502CC"; "" where no file's name says it
	Addresses []netip.Addr
	MAC       [6]byte // of its name, or of DHCP, or of its frames
	Events    []*Event
	Dropped   int    // events beyond Limits
	latest    *Event // the file that it asked for last
	Shares    bool   // another phone has used its address: what has no name in it may be of either
}

// Name returns the phone's name, or its address.
func (p *Phone) Name() string {
	switch {
	case p.Device != "":
		return p.Device
	case len(p.Addresses) > 0:
		return p.Addresses[0].String()
	}
	return net.HardwareAddr(p.MAC[:]).String()
}

// reader puts a capture together.
type reader struct {
	c       *Capture
	limits  Limits
	decoder decoder
	flows   *flows
	tftp    *transfers

	named_  map[string]*Phone
	at      map[netip.Addr]*Phone // who was there last
	leases  map[[6]byte]*Event
	macs    map[netip.Addr][6]byte // senders of what phones asked
	stored  map[[sha256.Size]byte][]byte
	kept    int // bytes of stored
	flight  int // bytes of what is being put together
	events  int
	skipped int // phones beyond Limits
}

// Read reads a capture to its end. progress, if not nil, is told of bytes as they are read. An
// error is ErrFormat, that of ctx, or that of the reader; a file that is damaged behind its
// beginning is read up to there, and Damage says so.
func Read(ctx context.Context, in io.Reader, l Limits, progress func(int)) (*Capture, error) {
	l = l.withDefaults()
	src, err := open(ctx, in, l, progress)
	if err != nil {
		return nil, err
	}
	r := newReader(l)
	for {
		data, link, at, err := src.frame()
		if err == io.EOF {
			break
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			r.c.Damage = err
			break
		}
		r.frame(data, link, at)
	}
	r.finish()
	return r.c, nil
}

func newReader(l Limits) *reader {
	r := &reader{c: new(Capture), limits: l, flows: newFlows(l.Flows), named_: map[string]*Phone{}, at: map[netip.Addr]*Phone{},
		leases: map[[6]byte]*Event{}, macs: map[netip.Addr][6]byte{}, stored: map[[sha256.Size]byte][]byte{}}
	r.tftp = &transfers{r: r, most: l.Flows, all: map[netip.AddrPort]*transfer{}, order: list.New()}
	r.flows.begin, r.flows.failed = r.begin, r.failed
	return r
}

func (r *reader) frame(data []byte, link layers.LinkType, at time.Time) {
	if r.c.Packets++; r.c.First.IsZero() {
		r.c.First = at
	}
	r.c.Last = at
	p, ok := r.decoder.packet(data, link, at)
	switch {
	case !ok:
	case p.tcp != nil:
		r.flows.packet(&p)
		r.sender(&p)
	case p.src.Port() == 67 || p.dst.Port() == 67:
		r.dhcp(&p)
	case kindOf(p.payload) == kindSIP:
		if !p.cut {
			r.message(p.src, p.dst, p.payload, p.at)
		}
	default:
		if r.tftp.packet(&p) {
			r.sender(&p)
		}
	}
}

// sender remembers the link address of a phone.
func (r *reader) sender(p *packet) {
	if p.mac == ([6]byte{}) {
		return
	}
	if ph := r.at[p.src.Addr()]; ph != nil && ph.MAC == ([6]byte{}) {
		ph.MAC = p.mac
	}
}

// The kinds of connections, told by what their client sends first.
const (
	kindNone = iota
	kindHTTP
	kindTLS
	kindSIP
)

func kindOf(b []byte) int {
	has := func(s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }
	switch {
	case has("GET /"):
		return kindHTTP
	case has("\x16\x03"):
		return kindTLS
	case has("REGISTER sip:"), has("REFER sip:"):
		return kindSIP
	}
	return kindNone
}

func (r *reader) begin(f *flow, first []byte) parser {
	switch kindOf(first) {
	case kindHTTP:
		return &httpParser{r: r, f: f}
	case kindSIP:
		return &sipParser{r: r, f: f}
	case kindTLS:
		p := r.at[f.client.Addr()]
		if p == nil {
			return nil // of nobody that has asked for a phone's file
		}
		e := &Event{Time: f.opened, End: f.last, Server: f.server, TLS: &TLS{Hello: true, Closed: nobody}}
		if !r.add(p, e) {
			return nil
		}
		return &tlsParser{r: r, f: f, event: e}
	}
	return nil
}

// failed is told of a connection on which nothing was sent.
func (r *reader) failed(f *flow, e ending) {
	p := r.at[f.client.Addr()]
	if p == nil || e.evicted || !e.refused && !e.silent {
		return
	}
	r.add(p, &Event{Time: f.opened, End: e.at, Server: f.server, TLS: &TLS{Refused: e.refused, Silent: e.silent, Closed: nobody}})
}

var (
	deviceFile = regexp.MustCompile(`(?i)^(?:ext_)?(?:CTL|ITL)?(SEP[0-9A-F]{12})(?:\.|$)`)
	phoneFile  = regexp.MustCompile(`(?i)^(?:(?:ext_)?(?:CTL|ITL)(?:SEP[0-9A-F]{12}|File)\.tlv|(?:SEP[0-9A-F]{12}|XMLDefault)\.cnf\.xml(?:\.enc)?(?:\.sgn)?)$`)
)

// trusted reports whether the content of a file is judged: lists and configurations.
func trusted(name string) bool { return phoneFile.MatchString(name) }

// asked notes that a file was asked for. It returns nil where no phone asks.
func (r *reader) asked(client, server netip.AddrPort, name, transport string, at time.Time) *Event {
	var p *Phone
	if m := deviceFile.FindStringSubmatch(name); m != nil {
		p = r.named(client.Addr(), m[1])
	} else if p = r.at[client.Addr()]; p == nil && trusted(name) {
		p = r.named(client.Addr(), "")
	}
	if p == nil {
		return nil
	}
	e := &Event{Time: at, End: at, Server: server, File: &File{Name: name, Transport: transport, Code: -1, Size: -1}, of: p}
	if !r.add(p, e) {
		return nil
	}
	p.latest = e
	return e
}

// named returns the phone of a device name, "" for one that is not known, that is at an address.
func (r *reader) named(at netip.Addr, device string) *Phone {
	device = strings.ToUpper(device)
	there := r.at[at]
	if _, err := boot.Device(device); err != nil && device != "" {
		return there
	}
	p := r.named_[device]
	switch {
	case device == "":
		p = there
	case p == nil && there != nil && there.Device == "":
		p = there // its first file had no name in it
		p.Device, r.named_[device] = device, p
	}
	if p == nil {
		if len(r.c.Phones) >= r.limits.Phones {
			r.skipped++
			return nil
		}
		p = &Phone{Device: device}
		r.c.Phones = append(r.c.Phones, p)
		if device != "" {
			r.named_[device] = p
		}
	}
	if p.Device != "" {
		fmt.Sscanf(p.Device[3:], "%02X%02X%02X%02X%02X%02X", &p.MAC[0], &p.MAC[1], &p.MAC[2], &p.MAC[3], &p.MAC[4], &p.MAC[5])
	}
	if there != nil && there != p {
		there.Shares, p.Shares = true, true
	}
	const most = 16
	if !slices.Contains(p.Addresses, at) && len(p.Addresses) < most {
		p.Addresses = append(p.Addresses, at)
	}
	r.at[at] = p
	if len(r.at) > 2*r.limits.Phones {
		clear(r.at) // of a capture that was made to be read by this
		r.at[at] = p
	}
	return p
}

// add adds an event to a phone, and reports whether there was room for it.
func (r *reader) add(p *Phone, e *Event) bool {
	if len(p.Events) >= r.limits.Events || r.events >= 100*r.limits.Events {
		p.Dropped++
		return false
	}
	r.events++
	p.Events = append(p.Events, e)
	return true
}

// close ends the event of a file; e may be nil.
func (r *reader) close(e *Event, at time.Time, result Result) {
	if e != nil && e.File.Result == unfinished {
		e.End, e.File.Result = at, result
	}
}

// hold counts bytes of an answer that is being put together, and reports whether there is room.
func (r *reader) hold(a *answer, n int) bool {
	if r.flight+n > r.limits.Kept {
		return false
	}
	r.flight += n
	a.held += n
	return true
}

// grow adds bytes to an answer, up to maxFile.
func (r *reader) grow(a *answer, b []byte) bool {
	b = b[:min(len(b), maxFile-len(a.body))]
	if !r.hold(a, len(b)) {
		return false
	}
	a.body = append(a.body, b...)
	return true
}

// release counts the bytes of an answer off; a may be nil.
func (r *reader) release(a *answer) {
	if a != nil {
		r.flight -= a.held
		a.held, a.body = 0, nil
	}
}

// keep keeps the content of a file, once where phones were given the same.
func (r *reader) keep(f *File, body []byte, whole bool) Result {
	if !whole {
		return NotKept
	}
	data, ok := r.store(body)
	if !ok {
		return NotKept
	}
	f.Data = data
	return Got
}

func (r *reader) store(body []byte) ([]byte, bool) {
	sum := sha256.Sum256(body)
	if data, ok := r.stored[sum]; ok {
		return data, true
	}
	const overhead = 256 // bytes of a stored file beside its own
	if r.kept+len(body)+overhead > r.limits.Kept {
		return nil, false
	}
	r.kept += len(body) + overhead
	data := append([]byte{}, body...)
	r.stored[sum] = data
	return data, true
}

// finish ends what is open, and puts leases and events in their places.
func (r *reader) finish() {
	r.flows.finish(r.c.Last)
	r.tftp.finish(r.c.Last)
	r.c.Evicted += r.flows.evicted
	for _, e := range r.leases {
		i := slices.IndexFunc(r.c.Phones, func(p *Phone) bool {
			return p.MAC == e.Lease.MAC || p.MAC == ([6]byte{}) && slices.Contains(p.Addresses, e.Lease.IP)
		})
		if i >= 0 {
			p := r.c.Phones[i]
			if p.MAC = e.Lease.MAC; p.Device == "" {
				p.Device = fmt.Sprintf("SEP%X", p.MAC[:])
			}
			p.Events = append(p.Events, e)
		}
	}
	for _, p := range r.c.Phones {
		slices.SortStableFunc(p.Events, func(a, b *Event) int { return a.Time.Compare(b.Time) })
	}
	r.note(r.skipped > 0, "more than %d phones: the rest was not looked at", r.limits.Phones)
	r.note(r.c.Evicted > 0, "%d connections and transfers were given up for others", r.c.Evicted)
	r.note(r.decoder.ip6 > 0, "%d packets of IPv6 were not read", r.decoder.ip6)
	r.note(r.decoder.broken > 0, "%d packets are damaged, or not whole in the capture", r.decoder.broken)
	r.note(r.decoder.dropped > 0, "fragments were dropped: too many waited for others")
	if r.c.Damage != nil {
		text := r.c.Damage.Error()
		if errors.Is(r.c.Damage, io.ErrUnexpectedEOF) {
			text = "it ends inside a packet"
		}
		r.note(true, "the file is damaged behind packet %d: %s", r.c.Packets, text)
	}
}

func (r *reader) note(is bool, format string, args ...any) {
	if is {
		r.c.Notes = append(r.c.Notes, fmt.Sprintf(format, args...))
	}
}
