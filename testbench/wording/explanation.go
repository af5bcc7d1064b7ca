package wording

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

// RemedyJSON is a remedy in an ExplanationJSON.
type RemedyJSON struct {
	Name     string   `json:"name"`
	What     string   `json:"what"`
	Commands []string `json:"commands"`
	OnSite   bool     `json:"onSite"`
	Works    bool     `json:"works"`
	Outcome  string   `json:"outcome"`
	Later    string   `json:"later"` // reason after the next ordinary start of TFTP; "" where that changes nothing
}

// ExplanationJSON is the object that `explain --json` prints.
type ExplanationJSON struct {
	Device         string         `json:"device"`
	Works          bool           `json:"works"`  // it trusts its cluster, or works without trust lists
	Locked         bool           `json:"locked"` // it does not, and holds a list
	Reason         string         `json:"reason"`
	Text           string         `json:"text"`
	File           string         `json:"file"`
	Signer         listing.Signer `json:"signer"`
	Server         string         `json:"server"`
	Detail         string         `json:"detail"`
	Steps          []StepJSON     `json:"steps"`
	Remedies       []RemedyJSON   `json:"remedies"`
	Ineffective    []RemedyJSON   `json:"ineffective"`
	OnSiteOnly     bool           `json:"onSiteOnly"` // nothing helps but somebody at the phone
	Notes          []string       `json:"notes"`
	Trusts         []string       `json:"trusts"`
	ITL            OutcomeJSON    `json:"itl"`
	CTL            OutcomeJSON    `json:"ctl"`
	ConfigFile     OutcomeJSON    `json:"config"`
	CannotRegister bool           `json:"cannotRegister"` // it trusts its cluster, but its lists lack the certificate of its call managers
}

// ExplanationOf returns the object of an explanation.
func ExplanationOf(ex *lockout.Explanation) ExplanationJSON {
	r := ReportOf(ex.Report)
	out := ExplanationJSON{
		Device: r.Device, Works: ex.Works, Locked: ex.Locked, CannotRegister: ex.CannotRegister, Reason: r.Reason, Text: ex.Report.Text(), Steps: []StepJSON{},
		Remedies: []RemedyJSON{}, Ineffective: []RemedyJSON{}, OnSiteOnly: ex.OnSiteOnly(), Notes: append([]string{}, ex.Notes...),
		Trusts: trusts(ex), ITL: r.ITL, CTL: r.CTL, ConfigFile: r.Config,
	}
	if o := ex.Refused(); o != nil {
		out.File, out.Server, out.Detail = o.Name, o.Server, o.Verdict.Detail
		if f := o.Verdict.File; f != nil {
			out.Signer = listing.SignerOf(f.Signer)
		}
		for _, s := range o.Verdict.Steps {
			out.Steps = append(out.Steps, StepJSON{s.Where, s.Record, s.Result.String(), s.Detail})
		}
	}
	for _, list := range []struct {
		from []lockout.Remedy
		to   *[]RemedyJSON
	}{{ex.Remedies, &out.Remedies}, {ex.Ineffective, &out.Ineffective}} {
		for i := range list.from {
			w := &list.from[i]
			j := RemedyJSON{Name: w.Name, What: w.What, Commands: []string{}, OnSite: w.OnSite, Works: w.Works, Outcome: w.Outcome()}
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

// Explanation says in the first lines what is wrong and what to do.
func Explanation(w io.Writer, ex *lockout.Explanation, all bool) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("%s", ex.Report.Summary())
	if ex.Works {
		for _, o := range []*boot.Outcome{&ex.Report.CTL, &ex.Report.ITL, &ex.Report.Config} {
			if o.Name != "" {
				line("%s", OutcomeLine(o))
			}
		}
		printNotes(w, ex)
		return
	}
	if ex.CannotRegister {
		line("trusted, but cannot register: no call manager shows a certificate that the phone's lists have")
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
		line("to do: %s", ex.Report.Advice())
	case len(ex.Remedies) == 0:
		line("to do: %s", ex.Report.Advice())
		line("no remedy was found among those that could be tried")
	default:
		best := &ex.Remedies[0]
		line("to do: %s", best.What)
		for _, c := range best.Commands {
			line("       %s", c)
		}
		line("       then reset the phone: %s", best.Outcome())
		if ex.OnSiteOnly() {
			line("nothing helps but a visit to the phone")
		} else {
			line("no visit to the phone is needed")
		}
	}
	printTried(w, ex)
	printRemedies(w, ex)
	if all {
		line("\nineffective:")
		for i := range ex.Ineffective {
			line("  %s: %s", ex.Ineffective[i].What, strings.ReplaceAll(ex.Ineffective[i].Outcome(), "\n", "; "))
		}
	}
	printNotes(w, ex)
}

// printTried prints what the phone tried, and whom it trusts.
func printTried(w io.Writer, ex *lockout.Explanation) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
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
}

// printRemedies prints the remedies that work, with what is typed.
func printRemedies(w io.Writer, ex *lockout.Explanation) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	for i := range ex.Remedies {
		remedy := &ex.Remedies[i]
		if i == 0 {
			where := "each tried on a copy of the cluster"
			if ex.Partial {
				where = "as far as could be tried here"
			}
			line("\nremedies, cheapest first, %s:", where)
		}
		onSite := ""
		if remedy.OnSite {
			onSite = " (on-site)"
		}
		line("  %d. %s%s", i+1, remedy.What, onSite)
		for _, c := range remedy.Commands {
			line("       %s", c)
		}
		line("     then reset the phone: %s", remedy.Outcome())
		switch {
		case remedy.Later == nil:
		case remedy.Later.Reason() == trust.Accepted:
			line("     then restart Cisco Tftp on every node and reset the phone again: it follows")
		default:
			line("     an ordinary restart of Cisco Tftp would lock the phone again: %v", remedy.Later.Reason())
		}
	}
}

func printNotes(w io.Writer, ex *lockout.Explanation) {
	for i, n := range ex.Notes {
		if i == 0 {
			fmt.Fprintln(w, "\nnot known:")
		}
		fmt.Fprintf(w, "  %s\n", n)
	}
}
