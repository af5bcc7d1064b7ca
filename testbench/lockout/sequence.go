package lockout

import (
	"errors"
	"slices"
	"strings"
)

// maxTried bounds the sequences that the search for a safe one tries.
const maxTried = 400

// resets is the step in which every phone resets.
func resets() Change { return Change{Text: reset().name, Reset: true} }

// sequence looks for the nearest sequence that locks nobody out: the order that was asked
// for with resets in it; other orders, the nearest first; with a reset of the list,
// certificates imported, or a rollback around it. Where phones trust their cluster and
// cannot register (mute), the CTL made again comes first.
func (pr *predictor) sequence(phones []Phone, changes []Change, mute bool) ([]Change, string, error) {
	var bare []Change
	for _, c := range changes {
		if !c.Reset {
			bare = append(bare, c)
		}
	}
	tried := 0
	more, err := extras(pr.worlds[""], bare, mute)
	if err != nil {
		return nil, "", err
	}
	for _, extra := range more {
		for i, order := range orders(extra.changes) {
			if tried++; tried > maxTried {
				return nil, "", nil
			}
			found, err := pr.spaced(phones, order)
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

// extras returns the changes themselves, and with what may help put in. mute says that
// some phones trust their cluster in the end, and cannot register.
func extras(w World, changes []Change, mute bool) ([]variant, error) {
	p := &parser{w: w}
	resetITL, err1 := p.change(itlReset().name, nil)
	on, err2 := p.change(rollback().name, []string{"on"})
	off, err3 := p.change(rollback().name, []string{"off"})
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var out []variant
	if mute && w[0].State().Mixed {
		update, err := p.change(ctlUpdate().name, nil)
		if err != nil {
			return nil, err
		}
		for i := range changes { // another order would be safe, too, and bring nothing into use
			out = append(out, variant{slices.Insert(slices.Clone(changes), i+1, update, resets()), "the CTL made again before call managers start"})
		}
	}
	out = append(out, variant{changes, "resets in between"})
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
		if to, ok := strings.CutPrefix(imported[i].Text, migrate().name+" "); ok {
			first := Change{Text: importCertificates().name + " " + to, actions: []action{{op: importCertificates(), from: imported[i].actions[0].cluster}}}
			imported = slices.Insert(imported, i, first)
		}
	}
	if len(imported) > len(changes) {
		out = append(out, variant{imported, "the other cluster's certificates imported first"})
	}
	for i := range changes {
		out = append(out, variant{slices.Insert(slices.Clone(changes), i+1, resetITL, resets()), "the list reset with the recovery key"})
	}
	around := slices.Concat([]Change{on, resets()}, changes, []Change{off})
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
func (pr *predictor) spaced(phones []Phone, changes []Change) ([]Change, error) {
	var full []Change
	for i, c := range changes {
		if full = append(full, c); i < len(changes)-1 && !c.Reset && !changes[i+1].Reset {
			full = append(full, resets())
		}
	}
	full = append([]Change{resets()}, full...)
	safe, err := pr.safe(phones, full)
	if err != nil || !safe {
		return nil, err
	}
	for i := 0; i < len(full); {
		if !full[i].Reset || i > 0 && full[i-1].Text == ctlUpdate().name { // whoever misses a CTL may not hear the next reset
			i++
			continue
		}
		fewer := slices.Delete(slices.Clone(full), i, i+1)
		if safe, err = pr.safe(phones, fewer); err != nil {
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
func (pr *predictor) safe(phones []Phone, changes []Change) (bool, error) {
	for _, p := range phones {
		all, err := pr.paths(p, changes, nil, Sometimes)
		if err != nil {
			return false, err
		}
		if every, _, _ := sum(all); !every || !registers(all) {
			return false, nil
		}
	}
	return true, nil
}
