package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"itlagent/testbench/cluster"
	"itlagent/testbench/lockout"
	"itlagent/testbench/rollout"
)

// applyFlags are how a plan is carried out.
type applyFlags struct {
	apply, unregistered, forget bool
	rate                        int
}

// resumePlan goes on with a plan that was being carried out, where the same is asked for.
// handled is false where there is none.
func (e *env) resumePlan(ctx context.Context, w lockout.World, asked []string, x *planFlags, find finder) (code int, handled bool) {
	was, sequence, err := rollout.Pending(w[0].Dir())
	switch {
	case err != nil:
		return e.fail(exitInfra, "plan: %v; --forget gives it up", plainPath(err)), true
	case was == nil:
		return 0, false
	case !slices.Equal(was, asked):
		return e.fail(exitNo, "plan: another one is not done yet: %v; ask for it again with --apply, or give it up with --forget", was), true
	}
	changes, w, err := lockout.ParseChanges(w, sequence, find)
	if err != nil {
		return e.fail(exitNo, "plan: what is left of it cannot be read: %v", err), true
	}
	fmt.Fprintln(e.stdout, "goes on where it stopped")
	return e.carryOut(ctx, w, changes, rollout.Options{Asked: asked}, x), true
}

// finder finds a cluster that a change names.
type finder = func(name string) (*cluster.Cluster, error)

// applyPlan carries out a plan that is safe, or the safe sequence in its place.
func (e *env) applyPlan(ctx context.Context, w lockout.World, asked []string, plan *lockout.Plan, x *planFlags) int {
	changes := plan.Changes
	if !plan.Safe() {
		if changes = plan.Sequence; changes == nil {
			return e.fail(exitNo, "plan: not safe, and no safe sequence was found: nothing is carried out")
		}
	}
	var phones []lockout.Phone
	for i := range plan.Phones {
		phones = append(phones, plan.Phones[i].Phone)
	}
	again, err := lockout.Predict(ctx, w, phones, changes, lockout.Options{Online: lockout.Sometimes})
	if err != nil {
		return e.fail(exitInfra, "plan: %v", err)
	}
	if !again.Safe() {
		return e.fail(exitNo, "plan: not safe if phones reset at other times than asked for: nothing is carried out")
	}
	o := rollout.Options{Asked: asked, Refuses: make(map[string][]int)}
	for i := range again.Phones {
		p := &again.Phones[i]
		if p.Outcome != lockout.Throughout {
			continue // it is locked already
		}
		device := "SEP" + p.Phone.MAC
		o.Phones = append(o.Phones, device)
		if len(p.Refuses) > 0 {
			o.Refuses[device] = p.Refuses
		}
	}
	fmt.Fprintln(e.stdout)
	return e.carryOut(ctx, w, changes, o, x)
}

// carryOut carries changes out, and says how far it came.
func (e *env) carryOut(ctx context.Context, w lockout.World, changes []lockout.Change, o rollout.Options, x *planFlags) int {
	o.Unregistered, o.Rate = x.unregistered, x.rate
	o.Say = func(format string, args ...any) { fmt.Fprintf(e.stdout, format+"\n", args...) }
	o.Progress = e.progress()
	r, err := rollout.New(w, changes, o)
	if err == nil {
		defer r.Close()
		err = r.Run(ctx)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return e.fail(exitInfra, "plan: interrupted; the same command goes on")
	case errors.Is(err, rollout.ErrUnregistered):
		return e.fail(exitNo, "plan: %v; they would not hear a reset: --unregistered leaves them behind", err)
	case errors.Is(err, rollout.ErrUntrusted):
		return e.fail(exitNo, "plan: %v; itlbench explain says why; once it is repaired the same command goes on", err)
	case errors.Is(err, rollout.ErrElsewhere):
		return e.fail(exitNo, "plan: %v", err)
	case err != nil:
		return e.fail(exitInfra, "plan: %v", plainPath(err))
	}
	fmt.Fprintln(e.stdout, "done")
	return exitOK
}
