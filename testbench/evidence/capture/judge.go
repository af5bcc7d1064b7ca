package capture

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// Held is what is known of a phone beside the capture.
type Held struct {
	Stored lockout.Stored // "itl", "ctl", "config"; nil takes the first ones that the capture shows
	Model  string
}

// Verdict is what one boot came to.
type Verdict struct {
	Boot *Boot
	// Known says that the capture shows what the phone made of it: Reason is that. Where it
	// is not, Notes say what is missing, or contradicts what the phone is taken to hold.
	Known  bool
	Reason trust.Reason
	Holds  bool // the phone holds a list
	// Phone is the phone before the boot, Around what it met, and Report what the phone on
	// paper made of it. Paper says that Reason comes from there: lockout.Explain finds the same.
	Phone  lockout.Phone
	Around *Replay
	Report *boot.Report
	Paper  bool
	Shows  []string // TVS certificates that the held list lacks
	Notes  []string // what was presumed, and what is not known
	device string
}

// Text says in one line how the phone stands with its cluster.
func (v *Verdict) Text() string {
	if !v.Known {
		return v.device + ": not known"
	}
	return trust.Summary(v.device, v.Reason, v.Holds)
}

// Served returns the lists and configurations that were got in the boot, by their names.
func (v *Verdict) Served() map[string][]byte {
	all := map[string][]byte{}
	for _, e := range v.Boot.Events {
		if e.File != nil && e.File.Result == Got && e.File.Data != nil {
			all[e.File.Name] = e.File.Data
		}
	}
	return all
}

// Word returns the reason as a word, "not-known" where it is not.
func (v *Verdict) Word() string {
	if !v.Known {
		return "not-known"
	}
	return v.Reason.String()
}

// Judge says of each boot with a list or a configuration what the phone made of it. The phone
// holds what is given, or else the first lists and the first configuration that it was served;
// from boot to boot it goes on with what it had accepted.
func (p *Phone) Judge(ctx context.Context, h Held) ([]*Verdict, error) {
	boots := p.Boots()
	phone := lockout.Phone{MAC: p.mac(), Model: h.Model, Stored: maps.Clone(h.Stored)}
	presumed := presume(&phone, boots, h.Stored != nil)
	var all []*Verdict
	for i := range boots {
		b := &boots[i]
		if phone.Servers = b.servers(); len(phone.Servers) == 0 {
			continue
		}
		v, next, err := p.judge(ctx, b, phone, boots)
		if err != nil {
			return all, err
		}
		v.Notes = append(append([]string{}, presumed...), v.Notes...)
		all = append(all, v)
		phone = next
	}
	return all, nil
}

func (p *Phone) mac() string {
	if p.MAC == ([6]byte{}) {
		return evidence.DefaultMAC // it has no part in what is decided
	}
	return fmt.Sprintf("%X", p.MAC[:])
}

// presume gives a phone what it is taken to hold before the first boot, and says so: the first
// lists, where a phone that holds nothing would have accepted them.
func presume(phone *lockout.Phone, boots []Boot, given bool) (notes []string) {
	if phone.Stored == nil {
		phone.Stored = lockout.Stored{}
	}
	for _, kind := range []struct {
		key  string
		kind trustlist.Kind
		is   func(string) bool
	}{{"ctl", trustlist.CTL, isCTL}, {"itl", trustlist.ITL, isITL}} {
		for i := range boots {
			f, asked := boots[i].file(kind.is)
			if given || !asked {
				continue
			}
			if f == nil {
				break
			}
			if trust.Decide(trust.State{}, trust.Candidate{Kind: kind.kind, Name: f.Name, Data: f.Data}).Accepted {
				phone.Stored[kind.key] = f.Data
				notes = append(notes, fmt.Sprintf("what the phone held is not known: it is taken to hold the first %v that it was served, %s; --installed gives another", kind.kind, evidence.HashOf(f.Data)))
			}
			break
		}
	}
	if phone.Stored["config"] != nil {
		return notes
	}
	for i := range boots {
		if f, _ := boots[i].file(isConfig); f != nil {
			if content, _ := configured(f.Data); content != nil {
				phone.Stored["config"] = content
				return append(notes, "the phone's stored configuration, which names its TVS servers, is not known: the first one that it was served is presumed; --config gives another")
			}
		}
	}
	return append(notes, "the phone's configuration is not known, nor is one served in clear: it is taken to name no TVS; give --config")
}

// judge has the phone on paper go through a boot, and compares it with what the phone did.
func (p *Phone) judge(ctx context.Context, b *Boot, phone lockout.Phone, boots []Boot) (*Verdict, lockout.Phone, error) {
	r := &Replay{boot: b, known: lists(phone.Stored, boots)}
	if _, s := configured(phone.Stored["config"]); phone.Stored["config"] != nil {
		r.members = s.TVS
	}
	r.restart()
	next, report, err := phone.Boot(ctx, r)
	if err != nil {
		return nil, phone, err
	}
	v := &Verdict{Boot: b, Phone: phone, Around: r, Report: report, Reason: report.Reason(), Holds: report.HoldsList(), Known: true, Paper: true, device: p.Name()}
	v.compare(p, next)
	if p.Shares {
		v.Notes = append(v.Notes, "phones share an address here: what has no name in it is taken to be of the one that asked last")
	}
	if p.Dropped > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d things that the phone did later were not kept", p.Dropped))
	}
	return v, next, nil
}

// lists returns the lists that may have a signer's certificate.
func lists(held lockout.Stored, boots []Boot) (all []*trustlist.File) {
	add := func(kind trustlist.Kind, data []byte) {
		if f, err := trustlist.Parse(kind, data); err == nil {
			all = append(all, f)
		}
	}
	for i := range boots {
		if f, _ := boots[i].file(isITL); f != nil {
			add(trustlist.ITL, f.Data)
		}
		if f, _ := boots[i].file(isCTL); f != nil {
			add(trustlist.CTL, f.Data)
		}
	}
	add(trustlist.ITL, held["itl"])
	add(trustlist.CTL, held["ctl"])
	return all
}

// compare sets what the phone on paper did beside what the capture shows.
func (v *Verdict) compare(p *Phone, next lockout.Phone) {
	r := v.Around
	unasked, refusals := 0, 0
	for _, e := range v.Boot.Events {
		if !r.isTVS(e) {
			continue
		}
		if !r.used[e] {
			unasked++
		}
		if e.TLS.refused() {
			refusals++
			if !r.used[e] {
				r.refuses(e.Server.String(), e.TLS)
			}
		}
	}
	switch {
	case unasked > 0 && r.vouched > 0:
		r.dispute("the phone has asked TVS again after an encrypted answer: it did not accept what that vouched for, and why is not visible")
	case unasked > 0:
		r.dispute("the phone has asked a TVS, and with the lists that it is taken to hold it would not have: it holds others; give them with --installed")
	case r.asked > 0 && len(r.used) == 0:
		r.unseen = append(r.unseen, "the phone would have to ask TVS, and no connection to one is in the capture")
	}
	if r.silenced && v.Reason == trust.TVSInvalid {
		r.unseen = append(r.unseen, "TVS has answered too briefly for a certificate: it does not vouch, or what it says cannot be read; it is encrypted")
	}
	if v.Report.Config.Verdict.Reason == trust.NotForThisPhone {
		r.unseen = append(r.unseen, "the configuration is encrypted: whether it is for this phone's key is not visible")
	}
	v.Shows = r.lacking
	v.reports(next)
	v.Notes = append(append(v.Notes, r.unseen...), r.disputes...)
	switch {
	case len(r.unseen)+len(r.disputes) == 0:
		if r.vouched > 0 {
			v.Notes = append(v.Notes, "what TVS answered is encrypted: it had room for a certificate, and the phone asked no more")
		}
	case refusals > 0 && (len(r.disputes) > 0 || v.Reason == trust.TVSUntrusted):
		// The phone itself has said so, whatever it holds.
		v.Paper = v.Reason == trust.TVSUntrusted && len(r.disputes) == 0
		v.Reason, v.Holds = trust.TVSUntrusted, true
	case len(r.disputes) == 0 && v.decided():
	default:
		v.Known, v.Paper = false, false
	}
}

// decided reports whether the reason rests on nothing that is missing in the capture.
func (v *Verdict) decided() bool {
	r := v.Report
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL} {
		if o.Rejected() {
			return o.Verdict.Reason != trust.TVSInvalid && o.Verdict.Reason != trust.TVSUnreachable
		}
	}
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Verdict.Reason == trust.DownloadFailed && v.Reason == trust.DownloadFailed {
			return !v.Around.lacks[o.Name]
		}
	}
	return false
}

// reports compares the alarms of the phone with what the phone on paper holds now.
func (v *Verdict) reports(next lockout.Phone) {
	for _, e := range v.Boot.Events {
		if e.Message == nil || e.Message.Report == nil {
			continue
		}
		said := e.Message.Report
		for _, l := range []struct{ kind, key, hash string }{{"ITL", "itl", said.ITL.String()}, {"CTL", "ctl", said.CTL.String()}} {
			now, was := hashOf(next.Stored[l.key]), hashOf(v.Phone.Stored[l.key])
			switch {
			case strings.EqualFold(l.hash, now):
			case strings.EqualFold(l.hash, was):
				v.Around.dispute("the phone reports that it has kept its %s, %s: it did not accept the new one", l.kind, orNone(l.hash))
			default:
				v.Around.dispute("the phone reports the %s %s, which it is not taken to hold; give it with --installed", l.kind, orNone(l.hash))
			}
		}
	}
}

func hashOf(list []byte) string {
	if list == nil {
		return ""
	}
	return evidence.HashOf(list)
}
