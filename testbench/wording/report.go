package wording

import (
	"fmt"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/trust"
)

// StepJSON is one attempt to verify a file.
type StepJSON struct {
	Where  string `json:"where"`
	Record int    `json:"record"`
	Result string `json:"result"`
	Detail string `json:"detail"`
}

// OutcomeJSON is what came of one file.
type OutcomeJSON struct {
	Name      string `json:"name"`
	Server    string `json:"server"`
	Transport string `json:"transport"`
	Accepted  bool   `json:"accepted"`
	Reason    string `json:"reason"`
	Via       string `json:"via"`
	Changed   bool   `json:"changed"`
}

// ReportJSON is the object that `phone --json` prints.
type ReportJSON struct {
	Device   string      `json:"device"`
	Trusted  bool        `json:"trusted"`
	Reason   string      `json:"reason"`
	CTL      OutcomeJSON `json:"ctl"`
	ITL      OutcomeJSON `json:"itl"`
	Config   OutcomeJSON `json:"config"`
	Messages []string    `json:"messages"`
}

// ReportOf returns the object of a boot cycle.
func ReportOf(r *boot.Report) ReportJSON {
	outcome := func(o *boot.Outcome) OutcomeJSON {
		return OutcomeJSON{o.Name, o.Server, o.Transport, o.Verdict.Accepted, o.Verdict.Reason.String(), o.Verdict.Via.String(), o.Changed}
	}
	return ReportJSON{
		Device: r.Device, Trusted: r.Reason() == trust.Accepted, Reason: r.Reason().String(),
		CTL: outcome(&r.CTL), ITL: outcome(&r.ITL), Config: outcome(&r.Config), Messages: r.Messages,
	}
}

// OutcomeLine says in a line what came of a file.
func OutcomeLine(o *boot.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", o.Name)
	switch {
	case !o.Verdict.Accepted:
		fmt.Fprintf(&b, "%v", o.Verdict.Reason)
		if o.Verdict.Detail != "" {
			fmt.Fprintf(&b, " (%s)", strings.ReplaceAll(o.Verdict.Detail, "\n", "; "))
		}
	case o.Verdict.Via == trust.ViaNone:
		b.WriteString("accepted unsigned")
	default:
		fmt.Fprintf(&b, "accepted via %v", o.Verdict.Via)
	}
	if o.Verdict.Accepted {
		what := "unchanged"
		if o.Changed {
			what = "stored"
		}
		fmt.Fprintf(&b, ", %s", what)
	}
	if o.Transport != "" {
		fmt.Fprintf(&b, " [%s %s]", o.Transport, o.Server)
	}
	return b.String()
}
