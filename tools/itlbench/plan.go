package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		e.planJSON(plan, fleet)
	} else {
		e.printPlan(plan, fleet, w2, x.details)
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

// predictionJSON is what `plan --json` prints of a phone, planJSON of them all.
type predictionJSON struct {
	Device  string `json:"device"`
	Outcome string `json:"outcome"`
	Locked  bool   `json:"locked"`  // it is a list of its own that keeps it from its cluster
	Windows []int  `json:"windows"` // steps after which it has to reset; 0 is before the first
	Exact   bool   `json:"exact"`   // and at no other
	Reason  string `json:"reason"`
	Refuses []int  `json:"refuses"`
}

type planJSON struct {
	Safe        bool           `json:"safe"`
	Steps       []string       `json:"steps"`
	Totals      map[string]int `json:"totals"`
	Unknown     int            `json:"unknown"`
	Sequence    []string       `json:"sequence"`
	SequenceWhy string         `json:"sequenceWhy"`
	Notes       []string       `json:"notes"`
	Warnings    []string       `json:"warnings"`
}

func texts(changes []lockout.Change) []string {
	out := []string{}
	for i := range changes {
		out = append(out, changes[i].Text)
	}
	return out
}

func (e *env) planJSON(plan *lockout.Plan, fleet *evidence.Fleet) {
	out := planJSON{Safe: plan.Safe(), Steps: texts(plan.Changes), Totals: make(map[string]int), Unknown: fleet.Uncounted(),
		Sequence: texts(plan.Sequence), SequenceWhy: plan.SequenceWhy, Notes: append([]string{}, fleet.Notes...), Warnings: append([]string{}, plan.Warnings...)}
	for _, outcome := range lockout.Outcomes() {
		out.Totals[string(outcome)] = plan.Count(outcome)
	}
	printJSON(e.stdout, out)
	for i := range plan.Phones {
		p := &plan.Phones[i]
		printJSON(e.stdout, predictionJSON{"SEP" + p.Phone.MAC, string(p.Outcome), p.Locked, append([]int{}, p.Windows...), p.Exact, p.Reason.String(), append([]int{}, p.Refuses...)})
	}
}

// predictionLine says in a line what becomes of a phone.
func predictionLine(p *lockout.Prediction, registered bool) string {
	switch p.Outcome {
	case lockout.Throughout:
		if len(p.Refuses) > 0 {
			return fmt.Sprintf("trusts its cluster in the end; if it resets after step %s it refuses what it is served for a while", numbers(p.Refuses))
		}
		return "trusts its cluster throughout"
	case lockout.IfReset:
		var where []string
		for _, k := range p.Windows {
			if k == 0 {
				where = append(where, "before step 1")
			} else {
				where = append(where, fmt.Sprintf("between steps %d and %d", k, k+1))
			}
		}
		only := "only if it resets " + strings.Join(where, ", and ")
		switch {
		case p.Exact && len(where) == 0:
			only = "only if it does not reset before the end"
		case p.Exact:
			only += ", and at no other time"
		}
		otherwise := "locked"
		if !p.Locked {
			otherwise = "it gets nothing"
		}
		if registered && !p.Exact {
			return fmt.Sprintf("trusts its cluster if it is reset %s and has come back before the next step; otherwise %s: %v", strings.Join(where, ", and "), otherwise, p.Reason)
		}
		return fmt.Sprintf("trusts its cluster %s; otherwise %s: %v", only, otherwise, p.Reason)
	case lockout.Unserved:
		return fmt.Sprintf("holds no trust list in the end, and gets nothing: %v (%s)", p.Reason, p.Reason.Text())
	case lockout.CannotRegister:
		return "trusts its cluster, but cannot register: its lists may lack the certificate that its call managers show (ctl-update makes the CTL again)"
	case lockout.Already:
		return fmt.Sprintf("is locked now, and stays so: %v", p.Reason)
	}
	return fmt.Sprintf("is locked out: %v (%s)", p.Reason, p.Reason.Text())
}

func numbers(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

// printPlan says in the first lines how many phones are lost, and what to do
// instead.
func (e *env) printPlan(plan *lockout.Plan, fleet *evidence.Fleet, w lockout.World, details bool) {
	line := func(format string, args ...any) { fmt.Fprintf(e.stdout, format+"\n", args...) }
	already := plan.Count(lockout.Already)
	unserved := ""
	if n := plan.Count(lockout.Unserved); n > 0 {
		unserved = fmt.Sprintf(", %d without lists that get nothing", n)
	}
	if n := plan.Count(lockout.CannotRegister); n > 0 {
		unserved += fmt.Sprintf(", %d trusted but cannot register", n)
	}
	line("of %s: %d trusted throughout, %d trusted only if they reset in between, %d locked out, %d locked already%s", evidence.Count(len(plan.Phones)),
		plan.Count(lockout.Throughout), plan.Count(lockout.IfReset), plan.Count(lockout.LockedOut), already, unserved)
	switch {
	case plan.Safe() && already > 0:
		line("nobody else is locked out; itlbench explain --mac says what brings the others back")
	case plan.Safe():
		line("safe: nobody is locked out")
	case plan.Sequence == nil:
		line("not safe, and no safe sequence was found: test with one phone first")
	default:
		line("not safe; this is, with %s: %s", plan.SequenceWhy, strings.Join(texts(plan.Sequence), ", "))
	}
	for _, warning := range plan.Warnings {
		line("warning: %s", warning)
	}
	registered := registeredWith(w[0])
	line("\nwhat was asked:")
	printSteps(e.stdout, plan.Changes, w, len(registered))
	line("\nphones:")
	printPredictions(e.stdout, plan.Phones, registered, details)
	if plan.Sequence != nil {
		line("\nwhat is safe:")
		printSteps(e.stdout, plan.Sequence, w, len(registered))
	}
	for i, n := range fleet.Notes {
		if i == 0 {
			line("\nnot known:")
		}
		line("  %s", n)
	}
}

// printPredictions counts the phones of which the same is to be said.
func printPredictions(w io.Writer, phones []lockout.Prediction, registered map[string]bool, details bool) {
	devices := make(map[string][]string)
	var lines []string
	for i := range phones {
		text := predictionLine(&phones[i], registered["SEP"+phones[i].Phone.MAC])
		if devices[text] == nil {
			lines = append(lines, text)
		}
		devices[text] = append(devices[text], "SEP"+phones[i].Phone.MAC)
	}
	for _, text := range lines {
		fmt.Fprintf(w, "  %d: %s\n", len(devices[text]), text)
		if details {
			for _, d := range devices[text] {
				fmt.Fprintf(w, "     %s\n", d)
			}
		}
	}
}

// registeredWith returns the phones that are registered with a cluster, by name; none
// where that cannot be known.
func registeredWith(c *cluster.Cluster) map[string]bool {
	registered := make(map[string]bool)
	phones, err := c.Phones()
	for i := range phones {
		if err == nil && phones[i].Registered {
			registered[phones[i].Device] = true
		}
	}
	return registered
}

// printSteps numbers changes, with what is typed for each. Of so many phones that are
// registered it is known whether they come back.
func printSteps(w io.Writer, changes []lockout.Change, world lockout.World, registered int) {
	for i := range changes {
		text := changes[i].Text
		switch {
		case changes[i].Reset && registered > 0:
			text = fmt.Sprintf("reset now, wait until %s come back", evidence.Count(registered))
			if registered == 1 {
				text = "reset now, wait until 1 phone comes back"
			}
		case changes[i].Reset:
			text = "reset: wait until every phone has reset"
		}
		fmt.Fprintf(w, "  %d. %s\n", i+1, text)
		if changes[i].Reset && registered > 0 {
			fmt.Fprintf(w, "       %s admin:utils reset devices\n", world[0].Publisher().Name())
		}
		for _, c := range changes[i].Commands(world) {
			fmt.Fprintf(w, "       %s\n", c)
		}
	}
}
