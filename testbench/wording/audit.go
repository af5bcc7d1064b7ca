package wording

import (
	"time"

	"itlagent/testbench/audit"
)

// AuditedJSON is what `audit --json` prints of a phone.
type AuditedJSON struct {
	Device   string   `json:"device"`
	Status   string   `json:"status"`
	ITL      string   `json:"itl"`
	CTL      string   `json:"ctl"`
	Disputed bool     `json:"disputed"` // two reports of one time contradict each other
	Reported int64    `json:"reported"` // Unix seconds; 0 where it is not known
	Cluster  string   `json:"cluster"`  // that served the list
	Node     string   `json:"node"`
	Since    int64    `json:"since"`
	Until    int64    `json:"until"` // 0 where it is served now
	Served   string   `json:"served"`
	Follows  *bool    `json:"follows"` // null where it is not known
	Locked   bool     `json:"locked"`
	Reason   string   `json:"reason"`
	Remedy   string   `json:"remedy"`
	Commands []string `json:"commands"`
	OnSite   bool     `json:"onSite"`
	Note     string   `json:"note"`
	Mute     bool     `json:"cannotRegister"`
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// AuditedOf returns the object of a phone.
func AuditedOf(p *audit.Phone) AuditedJSON {
	out := AuditedJSON{Device: "SEP" + p.MAC.String(), Status: string(p.Status), ITL: p.ITL.String(), CTL: p.CTL.String(), Disputed: p.Disputed, Reported: unix(p.Reported),
		Cluster: p.Home, Node: p.Node, Since: unix(p.Since), Until: unix(p.Until), Served: p.Reason, Commands: []string{}, Note: p.Note}
	if p.Judged {
		follows := p.Follows()
		out.Follows, out.Reason, out.Locked, out.Mute = &follows, p.Verdict.String(), p.Locked, p.CannotRegister
	}
	if p.Remedy != nil {
		out.Remedy, out.OnSite = p.Remedy.Name, p.Remedy.OnSite
		for _, c := range p.Remedy.Commands {
			out.Commands = append(out.Commands, c.String())
		}
	}
	return out
}
