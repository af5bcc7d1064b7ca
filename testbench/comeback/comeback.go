// Package comeback waits for phones that were told to reset: those that were registered
// before are counted as they register again.
//
//	w, err := comeback.Watch(c, nil) // before they are told
//	err = c.Apply(operation.Reset(order, "an administrator wanted it"))
//	missing, err := w.Wait(ctx, show)
//
// A phone has come back where its registration is another one than before, with whatever
// node. The wait ends when nobody has come back for Patience. Time is the machine's. A
// Watcher is not safe for concurrent use.
package comeback

import (
	"context"
	"slices"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/registrar"
)

// Patience is how long nobody may come back until the wait ends: a phone fetches its
// files within seconds, but tries servers that are silent for their time each, and a
// phone on a board starts again.
const Patience = 2 * time.Minute

// Watcher waits for phones.
type Watcher struct {
	Patience time.Duration // Patience where 0

	phones func() ([]registrar.Phone, error)
	before map[string]Mark
	back   map[string]bool

	settled bool // it is waited for phones that are registered, and not about to reset
}

// Mark tells a registration from any other of the same phone.
type Mark struct {
	Node   string
	Serial uint64
}

// Watch notes who is registered with a cluster now: all, or those that of reports true
// for.
func Watch(c *cluster.Cluster, of func(*registrar.Phone) bool) (*Watcher, error) {
	w := Since(c, make(map[string]Mark))
	phones, err := w.phones()
	if err != nil {
		return nil, err
	}
	for _, p := range phones {
		if p.Registered && (of == nil || of(&p)) {
			w.before[p.Device] = Mark{p.Node, p.Serial}
		}
	}
	return w, nil
}

// Since waits for phones that were noted before, by Before.
func Since(c *cluster.Cluster, before map[string]Mark) *Watcher {
	return &Watcher{phones: c.Phones, before: before, back: make(map[string]bool)}
}

// Before returns who was registered, and how.
func (w *Watcher) Before() map[string]Mark { return w.before }

// Settle waits until every one of some phones is registered with a cluster and none of them
// is about to reset, nothing has changed about that for the patience (Patience where 0), or
// the context ends, and returns those that are not so.
func Settle(ctx context.Context, c *cluster.Cluster, devices []string, patience time.Duration) (missing []string, err error) {
	w := &Watcher{Patience: patience, phones: c.Phones, before: make(map[string]Mark), back: make(map[string]bool), settled: true}
	for _, device := range devices {
		w.before[device] = Mark{}
	}
	return w.Wait(ctx, nil)
}

// Len returns how many phones are waited for.
func (w *Watcher) Len() int { return len(w.before) }

// Back returns how many have come back so far.
func (w *Watcher) Back() int { return len(w.back) }

// Look looks once, and returns who is missing, by name.
func (w *Watcher) Look() (missing []string, err error) {
	phones, err := w.phones()
	if err != nil {
		return nil, err
	}
	if w.settled {
		clear(w.back) // one that was so may be told to reset since
	}
	for _, p := range phones {
		was, ok := w.before[p.Device]
		if w.settled && p.Resetting {
			continue
		}
		if ok && p.Registered && was != (Mark{p.Node, p.Serial}) {
			w.back[p.Device] = true
		}
	}
	for device := range w.before {
		if !w.back[device] {
			missing = append(missing, device)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// look is how often it is looked at least.
const look = 100 * time.Millisecond

// Wait waits until every phone is back, nobody has come back for the patience, or the
// context ends, and returns who is missing. show, if not nil, is told how many are back,
// whenever that changes.
func (w *Watcher) Wait(ctx context.Context, show func(back, of int)) (missing []string, err error) {
	patience := w.Patience
	if patience == 0 {
		patience = Patience
	}
	last, shown := time.Now(), -1
	for {
		before := time.Now()
		if missing, err = w.Look(); err != nil || len(missing) == 0 {
			if err == nil && show != nil {
				show(w.Back(), w.Len())
			}
			return missing, err
		}
		if w.Back() != shown {
			if shown, last = w.Back(), time.Now(); show != nil {
				show(shown, w.Len())
			}
		}
		if time.Since(last) > patience {
			return missing, nil
		}
		select {
		case <-ctx.Done():
			return missing, ctx.Err()
		case <-time.After(max(look, 4*time.Since(before))): // most of the time is the phones'
		}
	}
}
