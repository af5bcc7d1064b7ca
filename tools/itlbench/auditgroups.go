package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/printable"
	"itlagent/testbench/cluster/store"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// world opens the clusters, or makes the copy of a real one, with the reports that are among its
// evidence.
func (x *auditFlags) world(e *env) (lockout.World, *evidence.Reports, int) {
	if !x.from.given() {
		w, code := e.world(x.dirs)
		return w, evidence.New(), code
	}
	t, code := x.from.twin(e, "audit", "")
	if t == nil {
		return nil, nil, code
	}
	for _, n := range t.Notes {
		fmt.Fprintf(e.stderr, "itlbench: not known: %s\n", printable.Text(n))
	}
	return lockout.World{t.Cluster}, t.Reports, exitOK
}

// logsAlone reports whether logs are all that there is: no cluster, and no lists.
func (x *auditFlags) logsAlone() bool {
	return len(x.logs) > 0 && len(x.dirs) == 0 && !x.from.given() && store.Exists(defaultDir) != nil
}

// group is phones that report the same lists.
type group struct {
	ITL     string   `json:"itl"`
	CTL     string   `json:"ctl"`
	Phones  int      `json:"phones"`
	Devices []string `json:"devices"` // some of them
}

// groups prints which phones report the same lists, where nothing else is known.
func (x *auditFlags) groups(e *env) int {
	reports := evidence.New()
	for _, path := range x.logs {
		if err := e.readLog(reports, path); err != nil {
			return e.fail(exitInfra, "audit: %v", plainPath(err))
		}
	}
	byLists := make(map[string]*group)
	disputed := 0
	for _, m := range reports.MACs() {
		r, _, err := reports.Last(m)
		if err != nil {
			disputed++
			continue
		}
		key := r.ITL.String() + " " + r.CTL.String()
		g := byLists[key]
		if g == nil {
			g = &group{ITL: r.ITL.String(), CTL: r.CTL.String()}
			byLists[key] = g
		}
		const most = 5
		if g.Phones++; len(g.Devices) < most {
			g.Devices = append(g.Devices, "SEP"+m.String())
		}
	}
	var all []*group
	for _, g := range byLists {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int {
		return cmp.Or(b.Phones-a.Phones, strings.Compare(a.ITL, b.ITL), strings.Compare(a.CTL, b.CTL))
	})
	x.printGroups(e, reports, all, disputed)
	return exitOK
}

func (x *auditFlags) printGroups(e *env, reports *evidence.Reports, all []*group, disputed int) {
	line := func(format string, args ...any) { fmt.Fprintf(e.stdout, format+"\n", args...) }
	if x.asJSON {
		for _, g := range all {
			printJSON(e.stdout, g)
		}
		return
	}
	if x.asCSV {
		line("itl,ctl,phones")
		for _, g := range all {
			line("%s,%s,%d", g.ITL, g.CTL, g.Phones)
		}
		return
	}
	line("%s in %d groups by the lists that they hold:", evidence.Count(reports.Len()), len(all))
	for _, g := range all {
		lists := "no list"
		if g.ITL != "" {
			lists = "ITL " + g.ITL
		}
		if g.CTL != "" {
			lists += ", CTL " + g.CTL
		}
		dots := ""
		if g.Phones > len(g.Devices) {
			dots = " ..."
		}
		line("  %s: %s\n    %s%s", evidence.Count(g.Phones), lists, strings.Join(g.Devices, " "), dots)
	}
	if disputed > 0 {
		line("  %s with reports that contradict each other", evidence.Count(disputed))
	}
	if reports.Unusable+reports.Long > 0 {
		line("%d lines could not be used", reports.Unusable+reports.Long)
	}
	fmt.Fprintln(e.stderr, "itlbench: with --itl LIST, or its show itl text, the groups have names")
}
