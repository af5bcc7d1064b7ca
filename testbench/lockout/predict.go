package lockout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
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
)

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
	// Reason is why it is locked where it does not reset as it should, or at all.
	Reason trust.Reason
	Detail string
	// Refuses are the steps after which a phone that resets refuses what it is served,
	// though it trusts its cluster in the end.
	Refuses []int
}

// Plan is what becomes of phones.
type Plan struct {
	Changes []Change
	Phones  []Prediction // in the order in which they were given
	// Plan is the nearest sequence that locks nobody out, where the one that was asked
	// about does; nil where none was found. PlanWhy says what differs.
	Sequence    []Change
	SequenceWhy string
}

// Count returns how many phones have a outcome.
func (f *Plan) Count(outcome Outcome) (n int) {
	for i := range f.Phones {
		if f.Phones[i].Outcome == outcome {
			n++
		}
	}
	return n
}

// Safe reports whether no phone is locked out or may be.
func (f *Plan) Safe() bool { return f.Count(IfReset)+f.Count(LockedOut) == 0 }

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
	s := &predictor{ctx: ctx, online: o.Online, worlds: map[string]World{"": start}, boots: make(map[string]booted)}
	f := &Plan{Changes: changes}
	if _, err := s.world(changes); err != nil {
		return nil, err
	}
	classes := make(map[string]*Prediction)
	for _, p := range phones {
		class := classOf(w, &p)
		if classes[class] == nil {
			told, err := s.tell(p, changes)
			if err != nil {
				return nil, err
			}
			classes[class] = told
		}
		told := *classes[class]
		told.Phone = p
		f.Phones = append(f.Phones, told)
	}
	if o.Sequence && !f.Safe() {
		var some []Phone
		for _, class := range slices.Sorted(maps.Keys(classes)) {
			if told := classes[class]; told.Outcome != Already {
				some = append(some, told.Phone)
			}
		}
		var err error
		if f.Sequence, f.SequenceWhy, err = s.plan(some, changes); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// inTheOpen makes the clusters serve configurations unencrypted for phones whose key is
// not known here: whether they can read them is not what is asked.
func (w World) unencrypted(phones []Phone) error {
	known := make(map[string]bool)
	for _, p := range phones {
		known[p.MAC] = p.Kept["lsc"] != nil || p.Kept["mic"] != nil
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
	set, err := settings.Parse(p.Kept["config"])
	rest.Kept = p.Kept.with("config", fmt.Appendf(nil, "%v %v", set.TVS, err))
	class := rest.identity()
	for _, c := range w {
		known := c.State().Phone(p.MAC)
		class += fmt.Sprintf(" %v", known != nil)
		if known != nil && known.Certificate != nil {
			class += p.MAC
		}
	}
	return class
}

// predictor tries courses of events, and remembers what it has tried.
type predictor struct {
	ctx    context.Context
	online Online
	worlds map[string]World // by the changes that led there
	boots  map[string]booted
}

type booted struct {
	phone  Phone
	report *boot.Report
}

// key names the changes so far.
func key(changes []Change) string {
	var b strings.Builder
	for i := range changes {
		if len(changes[i].Actions) > 0 {
			b.WriteString(changes[i].Text + "\n")
		}
	}
	return b.String()
}

// world returns the world after changes.
func (s *predictor) world(changes []Change) (World, error) {
	at := key(changes)
	if w, ok := s.worlds[at]; ok {
		return w, nil
	}
	last := len(changes) - 1
	before, err := s.world(changes[:last])
	if err != nil {
		return nil, err
	}
	w := before
	if len(changes[last].Actions) > 0 {
		w = before.Fork(nil)
		if err := changes[last].Do(w); err != nil {
			return nil, err
		}
	}
	s.worlds[at] = w
	return w, nil
}

// boot resets a phone in the world after changes.
func (s *predictor) boot(changes []Change, p Phone) (booted, error) {
	at := key(changes) + p.identity() + p.MAC
	if b, ok := s.boots[at]; ok {
		return b, nil
	}
	w, err := s.world(changes)
	if err != nil {
		return booted{}, err
	}
	var b booted
	if b.phone, b.report, err = p.Boot(s.ctx, w); err != nil {
		return booted{}, err
	}
	s.boots[at] = b
	return b, nil
}

// course is where a phone may have come to.
type course struct {
	phone   Phone
	windows []int // in which it has reset
	report  *boot.Report
	refuses []int
}

// courses follows a phone through the changes, in all the ways that its resets allow:
// those in must happen for sure, others may. Courses that come to the same count once.
func (s *predictor) courses(p Phone, changes []Change, must []int, online Online) ([]course, error) {
	now := []course{{phone: p}}
	for k := 0; k <= len(changes); k++ {
		so := changes[:k]
		if k > 0 {
			w, err := s.world(so)
			if err != nil {
				return nil, err
			}
			for i := range now {
				if now[i].phone, err = so[k-1].Move(w, now[i].phone); err != nil {
					return nil, err
				}
			}
		}
		sure := k == len(changes) || slices.Contains(must, k) || k > 0 && so[k-1].Reset || k > 0 && online == Always
		if !sure && online == Never {
			continue
		}
		seen := make(map[string]bool)
		var next []course
		keep := func(c course) {
			id := c.phone.identity()
			if c.report != nil {
				id += c.report.Reason().String()
			}
			if !seen[id] || k == len(changes) {
				seen[id] = true
				next = append(next, c)
			}
		}
		for _, c := range now {
			if !sure {
				keep(c)
			}
		}
		for _, c := range now {
			b, err := s.boot(so, c.phone)
			if err != nil {
				return nil, err
			}
			after := course{b.phone, append(slices.Clone(c.windows), k), b.report, c.refuses}
			if !trusts(b.report) && k < len(changes) && k > 0 {
				after.refuses = append(slices.Clone(c.refuses), k)
			}
			keep(after)
		}
		now = next
	}
	return now, s.ctx.Err()
}

// outcome sums courses up: all of them lead to trust, or some.
func sum(all []course) (every, some bool, locked *boot.Report) {
	every = true
	for _, c := range all {
		if trusts(c.report) {
			some = true
			continue
		}
		every = false
		if locked == nil {
			locked = c.report
		}
	}
	return every, some, locked
}

// tell says what becomes of one phone.
func (s *predictor) tell(p Phone, changes []Change) (*Prediction, error) {
	told := &Prediction{Phone: p}
	all, err := s.courses(p, changes, nil, s.online)
	if err != nil {
		return nil, err
	}
	every, some, locked := sum(all)
	for _, c := range all {
		for _, k := range c.refuses {
			if !slices.Contains(told.Refuses, k) {
				told.Refuses = append(told.Refuses, k)
			}
		}
	}
	slices.Sort(told.Refuses)
	if locked != nil {
		told.Reason = locked.Reason()
		if o := refused(locked); o != nil {
			told.Detail = o.Name
		}
	}
	switch {
	case every:
		told.Outcome = Throughout
	case some:
		told.Outcome = IfReset
		told.Windows, told.Exact, err = s.windows(p, changes, all)
	default:
		told.Outcome = LockedOut
		var before booted
		if before, err = s.boot(nil, p); err == nil && !trusts(before.report) {
			told.Outcome, told.Reason = Already, before.report.Reason()
		}
	}
	return told, err
}

// windows finds the fewest steps after which a phone has to reset for sure.
func (s *predictor) windows(p Phone, changes []Change, all []course) (windows []int, exact bool, err error) {
	for size := 1; size <= len(changes); size++ {
		for must := range subsets(len(changes), size) {
			got, err := s.courses(p, changes, must, s.online)
			if err != nil {
				return nil, false, err
			}
			if every, _, _ := sum(got); every {
				return must, false, nil
			}
		}
	}
	// No reset is sure to be enough whatever else happens: the course that needs the
	// fewest.
	for _, c := range all {
		if w := c.windows[:len(c.windows)-1]; trusts(c.report) && (windows == nil || len(w) < len(windows)) {
			windows = append([]int{}, w...)
		}
	}
	return windows, true, nil
}

// subsets yields the subsets of 0 to n-1 of one size.
func subsets(n, size int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) {
		set := make([]int, 0, size)
		var from func(at int) bool
		from = func(at int) bool {
			if len(set) == size {
				return yield(slices.Clone(set))
			}
			for i := at; i <= n-(size-len(set)); i++ {
				set = append(set, i)
				if !from(i + 1) {
					return false
				}
				set = set[:len(set)-1]
			}
			return true
		}
		from(0)
	}
}

// Follow carries a phone through changes with its resets after just the given steps
// and at the end, and returns the report of each reset.
func Follow(ctx context.Context, w World, p Phone, changes []Change, windows []int) ([]*boot.Report, error) {
	var reports []*boot.Report
	for k := 0; k <= len(changes); k++ {
		if k > 0 {
			if err := changes[k-1].Do(w); err != nil {
				return reports, err
			}
			var err error
			if p, err = changes[k-1].Move(w, p); err != nil {
				return reports, err
			}
		}
		if k == len(changes) || slices.Contains(windows, k) || k > 0 && changes[k-1].Reset {
			var err error
			var report *boot.Report
			if p, report, err = p.Boot(ctx, w); err != nil {
				return reports, err
			}
			reports = append(reports, report)
		}
	}
	return reports, nil
}

// maxTried bounds the sequences that the search for a safe one tries.
const maxTried = 400

// reset is the step in which every phone resets.
func reset() Change { return Change{Text: "reset", Reset: true} }

// plan looks for the nearest sequence that locks nobody out: the order that was asked
// for with resets in it; other orders, the nearest first; with a reset of the list,
// certificates imported, or a rollback around it.
func (s *predictor) plan(phones []Phone, changes []Change) ([]Change, string, error) {
	var bare []Change
	for _, c := range changes {
		if !c.Reset {
			bare = append(bare, c)
		}
	}
	tried := 0
	more, err := extras(s.worlds[""][0], bare)
	if err != nil {
		return nil, "", err
	}
	for _, extra := range more {
		for i, order := range orders(extra.changes) {
			if tried++; tried > maxTried {
				return nil, "", nil
			}
			found, err := s.spaced(phones, order)
			if errors.Is(err, ErrImpossible) {
				continue // in this order something cannot be done
			}
			if err != nil {
				return nil, "", err
			}
			if found != nil {
				why := extra.why
				if i > 0 {
					why = "another order, " + why
				}
				return found, why, nil
			}
		}
	}
	return nil, "", nil
}

// variant is a sequence with something more in it.
type variant struct {
	changes []Change
	why     string
}

// extras returns the changes themselves, and with what may help put in.
func extras(c *cluster.Cluster, changes []Change) ([]variant, error) {
	resetITL, err1 := parseWhole(c, "itl-reset", nil, nil)
	on, err2 := parseWhole(c, "rollback", []string{"on"}, nil)
	off, err3 := parseWhole(c, "rollback", []string{"off"}, nil)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	out := []variant{{changes, "resets in between"}}
	var single []Change
	for _, ch := range changes {
		if ch.split == nil {
			single = append(single, ch)
		} else {
			single = append(single, ch.split...)
		}
	}
	if len(single) > len(changes) && len(single) <= maxChanges {
		out = append(out, variant{single, "one node at a time"})
	}
	imported := slices.Clone(changes)
	for i := len(imported) - 1; i >= 0; i-- {
		for _, a := range imported[i].Actions {
			if a.Op == OpTFTPServers {
				name := strings.TrimPrefix(imported[i].Text, "migrate ")
				imported = slices.Insert(imported, i, Change{Text: "import " + name, Actions: []Action{{Op: OpImport, From: a.Cluster}}})
				break
			}
		}
	}
	if len(imported) > len(changes) {
		out = append(out, variant{imported, "the other cluster's certificates imported first"})
	}
	for i := range changes {
		out = append(out, variant{slices.Insert(slices.Clone(changes), i+1, resetITL, reset()), "the list reset with the recovery key"})
	}
	around := slices.Concat([]Change{on, reset()}, changes, []Change{off})
	return append(out, variant{around, "prepared for a rollback, and back"}), nil
}

// orders returns the orders of changes, the nearest to the given one first. Longer
// sequences, and those with steps that were put in, keep theirs.
func orders(changes []Change) [][]Change {
	const most = 5
	if len(changes) > most || slices.ContainsFunc(changes, func(c Change) bool { return c.Reset }) {
		return [][]Change{changes}
	}
	type order struct {
		changes    []Change
		inversions int
	}
	var all []order
	var build func(order []int, rest []int)
	build = func(done []int, rest []int) {
		if len(rest) == 0 {
			o := order{}
			for i, a := range done {
				o.changes = append(o.changes, changes[a])
				for _, b := range done[i+1:] {
					if a > b {
						o.inversions++
					}
				}
			}
			all = append(all, o)
			return
		}
		for i, x := range rest {
			build(append(slices.Clone(done), x), slices.Delete(slices.Clone(rest), i, i+1))
		}
	}
	var first []int
	for i := range changes {
		first = append(first, i)
	}
	build(nil, first)
	slices.SortStableFunc(all, func(a, b order) int { return a.inversions - b.inversions })
	var out [][]Change
	for _, o := range all {
		out = append(out, o.changes)
	}
	return out
}

// spaced puts resets between changes, as few as will do; nil where none help.
func (s *predictor) spaced(phones []Phone, changes []Change) ([]Change, error) {
	var full []Change
	for i, c := range changes {
		if full = append(full, c); i < len(changes)-1 && !c.Reset && !changes[i+1].Reset {
			full = append(full, reset())
		}
	}
	full = append([]Change{reset()}, full...)
	safe, err := s.safe(phones, full)
	if err != nil || !safe {
		return nil, err
	}
	for i := 0; i < len(full); {
		if !full[i].Reset {
			i++
			continue
		}
		fewer := slices.Delete(slices.Clone(full), i, i+1)
		if safe, err = s.safe(phones, fewer); err != nil {
			return nil, err
		}
		if safe {
			full = fewer
		} else {
			i++
		}
	}
	return full, nil
}

// safe reports whether no phone is locked out by changes whatever other resets there
// are.
func (s *predictor) safe(phones []Phone, changes []Change) (bool, error) {
	for _, p := range phones {
		all, err := s.courses(p, changes, nil, Sometimes)
		if err != nil {
			return false, err
		}
		if every, _, _ := sum(all); !every {
			return false, nil
		}
	}
	return true, nil
}
