package trust

import (
	"fmt"
	"strings"

	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
)

// Summary says in one line how a phone stands with its cluster, for the reason of its
// last reset. lists tells whether it holds a trust list, be it a damaged one: only a phone
// that does can be locked. All programs print this line.
func Summary(device string, r Reason, lists bool) string {
	switch {
	case r == Accepted && lists:
		return device + " trusts its cluster"
	case r == Accepted:
		return device + " works without trust lists"
	case r == NotFound || r == DownloadFailed:
		return fmt.Sprintf("%s gets nothing: %v (%s)", device, r, r.Text())
	case !lists:
		return fmt.Sprintf("%s holds no trust list and does not accept what it is served: %v (%s)", device, r, r.Text())
	}
	return fmt.Sprintf("%s is locked: %v (%s)", device, r, r.Text())
}

// SASTRecords counts the SAST records of a list. Phones hold trustlist.MaxSAST.
func SASTRecords(list *trustlist.File) int {
	n := 0
	for i := range list.Records {
		if list.Records[i].Role() == trustlist.SAST {
			n++
		}
	}
	return n
}

// Describe says what people want to know of a verdict on a file, a line each:
// accepted or rejected, the reason, who vouched, the signer, what was tried, and
// what is odd. All programs print these lines.
func (v *Verdict) Describe(name string) []string {
	word := "rejected"
	if v.Accepted {
		word = "accepted"
	}
	lines := []string{word + ": " + name, fmt.Sprintf("reason: %v (%s)", v.Reason, v.Reason.Text())}
	if v.Via != ViaNone {
		lines = append(lines, "via: "+v.Via.String())
	}
	if v.File != nil {
		lines = append(lines, fmt.Sprintf("signer: %s, serial %s", v.File.Signer.Name, trustlist.FormatSerial(v.File.Signer.Serial)))
	}
	for _, s := range v.Steps {
		lines = append(lines, "tried: "+s.String())
	}
	for _, w := range v.Warnings {
		lines = append(lines, "warning: "+w)
	}
	for i := range lines {
		lines[i] = printable.Text(lines[i]) // names, addresses and error texts are from outside
	}
	return lines
}

// String writes a step as "itl record 2: accepted (detail)".
func (s Step) String() string {
	line := s.Where
	if s.Record > 0 {
		line += fmt.Sprintf(" record %d", s.Record)
	}
	line += ": " + s.Result.String()
	if s.Detail != "" {
		line += " (" + strings.ReplaceAll(s.Detail, "\n", "; ") + ")"
	}
	return line
}
