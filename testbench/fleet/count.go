package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Count is how many phones are in which state.
type Count struct {
	Phones     int
	State      [states]int
	InCycle    int            // in a boot cycle now, the first or another one
	Registered int            // with a call manager
	Boots      int            // boot cycles that had an outcome
	Reasons    map[string]int // of the locked and unserved ones
	Running    time.Duration  // since the first phone began
}

// Count counts the phones now.
func (f *Fleet) Count() Count {
	registered := 0
	if f.spec.Register {
		for _, p := range f.phones {
			if p.registered() != "" {
				registered++
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.count
	c.Registered, c.Reasons = registered, maps.Clone(f.count.Reasons)
	if !f.begun.IsZero() {
		c.Running = time.Since(f.begun)
	}
	return c
}

// reasons returns the reasons, the most frequent first.
func (c *Count) reasons() []string {
	return slices.SortedFunc(maps.Keys(c.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.Reasons[b], c.Reasons[a]), strings.Compare(a, b))
	})
}

// Line says it on one line, with the rate since a count before.
func (c *Count) Line(before Count) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d trusted", c.State[Trusted], c.Phones)
	if n := c.State[Locked] + c.State[Unserved]; n > 0 {
		fmt.Fprintf(&b, ", %d not", n)
		for i, name := range c.reasons() {
			sep := map[bool]string{true: " (", false: ", "}[i == 0]
			fmt.Fprintf(&b, "%s%s %d", sep, name, c.Reasons[name])
		}
		if len(c.Reasons) > 0 {
			b.WriteString(")")
		}
	}
	fmt.Fprintf(&b, ", %d in progress", c.InCycle)
	if c.Registered > 0 {
		fmt.Fprintf(&b, ", %d registered", c.Registered)
	}
	if d := (c.Running - before.Running).Seconds(); d > 0 {
		fmt.Fprintf(&b, ", %.0f boots/s", float64(c.Boots-before.Boots)/d)
	}
	return b.String()
}

// Summary returns what can be said of the phones without their results.
func (c *Count) Summary() Summary {
	return Summary{Phones: c.Phones, Trusted: c.State[Trusted], Locked: c.State[Locked], Unserved: c.State[Unserved],
		Unbooted: c.State[Waiting] + c.State[Booting], Registered: c.Registered, Reasons: c.Reasons, Boots: c.Boots}
}

// Settled reports whether every phone has had a first boot cycle and none is in one.
func (c *Count) Settled() bool {
	return c.State[Waiting] == 0 && c.State[Booting] == 0 && c.InCycle == 0
}

// Times are percentiles of how long phones took from the wish to boot to the outcome.
type Times struct{ Median, P95, P99, Max time.Duration }

// percentiles computes them of durations, which are sorted.
func percentiles(all []time.Duration) (t Times) {
	if len(all) == 0 {
		return t
	}
	slices.Sort(all)
	at := func(percent int) time.Duration { return all[min(len(all)*percent/100, len(all)-1)] }
	return Times{at(50), at(95), at(99), all[len(all)-1]}
}

// TimesOf returns them of the last boot cycle of each phone.
func TimesOf(results []Result) Times {
	var all []time.Duration
	for i := range results {
		if results[i].Boots > 0 {
			all = append(all, results[i].Took)
		}
	}
	return percentiles(all)
}
