package main

import (
	"fmt"
	"io"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/listing"
	"itlagent/testbench/lockout"
)

// wayJSON and explanationJSON are the object that `explain --json` prints.
type wayJSON struct {
	Name     string   `json:"name"`
	What     string   `json:"what"`
	Commands []string `json:"commands"`
	Touch    bool     `json:"touch"`
	Works    bool     `json:"works"`
	Outcome  string   `json:"outcome"`
	Later    string   `json:"later"` // reason after the next ordinary start of TFTP; "" where that changes nothing
}

type explanationJSON struct {
	Device     string         `json:"device"`
	Locked     bool           `json:"locked"`
	Reason     string         `json:"reason"`
	Text       string         `json:"text"`
	File       string         `json:"file"`
	Signer     listing.Signer `json:"signer"`
	Server     string         `json:"server"`
	Detail     string         `json:"detail"`
	Steps      []stepJSON     `json:"steps"`
	Ways       []wayJSON      `json:"ways"`
	Vain       []wayJSON      `json:"vain"`
	TouchOnly  bool           `json:"touchOnly"` // no way but at the phone itself
	Notes      []string       `json:"notes"`
	Trusts     []string       `json:"trusts"`
	ITL        outcomeJSON    `json:"itl"`
	CTL        outcomeJSON    `json:"ctl"`
	ConfigFile outcomeJSON    `json:"config"`
}

func explanationOf(ex *lockout.Explanation) explanationJSON {
	r := reportOf(ex.Report)
	out := explanationJSON{
		Device: r.Device, Locked: ex.Locked, Reason: r.Reason, Text: ex.Report.Reason().Text(), Steps: []stepJSON{},
		Ways: []wayJSON{}, Vain: []wayJSON{}, TouchOnly: ex.TouchOnly(), Notes: append([]string{}, ex.Notes...),
		Trusts: trusts(ex), ITL: r.ITL, CTL: r.CTL, ConfigFile: r.Config,
	}
	if o := ex.Refused(); o != nil {
		out.File, out.Server, out.Detail = o.Name, o.Server, o.Verdict.Detail
		if f := o.Verdict.File; f != nil {
			out.Signer = listing.SignerOf(f.Signer)
		}
		for _, s := range o.Verdict.Steps {
			out.Steps = append(out.Steps, stepJSON{s.Where, s.Record, s.Result.String(), s.Detail})
		}
	}
	for _, list := range []struct {
		from []lockout.Way
		to   *[]wayJSON
	}{{ex.Ways, &out.Ways}, {ex.Vain, &out.Vain}} {
		for i := range list.from {
			w := &list.from[i]
			j := wayJSON{Name: w.Name, What: w.What, Commands: []string{}, Touch: w.Touch, Works: w.Works, Outcome: w.Outcome()}
			for _, c := range w.Commands {
				j.Commands = append(j.Commands, c.String())
			}
			if w.Later != nil {
				j.Later = w.Later.Reason().String()
			}
			*list.to = append(*list.to, j)
		}
	}
	return out
}

// trusts says whom the phone trusts now.
func trusts(ex *lockout.Explanation) []string {
	r := ex.Report
	s := trust.State{CTL: r.HeldCTL, ITL: r.HeldITL, Servers: len(r.Settings.TVS)}
	return s.Trusts()
}

// printExplanation says in the first lines what is wrong and what to do.
func printExplanation(w io.Writer, ex *lockout.Explanation, all bool) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	reason := ex.Report.Reason()
	line("%s", ex.Report.Summary())
	if !ex.Locked {
		for _, o := range []*boot.Outcome{&ex.Report.CTL, &ex.Report.ITL, &ex.Report.Config} {
			if o.Name != "" {
				line("%s", outcomeLine(o))
			}
		}
		printNotes(w, ex)
		return
	}
	refused := ex.Refused()
	if refused != nil {
		from := ""
		if f := refused.Verdict.File; f != nil {
			from = fmt.Sprintf(", signed by %s, serial %s", trustlist.Printable(f.Signer.Name), trustlist.FormatSerial(f.Signer.Serial))
		}
		line("refused: %s%s", refused.Name, from)
	}
	switch {
	case ex.Partial:
		line("to do: %s", reason.Advice())
	case len(ex.Ways) == 0:
		line("to do: %s", reason.Advice())
		line("no way back was found among those that could be tried")
	default:
		best := &ex.Ways[0]
		line("to do: %s", best.What)
		for _, c := range best.Commands {
			line("       %s", c)
		}
		line("       then reset the phone: %s", best.Outcome())
		if ex.TouchOnly() {
			line("nothing but touching the phone helps")
		} else {
			line("nobody has to touch the phone")
		}
	}
	line("\nwhat was tried:")
	for _, o := range []*boot.Outcome{&ex.Report.CTL, &ex.Report.ITL, &ex.Report.Config} {
		if o.Name == "" {
			continue
		}
		line("  %s: %v [%s]", o.Name, o.Verdict.Reason, strings.TrimSpace(o.Transport+" "+o.Server))
		for _, s := range o.Verdict.Steps {
			line("    %s", s)
		}
	}
	for _, b := range trusts(ex) {
		line("  the phone %s", b)
	}
	for i := range ex.Ways {
		way := &ex.Ways[i]
		if i == 0 {
			where := "each tried on a copy of the cluster"
			if ex.Partial {
				where = "as far as could be tried here"
			}
			line("\nways back, cheapest first, %s:", where)
		}
		touch := ""
		if way.Touch {
			touch = " (at the phone)"
		}
		line("  %d. %s%s", i+1, way.What, touch)
		for _, c := range way.Commands {
			line("       %s", c)
		}
		line("     then reset the phone: %s", way.Outcome())
		switch {
		case way.Later == nil:
		case way.Later.Reason() == trust.Accepted:
			line("     then restart Cisco Tftp on every node and reset the phone again: it follows")
		default:
			line("     an ordinary restart of Cisco Tftp would lock the phone again: %v", way.Later.Reason())
		}
	}
	if all {
		line("\nof no avail:")
		for i := range ex.Vain {
			line("  %s: %s", ex.Vain[i].What, strings.ReplaceAll(ex.Vain[i].Outcome(), "\n", "; "))
		}
	}
	printNotes(w, ex)
}

func printNotes(w io.Writer, ex *lockout.Explanation) {
	for i, n := range ex.Notes {
		if i == 0 {
			fmt.Fprintln(w, "\nnot known:")
		}
		fmt.Fprintf(w, "  %s\n", n)
	}
}
