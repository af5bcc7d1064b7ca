package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

func runPlan(e *env, args []string) int {
	f := e.flags("plan")
	dir := dirFlag(f)
	audited := f.String("phones", "", "`FILE` that audit --json wrote; otherwise what the cluster's event log tells")
	current := f.Bool("assume-current", false, "take phones that have reported nothing, or contradictions, to hold what is served now")
	online := f.Bool("online", false, "every phone resets after every step")
	offline := f.Bool("offline", false, "no phone resets before the end, but where the sequence says so")
	details := f.Bool("details", false, "a line for every phone")
	asJSON := f.Bool("json", false, "print one JSON object, and one a phone")
	const maxWords = 64
	if code, ok := e.parse(f, args, -maxWords); !ok {
		if code == exitOK {
			fmt.Fprintf(e.stdout, "changes:\n  %s\n", strings.Join(lockout.Syntax(), "\n  "))
		}
		return code
	}
	if *online && *offline {
		return e.usage("plan: --online and --offline exclude each other")
	}
	w, code := e.world([]string{*dir})
	if code != exitOK {
		return code
	}
	others := &otherClusters{e: e}
	defer func() { closeWorld(w); closeWorld(others.opened) }()
	changes, w2, err := lockout.ParseChanges(w, f.Args(), others.find)
	if err != nil {
		return e.usage("plan: %v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fleet, err := fleetOf(w2, *audited, *current)
	if err != nil {
		return e.fail(exitNo, "plan: %v", plainPath(err))
	}
	if len(fleet.Phones) == 0 {
		return e.fail(exitNo, "plan: nothing is known of what %s would hold; let them report, or take --assume-current", evidence.Count(fleet.Uncounted()))
	}
	when := lockout.Sometimes
	if *online {
		when = lockout.Always
	} else if *offline {
		when = lockout.Never
	}
	told, err := lockout.Predict(ctx, w2, fleet.Phones, changes, lockout.Options{Online: when, Sequence: true})
	switch {
	case errors.Is(err, lockout.ErrImpossible):
		return e.fail(exitNo, "plan: %v", err)
	case err != nil:
		return e.fail(exitInfra, "plan: %v", err)
	}
	if *asJSON {
		e.planJSON(told, fleet)
	} else {
		e.printPlan(told, fleet, w2, *details)
	}
	if !told.Safe() || told.Count(lockout.Already) > 0 {
		return exitNo
	}
	return exitOK
}

// fleetOf puts the phones together from what they have reported: to the clusters, or by
// what `audit --json` wrote into a file.
func fleetOf(w lockout.World, file string, current bool) (*evidence.Fleet, error) {
	var reports *evidence.Reports
	var err error
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

// fateJSON is what `plan --json` prints of a phone, foresightJSON of them all.
type predictionJSON struct {
	Device  string `json:"device"`
	Outcome string `json:"outcome"`
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
}

func texts(changes []lockout.Change) []string {
	out := []string{}
	for i := range changes {
		out = append(out, changes[i].Text)
	}
	return out
}

var outcomes = []lockout.Outcome{lockout.Throughout, lockout.IfReset, lockout.LockedOut, lockout.Already}

func (e *env) planJSON(told *lockout.Plan, fleet *evidence.Fleet) {
	out := planJSON{Safe: told.Safe(), Steps: texts(told.Changes), Totals: make(map[string]int), Unknown: fleet.Uncounted(),
		Sequence: texts(told.Sequence), SequenceWhy: told.SequenceWhy, Notes: append([]string{}, fleet.Notes...)}
	for _, outcome := range outcomes {
		out.Totals[string(outcome)] = told.Count(outcome)
	}
	printJSON(e.stdout, out)
	for i := range told.Phones {
		p := &told.Phones[i]
		printJSON(e.stdout, predictionJSON{"SEP" + p.Phone.MAC, string(p.Outcome), append([]int{}, p.Windows...), p.Exact, p.Reason.String(), append([]int{}, p.Refuses...)})
	}
}

// fateLine says of a phone's outcome what is to be known, in a line.
func predictionLine(p *lockout.Prediction) string {
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
		return fmt.Sprintf("trusts its cluster %s; otherwise locked: %v", only, p.Reason)
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

// printForesight says in the first lines how many phones are lost, and what to do
// instead.
func (e *env) printPlan(told *lockout.Plan, fleet *evidence.Fleet, w lockout.World, details bool) {
	line := func(format string, args ...any) { fmt.Fprintf(e.stdout, format+"\n", args...) }
	already := told.Count(lockout.Already)
	line("of %s: %d trusted throughout, %d trusted only if they reset in between, %d locked out, %d locked already", evidence.Count(len(told.Phones)),
		told.Count(lockout.Throughout), told.Count(lockout.IfReset), told.Count(lockout.LockedOut), already)
	switch {
	case told.Safe() && already > 0:
		line("nobody else is locked out; itlbench explain --mac says what brings the others back")
	case told.Safe():
		line("safe: nobody is locked out")
	case told.Sequence == nil:
		line("not safe, and no safe sequence was found: test with one phone first")
	default:
		line("not safe; this is, with %s: %s", told.SequenceWhy, strings.Join(texts(told.Sequence), ", "))
	}
	type group struct {
		text    string
		devices []string
	}
	var groups []*group
	for i := range told.Phones {
		p := &told.Phones[i]
		text := predictionLine(p)
		at := slices.IndexFunc(groups, func(g *group) bool { return g.text == text })
		if at < 0 {
			at = len(groups)
			groups = append(groups, &group{text: text})
		}
		groups[at].devices = append(groups[at].devices, "SEP"+p.Phone.MAC)
	}
	line("\nwhat was asked:")
	printSteps(e.stdout, told.Changes, w)
	line("\nphones:")
	for _, g := range groups {
		line("  %d: %s", len(g.devices), g.text)
		if details {
			for _, d := range g.devices {
				line("     %s", d)
			}
		}
	}
	if told.Sequence != nil {
		line("\nwhat is safe:")
		printSteps(e.stdout, told.Sequence, w)
	}
	for i, n := range fleet.Notes {
		if i == 0 {
			line("\nnot known:")
		}
		line("  %s", n)
	}
}

// printSteps numbers changes, with what is typed for each.
func printSteps(w io.Writer, changes []lockout.Change, world lockout.World) {
	for i := range changes {
		text := changes[i].Text
		if changes[i].Reset {
			text = "reset: wait until every phone has reset"
		}
		fmt.Fprintf(w, "  %d. %s\n", i+1, text)
		for _, c := range changes[i].Commands(world) {
			fmt.Fprintf(w, "       %s\n", c)
		}
	}
}
