package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"itlagent/platform/limits"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/rollout"
	"itlagent/testbench/wording"
)

// planFlags are what is asked about, and how.
type planFlags struct {
	phones                                    string
	current, online, offline, details, asJSON bool
	applyFlags
	from    fromFlags
	reports *evidence.Reports // of a real cluster's phones
}

// world opens the cluster of the directory, or makes the copy of a real one, with what was
// guessed of it.
func (x *planFlags) world(e *env, dir string) (lockout.World, []string, int) {
	if !x.from.given() {
		w, code := e.world([]string{dir})
		return w, nil, code
	}
	t, code := x.from.twin(e, "plan", "")
	if t == nil {
		return nil, nil, code
	}
	x.reports = t.Reports
	return lockout.World{t.Cluster}, t.Notes, exitOK
}

func (x *planFlags) add(f *pflag.FlagSet) {
	x.from.add(f)
	f.StringVar(&x.phones, "phones", "", "`FILE` that audit --json wrote; otherwise what the cluster's event log tells")
	f.BoolVar(&x.current, "assume-current", false, "take phones that have reported nothing, or contradictions, to hold what is served now")
	f.BoolVar(&x.online, "online", false, "every phone resets after every step")
	f.BoolVar(&x.offline, "offline", false, "no phone resets before the end, but where the sequence says so")
	f.BoolVar(&x.details, "details", false, "a line for every phone")
	f.BoolVar(&x.asJSON, "json", false, "print one JSON object, and one a phone")
	f.BoolVar(&x.apply, "apply", false, "carry a safe plan out, step by step: phones are told to reset, and waited for")
	f.Var(limits.Int(&x.rate, 1, state.MaxRate), "rate", "with --apply: phones a second that a node tells to reset; the node's default where absent")
	f.BoolVar(&x.unregistered, "unregistered", false, "with --apply: go on although some phones are not registered, and miss the resets")
	f.BoolVar(&x.forget, "forget", false, "give up a plan that was being carried out; what was done stays")
}

// resets says when phones reset.
func (x *planFlags) resets() lockout.Online {
	switch {
	case x.online:
		return lockout.Always
	case x.offline:
		return lockout.Never
	}
	return lockout.Sometimes
}

func runPlan(e *env, args []string) int {
	f := e.flags("plan")
	var x planFlags
	dir := dirFlag(f)
	x.add(f)
	const maxWords = 64
	if code, ok := e.parse(f, args, -maxWords); !ok {
		if code == exitOK {
			fmt.Fprintf(e.stdout, "changes:\n  %s\n", strings.Join(lockout.Syntax(), "\n  "))
		}
		return code
	}
	if x.apply && (x.asJSON || x.phones != "") {
		return e.usage("plan: --apply goes with neither --json nor --phones: it is the cluster itself that is changed")
	}
	if x.from.given() && x.apply {
		return e.usage("plan: --apply carries a plan out on a bench cluster: --from is the copy of a real one")
	}
	if x.online && x.offline {
		return e.usage("plan: --online and --offline exclude each other")
	}
	w, notes, code := x.world(e, *dir)
	if code != exitOK {
		return code
	}
	others := &otherClusters{e: e}
	defer func() { closeWorld(w); closeWorld(others.opened) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if x.forget {
		if err := rollout.Forget(w[0].Dir()); err != nil {
			return e.fail(exitInfra, "plan: %v", plainPath(err))
		}
		if f.NArg() == 0 {
			return exitOK
		}
	}
	if x.apply {
		if code, handled := e.resumePlan(ctx, w, f.Args(), &x, others.find); handled {
			return code
		}
	}
	plan, fleet, w2, code := e.predicted(ctx, w, f.Args(), &x, others.find)
	if code != exitOK {
		return code
	}
	fleet.Notes = append(notes, fleet.Notes...)
	if x.asJSON {
		wording.PlanObjects(e.stdout, plan, fleet)
	} else {
		wording.Plan(e.stdout, plan, fleet, w2, x.details)
	}
	if x.apply {
		return e.applyPlan(ctx, w2, f.Args(), plan, &x)
	}
	if !plan.Safe() || plan.Count(lockout.Already)+plan.Count(lockout.Unserved)+plan.Count(lockout.CannotRegister) > 0 {
		return exitNo
	}
	return exitOK
}

// predicted reads changes and says what becomes of the phones, and of which world.
func (e *env) predicted(ctx context.Context, w lockout.World, words []string, x *planFlags, find func(string) (*cluster.Cluster, error)) (*lockout.Plan, *evidence.Fleet, lockout.World, int) {
	changes, w2, err := lockout.ParseChanges(w, words, find)
	if err != nil {
		return nil, nil, nil, e.usage("plan: %v", err)
	}
	fleet, err := fleetOf(w2, x.phones, x.reports, x.current)
	if err != nil {
		return nil, nil, nil, e.fail(exitNo, "plan: %v", plainPath(err))
	}
	if len(fleet.Phones) == 0 {
		return nil, nil, nil, e.fail(exitNo, "plan: nothing is known of what %s would hold; let them report, or take --assume-current", evidence.Count(fleet.Uncounted()))
	}
	plan, err := lockout.Predict(ctx, w2, fleet.Phones, changes, lockout.Options{Online: x.resets(), Sequence: true})
	switch {
	case errors.Is(err, lockout.ErrImpossible):
		return nil, nil, nil, e.fail(exitNo, "plan: %v", err)
	case err != nil:
		return nil, nil, nil, e.fail(exitInfra, "plan: %v", err)
	}
	return plan, fleet, w2, exitOK
}

// fleetOf puts the phones together from what they have reported: to the clusters, or by
// what `audit --json` wrote into a file.
func fleetOf(w lockout.World, file string, reports *evidence.Reports, current bool) (*evidence.Fleet, error) {
	var err error
	if reports != nil && file == "" {
		return evidence.Phones(w, reports, current)
	}
	if file != "" {
		reports, err = evidence.AuditOutput(file)
	} else {
		reports, err = evidence.EventLogs(w)
	}
	if err != nil {
		return nil, err
	}
	return evidence.Phones(w, reports, current)
}

// otherClusters finds the clusters that changes name.
type otherClusters struct {
	e      *env
	opened lockout.World
}

// find opens the cluster of a directory, or makes one of a profile that nothing else
// ever sees.
func (o *otherClusters) find(name string) (*cluster.Cluster, error) {
	c, err := cluster.Open(cluster.Options{Dir: name})
	if errors.Is(err, fs.ErrNotExist) {
		var p profile.Profile
		if p, err = profile.Builtin(name); err != nil {
			return nil, fmt.Errorf("neither the directory of a cluster nor a profile: %s; profiles are: %s", name, strings.Join(profile.ProfileNames(), ", "))
		}
		for i := range p.Nodes { // addresses that no other cluster has
			p.Nodes[i].Host = fmt.Sprintf("127.%d.0.%d", 200+len(o.opened), i+1)
		}
		c, err = cluster.New(p, cluster.Options{})
	}
	if err != nil {
		return nil, plainPath(err)
	}
	o.opened = append(o.opened, c)
	return c, nil
}
