package lockout

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// Outcome is what becomes of a phone.
type Outcome string

// The outcomes.
const (
	// Throughout: however often the phone resets in between, it trusts its cluster in
	// the end.
	Throughout Outcome = "trusted-throughout"
	// IfReset: it does so only if it resets at certain steps.
	IfReset Outcome = "trusted-if-reset"
	// LockedOut: it does not, whenever it resets.
	LockedOut Outcome = "locked-out"
	// Already: it is locked before anything is changed, and stays so.
	Already Outcome = "locked-already"
	// Unserved: it holds no trust list in the end, so that nothing locks it, but gets
	// nothing that it can use.
	Unserved Outcome = "unserved"
	// CannotRegister: it trusts its cluster in the end, but is secured, and its lists may
	// lack the certificate that its call managers show: it hears no reset then.
	CannotRegister Outcome = "trusted-cannot-register"
)

// Outcomes returns all of them.
func Outcomes() []Outcome {
	return []Outcome{Throughout, IfReset, LockedOut, Already, Unserved, CannotRegister}
}

// Online says when phones reset beside the resets of the sequence itself.
type Online int

// When phones reset.
const (
	Sometimes Online = iota // any phone may reset at any time, or may not
	Always                  // every phone resets after every step
	Never                   // no phone is online until the end
)

// Prediction is what becomes of one phone.
type Prediction struct {
	Phone   Phone
	Outcome Outcome
	// Windows are the steps after which an IfReset phone has to reset for sure, from 0:
	// before the first. Exact says that it must not reset at any other step.
	Windows []int
	Exact   bool
	// Reason is why it is locked, or gets nothing, where it does not reset as it should or
	// at all; Detail names the file. Locked says which of both.
	Reason trust.Reason
	Detail string
	Locked bool
	// Before is what a reset gives before anything is changed; only where Outcome is neither
	// Throughout nor IfReset.
	Before trust.Reason
	// Refuses are the steps after which a phone that resets refuses what it is served,
	// though it trusts its cluster in the end.
	Refuses []int

	registered bool // it can register before anything is changed
}

// lost reports whether the changes may cost the phone its cluster.
func (p *Prediction) lost() bool {
	return p.Outcome == IfReset || p.Outcome == LockedOut || p.Outcome == CannotRegister && p.registered || p.Outcome == Unserved && p.Before == trust.Accepted
}

// Plan is what becomes of phones.
type Plan struct {
	Changes []Change
	Phones  []Prediction // in the order in which they were given
	// Sequence is the nearest one that locks nobody out, where the changes that were asked
	// about do; nil where none was found. SequenceWhy says what differs.
	Sequence    []Change
	SequenceWhy string
	// Warnings say which list becomes too large for phones, or nearly; only where Options
	// look for a sequence.
	Warnings []string
}

// Count returns how many phones have an outcome.
func (p *Plan) Count(outcome Outcome) (n int) {
	for i := range p.Phones {
		if p.Phones[i].Outcome == outcome {
			n++
		}
	}
	return n
}

// Safe reports whether no phone loses its cluster or may.
func (p *Plan) Safe() bool {
	for i := range p.Phones {
		if p.Phones[i].lost() {
			return false
		}
	}
	return true
}

// Options are how to look ahead.
type Options struct {
	Online   Online
	Sequence bool // look for a safe sequence
}

// maxChanges bounds a sequence.
const maxChanges = 12

// Predict makes changes to a copy of a world and says what becomes of each phone.
// What cannot be done is an error that wraps ErrImpossible.
func Predict(ctx context.Context, w World, phones []Phone, changes []Change, o Options) (*Plan, error) {
	if len(changes) == 0 || len(changes) > maxChanges {
		return nil, fmt.Errorf("%d changes: from 1 to %d", len(changes), maxChanges)
	}
	start := w.Fork(new(pki.Keys))
	if err := start.unencrypted(phones); err != nil {
		return nil, err
	}
	pr := &predictor{ctx: ctx, online: o.Online, worlds: map[string]World{"": start}, boots: make(map[string]booted)}
	if _, err := pr.world(changes); err != nil {
		return nil, err
	}
	plan := &Plan{Changes: changes}
	classes := make(map[string]*Prediction)
	for _, p := range phones {
		class := classOf(w, &p)
		if classes[class] == nil {
			one, err := pr.predict(p, changes)
			if err != nil {
				return nil, err
			}
			classes[class] = one
		}
		one := *classes[class]
		one.Phone = p
		plan.Phones = append(plan.Phones, one)
	}
	if !o.Sequence {
		return plan, nil
	}
	var err error
	if plan.Warnings, err = pr.warnings(changes); err != nil || plan.Safe() {
		return plan, err
	}
	var some []Phone // that are not lost already
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		if one := classes[class]; one.lost() || one.Outcome == Throughout {
			some = append(some, one.Phone)
		}
	}
	plan.Sequence, plan.SequenceWhy, err = pr.sequence(some, changes, plan.Count(CannotRegister) > 0)
	return plan, err
}

// unencrypted makes the clusters serve configurations unencrypted for phones whose key is
// not known here: whether they can read them is not what is asked.
func (w World) unencrypted(phones []Phone) error {
	known := make(map[string]bool)
	for _, p := range phones {
		known[p.MAC] = p.Stored["lsc"] != nil || p.Stored["mic"] != nil
	}
	for _, c := range w {
		for _, ph := range c.State().Phones {
			if ph.Certificate != nil && !known[ph.MAC] {
				if err := c.Apply(operation.Encrypt(ph.MAC, nil)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// classOf tells phones apart that may have different outcomes: two of one class hold the
// same lists and ask the same servers.
func classOf(w World, p *Phone) string {
	rest := *p
	set, err := settings.Parse(p.Stored["config"])
	rest.Stored = p.Stored.with("config", fmt.Appendf(nil, "%v %v %v %v", set.TVS, err, set.SecurityMode(), set.SecureManagers))
	class := rest.identity()
	for _, c := range w {
		known := c.State().Phone(p.MAC)
		class += fmt.Sprintf(" %v", known != nil)
		if known != nil {
			class += known.Settings[state.SecuritySetting]
		}
		if known != nil && known.Certificate != nil {
			class += p.MAC
		}
	}
	return class
}

// predict says what becomes of one phone.
func (pr *predictor) predict(p Phone, changes []Change) (*Prediction, error) {
	one := &Prediction{Phone: p}
	all, err := pr.paths(p, changes, nil, pr.online)
	if err != nil {
		return nil, err
	}
	every, some, last := sum(all)
	for _, c := range all {
		for _, k := range c.refuses {
			if !slices.Contains(one.Refuses, k) {
				one.Refuses = append(one.Refuses, k)
			}
		}
	}
	slices.Sort(one.Refuses)
	if last != nil {
		one.Reason, one.Locked = last.Reason(), last.HoldsList()
		if o := refused(last); o != nil {
			one.Detail = o.Name
		}
	}
	switch {
	case every && !registers(all):
		before, err := pr.boot(nil, p)
		one.Outcome, one.registered = CannotRegister, before.registers
		return one, err
	case every:
		one.Outcome = Throughout
		return one, nil
	case some:
		one.Outcome = IfReset
		one.Windows, one.Exact, err = pr.windows(p, changes, all)
		return one, err
	}
	before, err := pr.boot(nil, p)
	if err != nil {
		return nil, err
	}
	one.Before = before.report.Reason()
	switch {
	case !one.Locked:
		one.Outcome = Unserved
	case one.Before != trust.Accepted:
		one.Outcome, one.Reason = Already, one.Before
	default:
		one.Outcome = LockedOut
	}
	return one, nil
}

// windows finds the fewest steps after which a phone has to reset for sure.
func (pr *predictor) windows(p Phone, changes []Change, all []path) (windows []int, exact bool, err error) {
	for size := 1; size <= len(changes); size++ {
		for must := range subsets(len(changes), size) {
			got, err := pr.paths(p, changes, must, pr.online)
			if err != nil {
				return nil, false, err
			}
			if every, _, _ := sum(got); every {
				return must, false, nil
			}
		}
	}
	// No reset is sure to be enough whatever else happens: the path that needs the
	// fewest.
	for _, c := range all {
		if w := c.windows[:len(c.windows)-1]; trusts(c.report) && (windows == nil || len(w) < len(windows)) {
			windows = append([]int{}, w...)
		}
	}
	return windows, true, nil
}
