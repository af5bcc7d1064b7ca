package lockout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// Explanation is why a phone trusts or distrusts what it is served, and what would
// change that.
type Explanation struct {
	Phone  Phone
	Report *boot.Report // of the reset that was tried on paper
	Works  bool         // it trusts its cluster, or works without trust lists, and can register
	Locked bool         // it does not, and holds a list that keeps it so
	// CannotRegister: it trusts its cluster, but is secured, and no call manager shows a
	// certificate that its lists have. Works is false then.
	CannotRegister bool
	Remedies       []Remedy // that work, cheapest first; none where the phone works
	Ineffective    []Remedy // that do not
	Notes          []string // what could not be known
	// Partial says that only what is served is known, and not the cluster behind it: it
	// may have remedies that were not tried.
	Partial bool
}

// OnSiteOnly reports whether nothing helps but somebody at the phone.
func (e *Explanation) OnSiteOnly() bool {
	return !e.Works && !e.Partial && len(e.Remedies) > 0 && e.Remedies[0].OnSite
}

// Refused returns the first outcome that keeps the phone from its cluster, nil where
// there is none.
func (e *Explanation) Refused() *boot.Outcome { return refused(e.Report) }

func refused(r *boot.Report) *boot.Outcome {
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Rejected() {
			return o
		}
	}
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Verdict.Reason == trust.DownloadFailed {
			return o
		}
	}
	return nil
}

// trusts reports whether the phone trusts what it is served, or works without lists.
func trusts(r *boot.Report) bool { return r.Reason() == trust.Accepted }

// Hints are what the explainer may use beside the clusters.
type Hints struct {
	P12 []byte // a saved ITLRecovery.p12, under the cluster's security password
	// Open takes the phone's configuration to be readable by it where it is encrypted
	// and the phone's key is not known here.
	Open bool
	// Copy is a copy of the cluster that serves the phone, in which remedies are tried where only
	// what it serves is known, and Held the phone as it is there; see package twin.
	Copy World
	Held Phone
}

// Explain says what a reset of the phone would come to, and finds the remedies: each
// was tried on a copy of the clusters, to the phone's next reset. Where the surroundings are
// not a World, only what is served is known and not the cluster behind it: the
// remedies are those at the phone itself.
func Explain(ctx context.Context, around Surroundings, p Phone, h Hints) (*Explanation, error) {
	w, known := around.(World)
	if known && h.Open {
		w = w.Fork(nil)
		if err := w.unencrypted([]Phone{p}); err != nil {
			return nil, err
		}
		around = w
	}
	next, report, err := p.Boot(ctx, around)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Phone: p, Report: report, Works: trusts(report)}
	e.Locked = !e.Works && report.HoldsList()
	if known && e.Works && !w.registers(next) {
		e.Works, e.CannotRegister = false, true
	}
	switch {
	case e.Works:
		return e, nil
	case known:
		e.findRemedies(ctx, w, h)
	default:
		e.findServed(ctx, around, h)
	}
	return e, ctx.Err()
}

// findRemedies tries what the clusters and the phone offer.
func (e *Explanation) findRemedies(ctx context.Context, w World, h Hints) {
	e.Notes = append(e.Notes, w.strangers(e.Phone)...)
	s := &situation{w: w, at: w.serving(e.Report, e.Phone), p: e.Phone, hints: h}
	remedies := s.remedies()
	if w.verify() != nil { // the copy of a real cluster
		remedies = slices.DeleteFunc(remedies, func(r Remedy) bool { return r.benchOnly(w) })
	}
	e.Notes = append(e.Notes, s.notes...)
	var keys pki.Keys
	try := func(r *Remedy) { w.try(ctx, e.Phone, r, &keys) }
	for _, visit := range []bool{false, true} {
		// First what is done from afar, then what is done on-site; each alone, and
		// where that is not enough behind what only sets services right.
		some := slices.DeleteFunc(slices.Clone(remedies), func(r Remedy) bool { return r.OnSite != visit })
		if e.try(ctx, some, try); len(e.Remedies) == 0 {
			ineffective := e.Ineffective
			e.try(ctx, pairs(remedies, some), try)
			e.Ineffective = ineffective // there would be too many to read
		}
	}
	if lost := lostKeys(s.c(), e.Phone); len(lost) > 0 && (len(e.Remedies) == 0 || e.Remedies[0].OnSite) {
		e.Notes = append(e.Notes, "the phone would trust a list that is signed by "+strings.Join(lost, " or ")+
			", which the cluster does not have any more; a saved "+state.P12Name+" or a backup of that time may have the key")
	}
}

// findServed tries what the phone offers.
func (e *Explanation) findServed(ctx context.Context, around Surroundings, h Hints) {
	e.Partial = true
	s := &situation{p: e.Phone}
	remedies := s.remedies()
	if h.Copy != nil && e.findInCopy(ctx, h) {
		e.Notes = append(e.Notes, s.notes...)
		e.try(ctx, remedies, func(r *Remedy) {
			tryServed(ctx, around, e.Phone, r)
			r.Commands = byHand(r.Commands, e.Phone.Model)
		})
		return
	}
	e.Notes = append(e.Notes, "the cluster's keys are not known here, so that remedies which need them were not tried; give its directory for that")
	e.Notes = append(e.Notes, s.notes...)
	e.try(ctx, remedies, func(r *Remedy) { tryServed(ctx, around, e.Phone, r) })
}

// findInCopy tries what a copy of the cluster offers, and reports whether the copy does to the
// phone what the cluster did: a TVS that did not answer is stopped in it.
func (e *Explanation) findInCopy(ctx context.Context, h Hints) bool {
	same := func(w World) bool {
		_, report, err := h.Held.Boot(ctx, w)
		return err == nil && report.Reason() == e.Report.Reason()
	}
	w := h.Copy.Fork(nil)
	if !same(w) {
		for _, c := range w {
			for _, n := range c.Nodes() {
				if err := c.Apply(operation.Service(n.Name(), profile.TVSService, operation.Stop)); err != nil {
					continue
				}
			}
		}
		if !same(w) {
			return false
		}
		e.Notes = append(e.Notes, "TVS is taken not to answer for the signer, as it did not now")
	}
	s := &situation{w: w, p: h.Held, hints: h}
	var keys pki.Keys
	e.try(ctx, slices.DeleteFunc(s.remedies(), func(r Remedy) bool { return r.OnSite || r.benchOnly(w) }), func(r *Remedy) { w.try(ctx, h.Held, r, &keys) })
	e.Notes = append(e.Notes, s.notes...)
	return true
}

// benchOnly reports whether a remedy needs what a real cluster does not have: commands of the
// bench.
func (r *Remedy) benchOnly(w World) bool {
	for i := range r.actions {
		for _, c := range r.actions[i].commandsIn(w) {
			if c.Where == "bench" {
				return true
			}
		}
	}
	return false
}

// try tries remedies, and sorts those that work from those that do not.
func (e *Explanation) try(ctx context.Context, remedies []Remedy, try func(*Remedy)) {
	for _, r := range remedies {
		if ctx.Err() != nil {
			return
		}
		if try(&r); r.Works {
			e.Remedies = append(e.Remedies, r)
		} else {
			e.Ineffective = append(e.Ineffective, r)
		}
	}
}

// strangers notes the servers of the phone that no known cluster has.
func (w World) strangers(p Phone) (notes []string) {
	s, _ := settings.Parse(p.Stored["config"])
	for _, list := range []struct {
		what    string
		servers []string
	}{{"TFTP server", p.Servers}, {"TVS", s.TVS}} {
		for _, server := range list.servers {
			if n, _ := w.node(withPort(server)); n == nil {
				notes = append(notes, fmt.Sprintf("%s %s of the phone is of no known cluster: it counts as out of reach", list.what, server))
			}
		}
	}
	return notes
}
