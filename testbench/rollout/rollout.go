// Package rollout carries a plan out on a cluster that runs: step by step, with phones
// that are told to reset and waited for after each, and an end at the first phone that
// does not come back trusting its cluster.
//
//	r, err := rollout.New(world, changes, rollout.Options{Asked: words})
//	err = r.Run(ctx)
//
// What was done is written to a file in the cluster's directory, of mode 0600, before and
// after each single action: a rollout that was killed goes on where it stopped, and makes
// no certificate twice. A phone trusts its cluster where the list that it has reported
// last is one that a node serves. The bench clock is moved ahead where one certificate
// has to wait for another. A Rollout is not safe for concurrent use; two of one cluster
// must not run at once, which a lock sees to.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/comeback"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/sip"
)

// Errors of a rollout.
var (
	// ErrUntrusted says that a phone came back and does not trust its cluster, or did not
	// come back at all: the rest of the plan was not carried out.
	ErrUntrusted = errors.New("the plan was stopped")
	// ErrUnregistered says that phones would not hear a reset.
	ErrUnregistered = errors.New("not registered")
	// ErrElsewhere says that a plan has a step that is made elsewhere.
	ErrElsewhere = errors.New("cannot be carried out from here")
)

// Options are how a plan is carried out.
type Options struct {
	Asked []string // the changes that were asked for: what is asked for again goes on
	// Phones are those that must trust their cluster, "SEP64A0E71502CC"; nil for all that
	// are registered.
	Phones []string
	// Unregistered lets phones that are not registered miss the resets.
	Unregistered bool
	Rate         int           // phones a second that are told to reset; 0 is the node's default
	Patience     time.Duration // comeback.Patience where 0
	// Refuses are the steps, from 1 on, after which the plan predicts that a phone refuses
	// what it is served, and trusts its cluster later; by device.
	Refuses  map[string][]int
	Say      func(format string, args ...any) // a line for people; nil for nobody
	Progress func(back, of int)               // of the phones that are waited for; may be nil
}

// Rollout is a plan that is carried out.
type Rollout struct {
	w       lockout.World
	c       *cluster.Cluster
	changes []lockout.Change
	o       Options
	done    progress
	unlock  func()
	cut     func() error // of tests: ends it after something was done, as a kill would; nil never does
}

// New makes ready to carry out changes on the first cluster of a world. A last reset is
// added where the changes have none. Where the same was asked for before and did not end,
// it goes on there, with the changes of that time. Close must be called.
func New(w lockout.World, changes []lockout.Change, o Options) (*Rollout, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	r := &Rollout{w: w, c: w[0], o: o, changes: slices.Clone(changes)}
	for i := range r.changes {
		if r.changes[i].Elsewhere() {
			return nil, fmt.Errorf("%s: %w", r.changes[i].Text, ErrElsewhere)
		}
	}
	if n := len(r.changes); n == 0 || !r.changes[n-1].Reset {
		r.changes = append(r.changes, lockout.Change{Text: "reset", Reset: true})
	}
	var err error
	if r.unlock, err = lock(r.c.Dir()); err != nil {
		return nil, err
	}
	if r.done, err = load(r.c.Dir()); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close lets go of the cluster.
func (r *Rollout) Close() { r.unlock() }

// Resumes reports whether a rollout of what was asked for goes on, and behind which step,
// counted from 1.
func (r *Rollout) Resumes() (step int, ok bool) {
	return r.done.Step + 1, r.done.under(r.o.Asked, r.texts())
}

func (r *Rollout) texts() (texts []string) {
	for i := range r.changes {
		texts = append(texts, r.changes[i].Text)
	}
	return texts
}

// Run carries out what is left. An error of a phone is ErrUntrusted, and says which: what
// was asked for can be asked for again once it is repaired.
func (r *Rollout) Run(ctx context.Context) error {
	if !r.done.under(r.o.Asked, r.texts()) {
		r.done = progress{Format: progressFormat, Asked: r.o.Asked, Sequence: r.texts(), Refuses: r.o.Refuses, Phones: r.o.Phones}
		if err := r.checkRegistered(); err != nil {
			return err
		}
	} else if err := r.c.Apply(func(*state.State) error { return nil }); err != nil { // nodes may not have heard of the last change
		return err
	}
	for r.done.Step < len(r.changes) {
		if err := r.step(ctx, &r.changes[r.done.Step]); err != nil {
			return err
		}
	}
	return forget(r.c.Dir())
}

// checkRegistered reports phones that would not hear a reset.
func (r *Rollout) checkRegistered() error {
	phones, err := r.c.Phones()
	if err != nil {
		return err
	}
	registered := make(map[string]bool)
	for _, p := range phones {
		if registered[p.Device] = p.Registered; p.Registered {
			r.done.All = append(r.done.All, p.Device)
		}
	}
	if r.o.Unregistered {
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(r.o.Phones), func(device string) bool { return registered[device] })
	if len(missing) > 0 {
		return fmt.Errorf("%s %w: %s", evidence.Count(len(missing)), ErrUnregistered, some(missing))
	}
	return nil
}

// step does one change, or goes on with it, and waits for the phones.
func (r *Rollout) step(ctx context.Context, ch *lockout.Change) error {
	number := r.done.Step + 1
	if r.done.Waiting == nil {
		r.o.Say("step %d of %d: %s", number, len(r.changes), ch.Text)
		if err := r.settle(ctx, number); err != nil {
			return err
		}
		w, err := comeback.Watch(r.c, nil)
		if err != nil {
			return err
		}
		r.done.Waiting, r.done.Resets, r.done.Action = w.Before(), r.c.State().Resets, 0
		if err := r.save(); err != nil {
			return err
		}
	} else {
		r.o.Say("step %d of %d: %s (goes on)", number, len(r.changes), ch.Text)
	}
	if err := r.act(ctx, ch); err != nil {
		return err
	}
	if ch.Reset && r.done.Action == 0 {
		if err := r.order(); err != nil {
			return err
		}
		if err := r.killed(); err != nil {
			return err
		}
		r.done.Action = 1
		if err := r.save(); err != nil {
			return err
		}
	}
	if r.c.State().Resets != r.done.Resets {
		if err := r.wait(ctx, ch.Reset, number); err != nil {
			return err
		}
	}
	r.done.Step, r.done.Waiting, r.done.Fingerprint = r.done.Step+1, nil, ""
	return r.save()
}

// act does what is left of a change's actions, each once.
func (r *Rollout) act(ctx context.Context, ch *lockout.Change) error {
	for !ch.Reset && r.done.Action < ch.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := fingerprint(r.c.State())
		if r.done.Fingerprint == "" || r.done.Fingerprint == now { // else it was done before the kill
			r.done.Fingerprint = now
			if err := r.save(); err != nil {
				return err
			}
			before := r.c.Now()
			if err := ch.Act(r.w, r.done.Action); err != nil {
				return err
			}
			if err := r.killed(); err != nil {
				return err
			}
			if moved := r.c.Now().Sub(before); moved > operation.HoldTime {
				r.o.Say("  the bench clock moves ahead, past the hold time of certificates")
			}
		}
		r.done.Action, r.done.Fingerprint = r.done.Action+1, ""
		if err := r.save(); err != nil {
			return err
		}
	}
	return nil
}

// killed ends the rollout where a test wants it to.
func (r *Rollout) killed() error {
	if r.cut == nil {
		return nil
	}
	return r.cut()
}

// order tells all phones to reset.
func (r *Rollout) order() error {
	return r.c.Apply(operation.Reset(state.Order{Action: string(sip.Reset), Rate: r.o.Rate}, "a plan is carried out"))
}

// wait waits for the phones of a step. Where the step is a reset, they have to trust their
// cluster.
func (r *Rollout) wait(ctx context.Context, reset bool, number int) error {
	w := comeback.Since(r.c, r.done.Waiting)
	w.Patience = r.o.Patience
	if r.done.Resumed {
		if missing, err := w.Look(); err != nil {
			return err
		} else if len(missing) > 0 { // they may never have been told
			if err := r.order(); err != nil {
				return err
			}
		}
		r.done.Resumed = false
	}
	missing, err := w.Wait(ctx, r.o.Progress)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		r.o.Say("  %d of %d came back", w.Back(), w.Len())
		return fmt.Errorf("%w after step %d: %s did not come back: %s", ErrUntrusted, number, evidence.Count(len(missing)), some(missing))
	}
	if !reset {
		if err := r.settle(ctx, number); err != nil { // there may have been several orders
			return err
		}
		r.o.Say("  %d of %d came back", w.Back(), w.Len())
		return nil
	}
	untrusted, err := r.untrusted(ctx, number)
	if err != nil {
		return err
	}
	r.o.Say("  %d of %d came back, %d of them trusted", w.Back(), w.Len(), w.Back()-len(untrusted))
	if len(untrusted) > 0 {
		return fmt.Errorf("%w after step %d: %s came back, and hold no list that is served: %s", ErrUntrusted, number, evidence.Count(len(untrusted)), some(untrusted))
	}
	return nil
}

// settle waits until all phones are registered, and none of them is about to reset: one that
// is away would not hear the next order.
func (r *Rollout) settle(ctx context.Context, number int) error {
	missing, err := comeback.Settle(ctx, r.c, r.done.All, r.o.Patience)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w at step %d: %s not registered: %s", ErrUntrusted, number, evidence.Count(len(missing)), some(missing))
	}
	return nil
}

// untrusted returns the phones of a step that hold a list which no node serves. What they
// hold may be told a while after they have come back.
func (r *Rollout) untrusted(ctx context.Context, number int) (devices []string, err error) {
	patience := reportTime
	if r.o.Patience != 0 {
		patience = min(patience, r.o.Patience)
	}
	for deadline := time.Now().Add(patience); ; {
		reports, err := evidence.ClusterReports(r.c)
		if err != nil {
			return nil, err
		}
		phones, err := evidence.Registrations(r.c, reports)
		if err != nil {
			return nil, err
		}
		devices = devices[:0]
		for i := range phones {
			p := &phones[i]
			_, waited := r.done.Waiting[p.Device]
			counts := r.done.Phones == nil || slices.Contains(r.done.Phones, p.Device)
			if waited && counts && p.ITLStatus == evidence.MisMatch && !slices.Contains(r.done.Refuses[p.Device], number) {
				devices = append(devices, p.Device)
			}
		}
		if len(devices) == 0 || time.Now().After(deadline) {
			return devices, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// reportTime is how long a phone that is registered again may take to tell which list it
// holds.
const reportTime = 15 * time.Second

// some shows the first of many.
func some(list []string) string {
	const most = 5
	slices.Sort(list)
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
