// Package audit finds out which phone holds which trust list, and what would become of
// each, from the alarms that phones send.
//
//	r := evidence.New()
//	err := r.Read(file, nil)
//	for phone, err := range audit.NewJudge(ctx, lockout.World{c}).Phones(r) { ... }
//
// Phones that hold the same lists are judged once, so that a judge keeps some 200 bytes
// for each list that was served and each class of phones. A Judge is not safe for concurrent
// use. Source: Cisco's note on ITL enhancements.
package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"itlagent/agent/model"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

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
	MAC      evidence.MAC
	Status   Status
	ITL, CTL evidence.Hash
	Disputed bool      // its reports contradict each other
	Reported time.Time // zero where it is not known, or it has not

	// Of a list that is known:
	Home   string // the cluster that has served it
	Node   string
	Since  time.Time // it was served
	Until  time.Time // zero where it is served now
	Reason string    // why it came to be served

	// Judged says that what a reset of the phone would come to is known: Verdict, and
	// for a phone that does not follow the first remedy, nil where none was found. Locked
	// says that its own list keeps it from following.
	Judged  bool
	Verdict trust.Reason
	Locked  bool
	// CannotRegister says that it would trust its cluster, but not be able to register.
	CannotRegister bool
	Remedy         *lockout.Remedy
	Note           string // what else is to be said; may be empty
}

// Follows reports whether a reset would have the phone trust its cluster.
func (p *Phone) Follows() bool { return p.Judged && p.Verdict == trust.Accepted && !p.CannotRegister }

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
	locked  bool
	cannot  bool // register
	remedy  *lockout.Remedy
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
func (j *Judge) Phones(r *evidence.Reports) iter.Seq2[*Phone, error] {
	return func(yield func(*Phone, error) bool) {
		macs := r.MACs()
		known := make(map[string]string) // models, by MAC
		for _, p := range j.w[0].State().Phones {
			known[p.MAC] = p.Model
			if m, ok := evidence.ParseMAC("SEP" + p.MAC); ok {
				macs = append(macs, m)
			}
		}
		evidence.SortMACs(macs)
		for _, m := range slices.Compact(macs) {
			last, reported, err := r.Last(m)
			p, err := j.phone(last, reported, err, known)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// phone says what is known of one phone, whose last report may be in dispute.
func (j *Judge) phone(last evidence.Report, reported bool, dispute error, known map[string]string) (*Phone, error) {
	p := &Phone{MAC: last.MAC, ITL: last.ITL, CTL: last.CTL, Reported: last.Time}
	switch {
	case !reported:
		p.Status, p.Note = Unknown, "it has reported nothing"
		return p, nil
	case dispute != nil:
		p.Status, p.Note, p.Disputed = Unknown, dispute.Error(), true
		return p, nil
	case last.ITL == evidence.Hash{}:
		p.Status = None
	default:
		at, ok := j.lists[last.ITL.String()]
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
	name, ok := known[p.MAC.String()]
	v, err := j.class(p, name, ok)
	p.Judged, p.Verdict, p.Locked, p.CannotRegister, p.Remedy = v.known, v.verdict, v.locked, v.cannot, v.remedy
	if v.note != "" {
		p.Note = v.note
	}
	return p, err
}

// class judges the phones that hold the same lists: what a reset would come to, and
// what would bring them back.
func (j *Judge) class(p *Phone, name string, known bool) (judgement, error) {
	class := fmt.Sprintf("%s %s %v %v", p.ITL, p.CTL, known, model.Find(name, "").HTTPS())
	for _, c := range j.w {
		if spec := c.State().Phone(p.MAC.String()); spec != nil {
			class += " " + spec.Settings["settingsAccess"] // 0 rules some remedies out
			class += " " + spec.Settings[state.SecuritySetting]
		}
	}
	if v, ok := j.judged[class]; ok {
		return v, nil
	}
	var v judgement
	phone, _, err := evidence.Recall(j.w, p.MAC.String(), p.ITL.String(), p.CTL.String())
	switch {
	case errors.Is(err, evidence.ErrUnknownList):
		v.note = "its CTL is one that no known cluster has served"
	case err != nil:
		return v, err
	default:
		e, err := lockout.Explain(j.ctx, j.w, phone, lockout.Hints{Open: true})
		if err != nil {
			return v, err
		}
		v.known, v.verdict, v.locked, v.cannot = true, e.Report.Reason(), e.Locked, e.CannotRegister
		if len(e.Remedies) > 0 {
			v.remedy = &e.Remedies[0]
		}
	}
	j.judged[class] = v
	return v, nil
}
