package wording

import (
	"fmt"
	"io"
	"strings"

	"itlagent/testbench/cluster"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// PredictionJSON is what `plan --json` prints of a phone.
type PredictionJSON struct {
	Device  string `json:"device"`
	Outcome string `json:"outcome"`
	Locked  bool   `json:"locked"`  // it is a list of its own that keeps it from its cluster
	Windows []int  `json:"windows"` // steps after which it has to reset; 0 is before the first
	Exact   bool   `json:"exact"`   // and at no other
	Reason  string `json:"reason"`
	Refuses []int  `json:"refuses"`
}

// PlanJSON is what `plan --json` prints of all phones.
type PlanJSON struct {
	Safe        bool           `json:"safe"`
	Steps       []string       `json:"steps"`
	Totals      map[string]int `json:"totals"`
	Unknown     int            `json:"unknown"`
	Sequence    []string       `json:"sequence"`
	SequenceWhy string         `json:"sequenceWhy"`
	Notes       []string       `json:"notes"`
	Warnings    []string       `json:"warnings"`
}

// Texts returns changes as they are written.
func Texts(changes []lockout.Change) []string {
	out := []string{}
	for i := range changes {
		out = append(out, changes[i].Text)
	}
	return out
}

// PlanObjects writes a plan as JSON: one object, and one a phone.
func PlanObjects(w io.Writer, plan *lockout.Plan, fleet *evidence.Fleet) {
	out := PlanJSON{Safe: plan.Safe(), Steps: Texts(plan.Changes), Totals: make(map[string]int), Unknown: fleet.Uncounted(),
		Sequence: Texts(plan.Sequence), SequenceWhy: plan.SequenceWhy, Notes: append([]string{}, fleet.Notes...), Warnings: append([]string{}, plan.Warnings...)}
	for _, outcome := range lockout.Outcomes() {
		out.Totals[string(outcome)] = plan.Count(outcome)
	}
	JSON(w, out)
	for i := range plan.Phones {
		p := &plan.Phones[i]
		JSON(w, PredictionJSON{"SEP" + p.Phone.MAC, string(p.Outcome), p.Locked, append([]int{}, p.Windows...), p.Exact, p.Reason.String(), append([]int{}, p.Refuses...)})
	}
}

// PredictionLine says in a line what becomes of a phone.
func PredictionLine(p *lockout.Prediction, registered bool) string {
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

// Plan says in the first lines how many phones are lost, and what to do
// instead.
func Plan(out io.Writer, plan *lockout.Plan, fleet *evidence.Fleet, w lockout.World, details bool) {
	line := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
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
		line("not safe; this is, with %s: %s", plan.SequenceWhy, strings.Join(Texts(plan.Sequence), ", "))
	}
	for _, warning := range plan.Warnings {
		line("warning: %s", warning)
	}
	registered := Registered(w[0])
	line("\nwhat was asked:")
	Steps(out, plan.Changes, w, len(registered))
	line("\nphones:")
	Predictions(out, plan.Phones, registered, details)
	if plan.Sequence != nil {
		line("\nwhat is safe:")
		Steps(out, plan.Sequence, w, len(registered))
	}
	for i, n := range fleet.Notes {
		if i == 0 {
			line("\nnot known:")
		}
		line("  %s", n)
	}
}

// Predictions counts the phones of which the same is to be said.
func Predictions(w io.Writer, phones []lockout.Prediction, registered map[string]bool, details bool) {
	devices := make(map[string][]string)
	var lines []string
	for i := range phones {
		text := PredictionLine(&phones[i], registered["SEP"+phones[i].Phone.MAC])
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

// Registered returns the phones that are registered with a cluster, by name; none
// where that cannot be known.
func Registered(c *cluster.Cluster) map[string]bool {
	registered := make(map[string]bool)
	phones, err := c.Phones()
	for i := range phones {
		if err == nil && phones[i].Registered {
			registered[phones[i].Device] = true
		}
	}
	return registered
}

// Steps numbers changes, with what is typed for each. Of so many phones that are
// registered it is known whether they come back.
func Steps(w io.Writer, changes []lockout.Change, world lockout.World, registered int) {
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
