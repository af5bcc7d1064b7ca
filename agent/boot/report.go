package boot

import (
	"strings"
	"time"

	"itlagent/agent/model"
	"itlagent/agent/settings"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// Report is the outcome of a boot cycle.
type Report struct {
	Device           string
	Time             time.Time // of its end
	CTL, ITL, Config Outcome
	HeldCTL, HeldITL *trustlist.File // in force after the cycle; nil where none
	Settings         settings.Settings
	Messages         []string // what the phone shows, in order
	Interrupted      bool     // it was ended before it had an outcome: nothing is to be made of it
}

// Outcome is what came of one file.
type Outcome struct {
	Name      string // the file last asked for
	Server    string // who answered
	Transport string // "HTTP" or "TFTP"; "" where nothing was got
	Held      bool   // one was in force before
	Changed   bool   // what was got is newly in force
	Verdict   trust.Verdict
}

// Rejected reports whether a file was there and was not taken.
func (o *Outcome) Rejected() bool {
	return !o.Verdict.Accepted && o.Verdict.Reason != trust.NotFound && o.Verdict.Reason != trust.DownloadFailed
}

// HoldsList reports whether the phone holds a trust list, be it one that it cannot read.
func (r *Report) HoldsList() bool {
	return r.HeldCTL != nil || r.HeldITL != nil || r.CTL.Verdict.Reason == trust.HeldDamaged
}

// Locked reports whether the phone holds a list and refused what its cluster serves, or
// cannot store it: its old lists and settings stay.
func (r *Report) Locked() bool {
	return r.HoldsList() && (r.CTL.Rejected() || r.ITL.Rejected() || r.Config.Rejected())
}

// Reason returns the first reason that matters: of a rejected list, then of a
// rejected configuration, then of a failed download. A phone that was served neither
// list nor configuration gets NotFound; one without lists that has got a configuration
// works, and gets Accepted as one that trusts its cluster.
func (r *Report) Reason() trust.Reason {
	for _, o := range []*Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Rejected() {
			return o.Verdict.Reason
		}
	}
	for _, o := range []*Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Verdict.Reason == trust.DownloadFailed {
			return trust.DownloadFailed
		}
	}
	if !r.Config.Verdict.Accepted && (!r.HoldsList() || r.ITL.Verdict.Reason == trust.NotFound) {
		return trust.NotFound
	}
	return trust.Accepted
}

// Text says in words what Reason says of the phone, without a full stop.
func (r *Report) Text() string {
	reason := r.Reason()
	if reason == trust.Accepted && !r.HoldsList() {
		return "the phone works without trust lists"
	}
	return reason.Text()
}

// byHand is the end of advice that the phone's menu is needed for.
const byHand = ", or delete its lists by hand"

// Advice says what to look at first, without a full stop; "" for a phone that works. It
// does not send anybody to a menu that the configuration has locked.
func (r *Report) Advice() string {
	text := r.Reason().Advice()
	if !r.Settings.MayChangeSettings() {
		text = strings.TrimSuffix(text, byHand)
	}
	return text
}

// Summary says in one line how the phone stands with its cluster. All programs print
// this line.
func (r *Report) Summary() string {
	return trust.Summary(r.Device, r.Reason(), r.HoldsList())
}

// ExitCode sums the cycle up for scripts: 0 where the phone trusts its cluster or works
// without lists, 1 where it is locked or gets nothing, 3 where no server delivered or the
// cycle was interrupted.
func (r *Report) ExitCode() int {
	switch reason := r.Reason(); {
	case r.Interrupted, reason == trust.DownloadFailed:
		return 3
	case reason == trust.Accepted:
		return 0
	}
	return 1
}

func (r *Report) damaged(err error) {
	v := trust.Verdict{Reason: trust.HeldDamaged, Detail: err.Error()}
	r.CTL.Verdict, r.ITL.Verdict, r.Config.Verdict = v, v, v
}

// describe writes the status messages of the cycle.
func (r *Report) describe(f model.Family) {
	say := func(m status.Message, more string) { r.Messages = append(r.Messages, m.Text(f)+more) }
	held := r.CTL.Held || r.ITL.Held
	switch {
	case r.CTL.Verdict.Reason == trust.HeldDamaged:
		say(status.TrustListUpdateFailed, "")
		return
	case r.CTL.Rejected() || r.ITL.Rejected() || held && r.ITL.Verdict.Reason == trust.DownloadFailed:
		say(status.TrustListUpdateFailed, "")
	case r.CTL.Changed && !r.CTL.Held && r.ITL.Changed && !r.ITL.Held:
		say(status.CTLAndITLInstalled, "")
	case r.CTL.Changed && !r.CTL.Held:
		say(status.CTLInstalled, "")
	case r.ITL.Changed && !r.ITL.Held:
		say(status.ITLInstalled, "")
	case r.CTL.Changed || r.ITL.Changed:
		say(status.TrustListUpdated, "")
	case r.HeldCTL == nil && r.HeldITL == nil:
		say(status.NoTrustListInstalled, "")
	}
	switch {
	case r.Config.Verdict.Accepted:
		r.Messages = append(r.Messages, r.Config.Name+"("+r.Config.Transport+")")
	case r.Config.Verdict.Reason == trust.NotFound:
		say(status.FileNotFound, " : "+r.Config.Name)
	case r.Config.Verdict.Reason == trust.DownloadFailed && r.Config.Transport == "":
		say(status.TFTPTimeout, " : "+r.Config.Name)
	case r.Config.Verdict.Reason == trust.ServerNotListed:
		say(status.TFTPAuthorization, " : "+r.Config.Name)
	default:
		say(status.TFTPError, " : "+r.Config.Name)
	}
}
