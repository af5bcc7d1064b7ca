package lockout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"itlagent/agent/boot"
	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/p12"
	"itlagent/testbench/pki"
)

// Remedy is something that might have a phone trust its cluster again.
type Remedy struct {
	Name     string // a stable word: "reset-localkey"
	What     string // a sentence without its full stop
	Commands []Command
	OnSite   bool // somebody must be at the phone
	Works    bool // the phone trusts its cluster after its next reset
	// Report is that reset; nil where the remedy cannot be tried, for the reason Err.
	Report *boot.Report
	Err    error
	// Later is what an ordinary restart of TFTP and another reset make of it, where
	// the remedy changes what TFTP serves until then; nil elsewhere.
	Later *boot.Report
	// Expected says that it was tried on the copy of a real cluster, whose keys are not known:
	// it works if the cluster still has them.
	Expected bool

	actions []action
}

// Outcome says in one line what came of the remedy.
func (r *Remedy) Outcome() string {
	switch {
	case r.Err != nil:
		return r.Err.Error()
	case r.Works:
		via := r.Report.ITL.Verdict.Via.String()
		if r.Report.ITL.Name == "" || !r.Report.ITL.Verdict.Accepted {
			via = r.Report.Config.Verdict.Via.String()
		}
		outcome := strings.TrimSuffix("accepted via "+via, " via ")
		if r.Expected && !r.OnSite {
			outcome = "expected to be " + outcome + ", assuming the cluster still has that key"
		}
		return outcome
	}
	reason := r.Report.Reason()
	return fmt.Sprintf("still %v (%s)", reason, reason.Text())
}

// every reports whether all actions of the remedy have something in common; any whether one has it.
func (r *Remedy) every(is func(*row) bool) bool {
	return !slices.ContainsFunc(r.actions, func(a action) bool { return !is(a.op) })
}

func (r *Remedy) any(is func(*row) bool) bool {
	return slices.ContainsFunc(r.actions, func(a action) bool { return is(a.op) })
}

// What remedies are told apart by.
func onSite(o *row) bool    { return o.onSite }
func temporary(o *row) bool { return o.temporary }
func services(o *row) bool  { return o.services }

// situation is what remedies are looked for in. Without a cluster, w is nil.
type situation struct {
	w     World
	at    int // the cluster that serves the phone
	p     Phone
	hints Hints
	notes []string // what could not be tried, and why
}

// c returns the cluster that serves the phone.
func (s *situation) c() *cluster.Cluster { return s.w[s.at] }

// note adds a note that is not there yet.
func (s *situation) note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(s.notes, note) {
		s.notes = append(s.notes, note)
	}
}

// menu reports whether somebody at the phone can use its settings menu, and notes it where not.
func (s *situation) menu() bool {
	if s.p.menu() {
		return true
	}
	s.note("%v: its lists cannot be deleted by hand, and its TFTP servers not be set; a factory reset remains", errMenuDisabled)
	return false
}

// savedKey opens the recovery key that was saved; nil where there is none of use.
func (s *situation) savedKey() *pki.Identity {
	if s.hints.P12 == nil {
		return nil
	}
	key, err := p12.Open(s.hints.P12, s.c().State().SecurityPassword)
	if err != nil {
		s.note("the saved recovery key is of no use: %v", err)
		return nil
	}
	return key
}

// remedies lists what may be tried, cheapest first.
func (s *situation) remedies() (all []Remedy) {
	for _, row := range table {
		if row.remedies == nil || s.w == nil && !row.onSite {
			continue
		}
		for _, r := range row.remedies(s) {
			if len(r.actions) > 0 {
				r.OnSite = r.any(onSite)
				all = append(all, r)
			}
		}
	}
	return all
}

// pairs are the remedies that only set services right, each with one of the second ones
// behind it.
func pairs(all, second []Remedy) (both []Remedy) {
	for _, a := range all {
		for _, b := range second {
			if a.every(services) && !b.every(services) {
				both = append(both, Remedy{Name: a.Name + "+" + b.Name, What: a.What + ", and then " + b.What,
					actions: slices.Concat(a.actions, b.actions), OnSite: b.OnSite})
			}
		}
	}
	return both
}

// try tries a remedy on a copy of the world, to the phone's next reset.
func (w World) try(ctx context.Context, p Phone, r *Remedy, keys *pki.Keys) {
	fork := w.Fork(keys)
	for i := range r.actions {
		a := &r.actions[i]
		r.Commands = append(r.Commands, a.commandsIn(fork)...)
		if p, r.Err = a.apply(fork, p); r.Err != nil {
			return
		}
	}
	if r.Expected = fork.verify() != nil; r.Expected {
		r.Commands = byHand(r.Commands, p.Model)
	}
	if p, r.Report, r.Err = p.Boot(ctx, fork); r.Err != nil {
		return
	}
	if r.Works = trusts(r.Report) && fork.registers(p); !r.Works || !r.any(temporary) {
		return
	}
	c := fork[fork.serving(r.Report, p)]
	for _, n := range c.State().TFTPNodes() {
		if err := c.Apply(operation.RestartTFTP(n)); err != nil {
			return
		}
	}
	if _, later, err := p.Boot(ctx, fork); err == nil {
		r.Later = later
	}
}

// tryServed tries a remedy at the phone where the cluster is not known.
func tryServed(ctx context.Context, s Surroundings, p Phone, r *Remedy) {
	for i := range r.actions {
		a := &r.actions[i]
		r.Commands = append(r.Commands, a.commandsIn(World{nil})...)
		if p, r.Err = a.apply(World{nil}, p); r.Err != nil {
			return
		}
	}
	if _, r.Report, r.Err = p.Boot(ctx, s); r.Err == nil {
		r.Works = trusts(r.Report)
	}
}

// serving returns the place of the cluster that the phone has its files from.
func (w World) serving(r *boot.Report, p Phone) int {
	for _, server := range slices.Concat([]string{r.ITL.Server, r.CTL.Server, r.Config.Server}, p.Servers) {
		for i, c := range w {
			if n, _ := c.At(withPort(server)); n != nil {
				return i
			}
		}
	}
	return 0
}

// vouching returns the places of the clusters whose TVS the phone knows.
func (w World) vouching(p Phone) (at []int) {
	s, err := settings.Parse(p.Stored["config"])
	if err != nil {
		return nil
	}
	for i, c := range w {
		if slices.ContainsFunc(s.TVS, func(server string) bool { n, _ := c.At(server); return n != nil }) {
			at = append(at, i)
		}
	}
	return at
}

// lostKeys names the certificates that may sign lists for the phone and that the
// cluster has no longer.
func lostKeys(c *cluster.Cluster, p Phone) (names []string) {
	for _, kind := range []trustlist.Kind{trustlist.CTL, trustlist.ITL} {
		list, err := trustlist.Parse(kind, p.Stored[strings.ToLower(kind.String())])
		if err != nil {
			continue
		}
		for i := range list.Records {
			r := &list.Records[i]
			if !r.Role().SignsLists() || slices.ContainsFunc(c.Nodes(), func(n *cluster.Node) bool {
				return slices.ContainsFunc(n.State().Certificates(), func(own state.Certificate) bool { return r.MatchesCertificate(own.Certificate) })
			}) {
				continue
			}
			name := fmt.Sprintf("%s, serial %s", trustlist.Printable(r.Subject()), trustlist.FormatSerial(r.Serial()))
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// oldLists returns the ITLs that were served and are no longer, the newest first.
func oldLists(c *cluster.Cluster) (old []state.Served) {
	seen := make(map[string]bool)
	for _, n := range c.Nodes() {
		seen[c.State().Name(n.ITL())] = true
	}
	for _, s := range slices.Backward(c.State().Lists()) {
		if s.Kind == trustlist.ITL && !seen[s.SHA1] && len(old) < maxOldLists {
			seen[s.SHA1] = true
			old = append(old, s)
		}
	}
	return old
}
