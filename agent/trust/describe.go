package trust

import (
	"fmt"
	"strings"

	"itlagent/agent/trustlist"
)

// Summary says in one line how a phone stands with its cluster, for the reason of its
// last reset. All programs print this line.
func Summary(device string, r Reason) string {
	switch r {
	case Accepted:
		return device + " trusts its cluster"
	case NotFound, DownloadFailed:
		return fmt.Sprintf("%s gets nothing: %v (%s)", device, r, r.Text())
	}
	return fmt.Sprintf("%s is locked: %v (%s)", device, r, r.Text())
}

// Describe says of a verdict on a file what people want to know, a line each:
// accepted or rejected, the reason, who vouched, the signer, every place that was
// tried, and what is odd. All programs print these lines.
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
		lines = append(lines, fmt.Sprintf("signer: %s, serial %s", trustlist.Printable(v.File.Signer.Name), trustlist.FormatSerial(v.File.Signer.Serial)))
	}
	for _, s := range v.Steps {
		lines = append(lines, "tried: "+s.String())
	}
	for _, w := range v.Warnings {
		lines = append(lines, "warning: "+w)
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
