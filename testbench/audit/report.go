package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"itlagent/agent/trust"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// Tally sums phones up.
type Tally struct {
	Phones   int
	Locked   int // that hold a list which keeps them from following
	Unserved int // that hold no list, and get nothing that they can use
	Mute     int // that trust their cluster, and cannot register
	Unjudged int // of whom it is not known what a reset would come to
	Status   map[Status]int

	remedies []*remedyCount
}

// Tally judges all phones and sums them up.
func (j *Judge) Tally(r *evidence.Reports) (*Tally, error) {
	t := &Tally{Status: make(map[Status]int)}
	for p, err := range j.Phones(r) {
		if err != nil {
			return nil, err
		}
		t.add(p)
	}
	return t, nil
}

// remedyCount is how many phones a remedy works for.
type remedyCount struct {
	what, commands string
	phones         int
	onSite         bool
}

func (t *Tally) add(p *Phone) {
	t.Phones++
	t.Status[p.Status]++
	if !p.Judged {
		t.Unjudged++
		return
	}
	if p.Follows() {
		return
	}
	switch {
	case p.CannotRegister:
		t.Mute++
	case p.Locked:
		t.Locked++
	default:
		t.Unserved++
	}
	c := remedyCount{what: "no remedy was found"}
	if p.Remedy != nil {
		c = remedyCount{what: p.Remedy.What, commands: remedyLine(p.Remedy), onSite: p.Remedy.OnSite}
	}
	at := slices.IndexFunc(t.remedies, func(w *remedyCount) bool { return w.what == c.what && w.commands == c.commands })
	if at < 0 {
		at = len(t.remedies)
		t.remedies = append(t.remedies, &c)
	}
	t.remedies[at].phones++
}

// remedyLine writes the commands of a remedy on one line.
func remedyLine(w *lockout.Remedy) string {
	var lines []string
	for _, c := range w.Commands {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "; ")
}

// Print writes for people: in the first lines how many phones are lost and what brings
// them back, then a table of those that need something, or of all.
func (j *Judge) Print(w io.Writer, r *evidence.Reports, t *Tally, all bool) error {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	var parts []string
	for _, s := range Statuses() {
		parts = append(parts, fmt.Sprintf("%d %s", t.Status[s], s))
	}
	line("%s: %s", evidence.Count(t.Phones), strings.Join(parts, ", "))
	switch {
	case t.Unserved == 0 && t.Locked == 0:
		line("none of those whose lists are known is locked")
	case t.Unserved == 0:
		line("%d locked:", t.Locked)
	default:
		line("%d locked, and %d without lists that get nothing:", t.Locked, t.Unserved)
	}
	if t.Mute > 0 {
		line("%d trusted, but cannot register: no call manager shows a certificate that their lists have", t.Mute)
	}
	for _, c := range t.remedies {
		onSite := ""
		if c.onSite {
			onSite = " (on-site)"
		}
		line("  %s: %s%s", evidence.Count(c.phones), c.what, onSite)
		if c.commands != "" {
			line("    %s", c.commands)
		}
	}
	if t.Unjudged > 0 {
		line("%s cannot be judged: no known cluster has served their lists, or nothing is known of them", evidence.Count(t.Unjudged))
	}
	if err := j.table(w, r, all); err != nil {
		return err
	}
	if r.Unusable+r.Long > 0 {
		line("\n%d lines could not be used:", r.Unusable+r.Long)
		for _, fault := range r.Faults {
			line("  %s", fault)
		}
		if r.Long > 0 {
			line("  %d lines of more than %d bytes", r.Long, evidence.MaxLine)
		}
	}
	return nil
}

// table prints the phones that need something, or all.
func (j *Judge) table(w io.Writer, r *evidence.Reports, all bool) error {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	shown := 0
	for p, err := range j.Phones(r) {
		if err != nil {
			return err
		}
		if p.Status == Current && p.Follows() && !all {
			continue
		}
		if shown++; shown == 1 {
			fmt.Fprintln(tab, "\nDEVICE\tLIST\tITL\tSERVED\tBY A RESET\tREMEDY")
		}
		fmt.Fprintf(tab, "SEP%v\t%s\t%.12s\t%s\t%s\t%s\n", p.MAC, p.Status, dash(p.ITL.String()), served(p), next(p), back(p))
		const flush = 1000 // lines that are lined up with each other
		if shown%flush == 0 {
			tab.Flush()
		}
	}
	tab.Flush()
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func served(p *Phone) string {
	if p.Home == "" {
		return dash(p.Note)
	}
	if p.Until.IsZero() {
		return fmt.Sprintf("by %s of %s since %s", p.Node, p.Home, p.Since.UTC().Format(time.DateTime))
	}
	return fmt.Sprintf("by %s of %s until %s", p.Node, p.Home, p.Until.UTC().Format(time.DateTime))
}

func next(p *Phone) string {
	switch {
	case !p.Judged:
		return "not known"
	case p.CannotRegister:
		return "trusted, but cannot register"
	case p.Verdict == trust.Accepted:
		return "follows"
	}
	if !p.Locked {
		return "gets nothing: " + p.Verdict.String()
	}
	return "locked: " + p.Verdict.String()
}

func back(p *Phone) string {
	if p.Remedy == nil {
		return "-"
	}
	return p.Remedy.Name
}
