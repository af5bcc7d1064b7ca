// Package audit finds out which phone holds which trust list, from the alarms that
// phones send.
//
//	a := audit.New()
//	err := a.Read(file, nil)
//	for phone, err := range a.Phones(audit.NewJudge(ctx, lockout.World{c})) { ... }
//
// An audit keeps the last report of each phone and nothing else: some 100 bytes a
// phone, up to MaxPhones, however long the logs are. Lines are read up to MaxLine
// bytes; longer ones are counted and skipped. An Audit is for one goroutine. Sources:
// Cisco's note on ITL enhancements for the alarm, the published CiscoLog grammar for
// the lines.
package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"slices"
	"time"

	"itlagent/agent/model"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/lockout"
)

// Limits of an audit.
const (
	MaxPhones = 2_000_000
	MaxLine   = 64 << 10 // bytes
	maxFaults = 10       // that are described; all are counted
)

// ErrTooMany says that more phones report than an audit holds.
var ErrTooMany = fmt.Errorf("more than %d phones", MaxPhones)

// entry is what is kept of a phone.
type entry struct {
	at       int64 // Unix nanoseconds; 0 where not known
	seq      uint64
	host     uint32 // a hash of its name; 0 where not known
	source   uint32 // the log that it stands in
	itl, ctl Hash
	disputed bool // two reports of one time say different things
}

// Audit collects reports.
type Audit struct {
	phones map[MAC]entry
	source uint32 // of what is added now

	Lines, Reports int      // that were read
	Unusable       int      // lines about lists that cannot be used
	Long           int      // lines of more than MaxLine bytes
	Faults         []string // the first unusable lines, described
}

// New returns an audit without reports.
func New() *Audit { return &Audit{phones: make(map[MAC]entry)} }

// Read reads a log to its end. progress, if not nil, is told of bytes as they are read.
// Lines that are not about lists of phones are passed over.
func (a *Audit) Read(r io.Reader, progress func(bytes int)) error {
	in := bufio.NewReaderSize(r, MaxLine)
	a.source++
	start := a.Lines
	for {
		line, err := in.ReadSlice('\n')
		if progress != nil {
			progress(len(line))
		}
		if err == bufio.ErrBufferFull {
			a.Long++
			for err == bufio.ErrBufferFull {
				line, err = in.ReadSlice('\n')
				if progress != nil {
					progress(len(line))
				}
			}
			line = nil
		}
		if len(line) > 0 || err == nil {
			a.Lines++
		}
		if len(line) > 0 {
			if err := a.line(line, a.Lines-start); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (a *Audit) line(line []byte, number int) error {
	r, err := ParseLine(bytes.TrimRight(line, "\r\n"))
	switch {
	case errors.Is(err, ErrOther):
		return nil
	case err != nil:
		a.fault("line %d: %v", number, err)
		return nil
	}
	return a.Add(r)
}

// AddEvent takes an event of a cluster's own log; those that are not about lists are
// passed over.
func (a *Audit) AddEvent(e *events.Event) error {
	if e.Name != AlarmName {
		return nil
	}
	r, err := report(e.Tag("DeviceName"), e.Tag("ITL_Signature"), e.Tag("CTL_Signature"), e.Time)
	r.Host, r.Seq = e.Node, e.Seq
	if err != nil {
		a.fault("event %d: %v", e.Seq, err)
		return nil
	}
	return a.Add(r)
}

func (a *Audit) fault(format string, args ...any) {
	if a.Unusable++; len(a.Faults) < maxFaults {
		a.Faults = append(a.Faults, fmt.Sprintf(format, args...))
	}
}

// Add adds one report. Of two of a phone the later one counts; where no times are
// known, the one that is added later. Two of one time are common, for many logs have
// whole seconds: of one host the higher sequence number decides, of one log the place
// in it. What is left, one time in the logs of two hosts, is in dispute.
func (a *Audit) Add(r Report) error {
	a.Reports++
	next := entry{itl: r.ITL, ctl: r.CTL, seq: r.Seq, host: hash(r.Host), source: a.source}
	if !r.Time.IsZero() {
		next.at = r.Time.UnixNano()
	}
	old, ok := a.phones[r.MAC]
	switch {
	case !ok && len(a.phones) == MaxPhones:
		return ErrTooMany
	case ok && next.at != 0 && old.at > next.at:
		return nil
	case ok && next.at != 0 && old.at == next.at:
		switch {
		case old.host != 0 && old.host == next.host:
			if old.seq > next.seq {
				return nil
			}
		case old.source == next.source:
		default:
			next.disputed = old.disputed || old.itl != next.itl || old.ctl != next.ctl
		}
	}
	a.phones[r.MAC] = next
	return nil
}

func hash(host string) uint32 {
	if host == "" {
		return 0
	}
	h := fnv.New32a()
	io.WriteString(h, host)
	return h.Sum32() | 1
}

// ErrDisputed says that two reports of a phone, of the same time, contradict each other.
var ErrDisputed = errors.New("two reports of the same time contradict each other")

// Last returns the report of a phone that counts; ok is false where it has reported
// nothing. The error is ErrDisputed.
func (a *Audit) Last(m MAC) (r Report, ok bool, err error) {
	e, ok := a.phones[m]
	if e.disputed {
		err = ErrDisputed
	}
	r = Report{MAC: m, ITL: e.itl, CTL: e.ctl}
	if e.at != 0 {
		r.Time = time.Unix(0, e.at).UTC()
	}
	return r, ok, err
}

// MACs returns the phones that have reported, in the order of their addresses.
func (a *Audit) MACs() []MAC {
	macs := make([]MAC, 0, len(a.phones))
	for m := range a.phones {
		macs = append(macs, m)
	}
	slices.SortFunc(macs, func(a, b MAC) int { return bytes.Compare(a[:], b[:]) })
	return macs
}

// Len returns how many phones have reported.
func (a *Audit) Len() int { return len(a.phones) }

// Status is how a phone's list stands to what its cluster serves.
type Status string

// The statuses.
const (
	Current Status = "current" // a node serves it now
	Stale   Status = "stale"   // the cluster served it before
	Foreign Status = "foreign" // this cluster never served it
	None    Status = "none"    // the phone has none
	Unknown Status = "unknown" // nothing is known, or reports contradict each other
)

// Statuses returns all of them.
func Statuses() []Status { return []Status{Current, Stale, Foreign, None, Unknown} }

// Phone is what is known of a phone.
type Phone struct {
	MAC      MAC
	Status   Status
	ITL, CTL Hash
	Reported time.Time // zero where it is not known, or it has not

	// Of a list that is known:
	Home   string // the cluster that has served it
	Node   string
	Since  time.Time // it was served
	Until  time.Time // zero where it is served now
	Reason string    // why it came to be served

	// Judged says that what a reset of the phone would come to is known: Verdict, and
	// for a phone that is locked the first way back, nil where none was found.
	Judged  bool
	Verdict trust.Reason
	Way     *lockout.Way
	Note    string // what else is to be said; may be empty
}

// Follows reports whether a reset would have the phone trust its cluster.
func (p *Phone) Follows() bool { return p.Judged && p.Verdict == trust.Accepted }

// place is where a list was served.
type place struct {
	at     int // of the world
	served state.Served
}

// Judge compares phones with what clusters have served. It remembers what it has found
// out.
type Judge struct {
	ctx    context.Context
	w      lockout.World
	lists  map[string]place // by hash; what is served now counts before what was
	judged map[string]judgement
}

// judgement is what becomes of all phones of a class.
type judgement struct {
	known   bool
	verdict trust.Reason
	way     *lockout.Way
	note    string
}

// NewJudge reads the history of a world's clusters, of which there must be one at least.
// The first is that of the phones.
func NewJudge(ctx context.Context, w lockout.World) *Judge {
	j := &Judge{ctx: ctx, w: w, lists: make(map[string]place), judged: make(map[string]judgement)}
	for i := len(w) - 1; i >= 0; i-- { // the first cluster last: it counts most
		for _, s := range w[i].State().Lists() {
			old, ok := j.lists[s.SHA1]
			if ok && old.at == i && old.served.Until.IsZero() && !s.Until.IsZero() {
				continue // the same list is served by another node now
			}
			j.lists[s.SHA1] = place{i, s}
		}
	}
	return j
}

// Phones yields every phone that has reported or that the first cluster of the judge
// knows, in the order of their addresses, with what is known of it. Phones that hold
// the same lists are judged once.
func (a *Audit) Phones(j *Judge) iter.Seq2[*Phone, error] {
	return func(yield func(*Phone, error) bool) {
		macs := a.MACs()
		for _, p := range j.w[0].State().Phones {
			if m, ok := ParseMAC("SEP" + p.MAC); ok {
				if _, reported := a.phones[m]; !reported {
					macs = append(macs, m)
				}
			}
		}
		slices.SortFunc(macs, func(a, b MAC) int { return bytes.Compare(a[:], b[:]) })
		known := make(map[string]string) // models, by MAC
		for _, p := range j.w[0].State().Phones {
			known[p.MAC] = p.Model
		}
		for _, m := range macs {
			e, reported := a.phones[m]
			p, err := j.phone(m, e, reported, known)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// phone says what is known of one phone.
func (j *Judge) phone(m MAC, e entry, reported bool, known map[string]string) (*Phone, error) {
	p := &Phone{MAC: m, ITL: e.itl, CTL: e.ctl}
	if e.at != 0 {
		p.Reported = time.Unix(0, e.at).UTC()
	}
	switch {
	case !reported:
		p.Status, p.Note = Unknown, "it has reported nothing"
		return p, nil
	case e.disputed:
		p.Status, p.Note = Unknown, ErrDisputed.Error()
		return p, nil
	case e.itl == Hash{}:
		p.Status = None
	default:
		at, ok := j.lists[e.itl.String()]
		if !ok || at.served.Kind != trustlist.ITL {
			p.Status, p.Note = Foreign, "no known cluster has served this list"
			return p, nil
		}
		n := j.w[at.at].Nodes()[at.served.Node]
		p.Home, p.Node, p.Since, p.Until, p.Reason = j.w[at.at].State().Profile.Name, n.Name(), at.served.Since, at.served.Until, at.served.Reason
		switch {
		case at.at > 0:
			p.Status = Foreign
		case at.served.Until.IsZero():
			p.Status = Current
		default:
			p.Status = Stale
		}
	}
	name, ok := known[m.String()]
	v, err := j.class(p, name, ok)
	p.Judged, p.Verdict, p.Way = v.known, v.verdict, v.way
	if v.note != "" {
		p.Note = v.note
	}
	return p, err
}

// class judges the phones that hold the same lists: what a reset would come to, and
// what would bring them back.
func (j *Judge) class(p *Phone, name string, known bool) (judgement, error) {
	https := model.Find(name, "").HTTPS()
	class := fmt.Sprintf("%s %s %v %v", p.ITL, p.CTL, known, https)
	if v, ok := j.judged[class]; ok {
		return v, nil
	}
	var v judgement
	phone, _, err := j.w.Recall(p.MAC.String(), p.ITL.String(), p.CTL.String())
	switch {
	case errors.Is(err, lockout.ErrUnknownList):
		v.note = "its CTL is one that no known cluster has served"
	case err != nil:
		return v, err
	default:
		e, err := lockout.Explain(j.ctx, j.w, phone, lockout.Hints{Open: true})
		if err != nil {
			return v, err
		}
		v.known, v.verdict = true, e.Report.Reason()
		if len(e.Ways) > 0 {
			v.way = &e.Ways[0]
		}
	}
	j.judged[class] = v
	return v, nil
}
