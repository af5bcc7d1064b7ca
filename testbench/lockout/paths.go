package lockout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/boot"
)

// predictor tries paths through changes, and remembers what it has tried.
type predictor struct {
	ctx    context.Context
	online Online
	worlds map[string]World // by the changes that led there
	boots  map[string]booted
}

type booted struct {
	phone  Phone
	report *boot.Report
	// registers: the phone can register where it trusts its cluster.
	registers bool
}

// key names the changes so far.
func key(changes []Change) string {
	var b strings.Builder
	for i := range changes {
		if len(changes[i].actions) > 0 {
			b.WriteString(changes[i].Text + "\n")
		}
	}
	return b.String()
}

// world returns the world after changes.
func (pr *predictor) world(changes []Change) (World, error) {
	at := key(changes)
	if w, ok := pr.worlds[at]; ok {
		return w, nil
	}
	last := len(changes) - 1
	before, err := pr.world(changes[:last])
	if err != nil {
		return nil, err
	}
	w := before
	if len(changes[last].actions) > 0 {
		w = before.Fork(nil)
		if err := changes[last].do(w); err != nil {
			return nil, err
		}
	}
	pr.worlds[at] = w
	return w, nil
}

// boot resets a phone in the world after changes.
func (pr *predictor) boot(changes []Change, p Phone) (booted, error) {
	at := key(changes) + p.identity() + p.MAC
	if b, ok := pr.boots[at]; ok {
		return b, nil
	}
	w, err := pr.world(changes)
	if err != nil {
		return booted{}, err
	}
	var b booted
	if b.phone, b.report, err = p.Boot(pr.ctx, w); err != nil {
		return booted{}, err
	}
	b.registers = w.registers(b.phone)
	pr.boots[at] = b
	return b, nil
}

// path is one way through the changes, and where a phone has got to on it.
type path struct {
	phone   Phone
	windows []int // in which it has reset
	report  *boot.Report
	refuses []int

	registers bool // in the end
}

// paths follows a phone through the changes, in all the ways that its resets allow:
// those in must happen for sure, others may. Courses that come to the same count once.
func (pr *predictor) paths(p Phone, changes []Change, must []int, online Online) ([]path, error) {
	now := []path{{phone: p}}
	for k := 0; k <= len(changes); k++ {
		so := changes[:k]
		if k > 0 {
			w, err := pr.world(so)
			if err != nil {
				return nil, err
			}
			for i := range now {
				if now[i].phone, err = so[k-1].move(w, now[i].phone); err != nil {
					return nil, err
				}
			}
		}
		sure := k == len(changes) || slices.Contains(must, k) || k > 0 && so[k-1].Reset || k > 0 && online == Always
		if !sure && online == Never {
			continue
		}
		seen := make(map[string]bool)
		var next []path
		add := func(c path) {
			id := c.phone.identity()
			if c.report != nil {
				id += fmt.Sprint(c.report.Reason(), c.registers)
			}
			if !seen[id] || k == len(changes) {
				seen[id] = true
				next = append(next, c)
			}
		}
		for _, c := range now {
			if !sure {
				add(c)
			}
		}
		for _, c := range now {
			b, err := pr.boot(so, c.phone)
			if err != nil {
				return nil, err
			}
			after := path{b.phone, append(slices.Clone(c.windows), k), b.report, c.refuses, b.registers}
			if !trusts(b.report) && k < len(changes) && k > 0 {
				after.refuses = append(slices.Clone(c.refuses), k)
			}
			add(after)
		}
		now = next
	}
	return now, pr.ctx.Err()
}

// sum sums paths up: all of them lead to trust, or some; locked is the end of the first that does not.
func sum(all []path) (every, some bool, locked *boot.Report) {
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

// registers reports whether a phone can register at the end of every path.
func registers(all []path) bool {
	return !slices.ContainsFunc(all, func(c path) bool { return !c.registers })
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
