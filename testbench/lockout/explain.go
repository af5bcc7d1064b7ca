package lockout

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/p12"
	"itlagent/testbench/pki"
)

// Remedy is something that might bring a phone back.
type Remedy struct {
	Name     string // a stable word: "reset-localkey"
	What     string // a sentence without its full stop
	Actions  []Action
	Commands []Command
	OnSite   bool // somebody must be at the phone
	Works    bool // the phone trusts its cluster after its next reset
	// Report is that reset; nil where the way cannot be gone, for the reason Err.
	Report *boot.Report
	Err    error
	// Later is what an ordinary restart of TFTP and another reset make of it, where
	// the way changes what TFTP serves until then; nil elsewhere.
	Later *boot.Report
}

// Outcome says in one line what came of the way.
func (w *Remedy) Outcome() string {
	switch {
	case w.Err != nil:
		return w.Err.Error()
	case w.Works:
		via := w.Report.ITL.Verdict.Via.String()
		if w.Report.ITL.Name == "" || !w.Report.ITL.Verdict.Accepted {
			via = w.Report.Config.Verdict.Via.String()
		}
		return strings.TrimSuffix("accepted via "+via, " via ")
	}
	reason := w.Report.Reason()
	return fmt.Sprintf("still %v (%s)", reason, reason.Text())
}

// Explanation is why a phone trusts or distrusts what it is served, and what would
// change that.
type Explanation struct {
	Phone       Phone
	Report      *boot.Report // of the reset that was tried on paper
	Locked      bool
	Remedies    []Remedy // that work, cheapest first; none where the phone is not locked
	Ineffective []Remedy // that do not
	Notes       []string // what could not be known
	// Partial says that only what is served is known, and not the cluster behind it: it
	// may have remedies that were not tried.
	Partial bool
}

// TouchOnly reports whether nothing helps but a visit to the phone.
func (e *Explanation) OnSiteOnly() bool {
	return e.Locked && !e.Partial && len(e.Remedies) > 0 && e.Remedies[0].OnSite
}

// Refused returns the first outcome that keeps the phone from its cluster, nil where
// there is none.
func (e *Explanation) Refused() *boot.Outcome { return refused(e.Report) }

func refused(r *boot.Report) *boot.Outcome {
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Rejected() {
			return o
		}
	}
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Verdict.Reason == trust.DownloadFailed {
			return o
		}
	}
	return nil
}

// trusts reports whether the phone trusts what it is served.
func trusts(r *boot.Report) bool { return r.Reason() == trust.Accepted }

// Hints are what the explainer may use beside the clusters.
type Hints struct {
	P12 []byte // a saved ITLRecovery.p12, under the cluster's security password
	// Open takes the phone's configuration to be readable by it where it is encrypted
	// and the phone's key is not known here.
	Open bool
}

// Limits of what is tried.
const (
	maxOldLists = 20
	maxBackups  = 10
)

// Explain says what a reset of the phone would come to, and finds the remedies: each
// is gone on a copy of the world, to the phone's next reset.
func Explain(ctx context.Context, w World, p Phone, h Hints) (*Explanation, error) {
	if h.Open {
		w = w.Fork(nil)
		if err := w.unencrypted([]Phone{p}); err != nil {
			return nil, err
		}
	}
	e, err := look(ctx, w, p)
	if err != nil || !e.Locked {
		return e, err
	}
	e.Notes = append(e.Notes, w.strangers(p)...)
	remedies, notes := w.remedies(w.serving(e.Report, p), p, h)
	e.Notes = append(e.Notes, notes...)
	var keys pki.Keys
	for _, onSite := range []bool{false, true} {
		// First what is done from afar, then what is done at the phone; each alone, and
		// where that is not enough behind what only sets services right.
		some := slices.DeleteFunc(slices.Clone(remedies), func(remedy Remedy) bool { return remedy.OnSite != onSite })
		if e.prove(ctx, w, some, &keys); len(e.Remedies) == 0 {
			ineffective := e.Ineffective
			e.prove(ctx, w, pairs(remedies, some), &keys)
			e.Ineffective = ineffective // there would be too many to read
		}
	}
	if lost := lostKeys(w[w.serving(e.Report, p)], p); len(lost) > 0 && (len(e.Remedies) == 0 || e.Remedies[0].OnSite) {
		e.Notes = append(e.Notes, "the phone would trust a list that is signed by "+strings.Join(lost, " or ")+
			", which the cluster does not have any more; a saved "+state.P12Name+" or a backup of that time may have the key")
	}
	return e, ctx.Err()
}

// prove goes ways on copies of the world.
func (e *Explanation) prove(ctx context.Context, w World, remedies []Remedy, keys *pki.Keys) {
	for _, remedy := range remedies {
		if ctx.Err() != nil {
			return
		}
		w.prove(ctx, e.Phone, &remedy, keys)
		e.add(remedy)
	}
}

// first are the ways that only set services right.
var first = []string{"fix-tvs", "fix-tftp", "fix-both", "restart-tvs", "restart-tftp"}

// pairs are the ways that only set services right, each with one of the second ones
// behind it.
func pairs(all, second []Remedy) (both []Remedy) {
	for _, a := range all {
		for _, b := range second {
			if slices.Contains(first, a.Name) && !slices.Contains(first, b.Name) {
				both = append(both, Remedy{Name: a.Name + "+" + b.Name, What: a.What + ", and then " + b.What,
					Actions: slices.Concat(a.Actions, b.Actions), OnSite: b.OnSite})
			}
		}
	}
	return both
}

// ExplainServed is Explain where only what is served is known, and not the cluster
// behind it: the ways that are found are those of the phone itself.
func ExplainServed(ctx context.Context, s Surroundings, p Phone) (*Explanation, error) {
	e, err := look(ctx, s, p)
	if err != nil || !e.Locked {
		return e, err
	}
	e.Partial = true
	e.Notes = append(e.Notes, "the cluster's keys are not known here, so that ways which need them were not tried; give its directory for that")
	for _, remedy := range phoneWays() {
		after := p
		for _, a := range remedy.Actions {
			remedy.Commands = append(remedy.Commands, a.Commands(World{nil})...)
			if after, remedy.Err = a.Do(World{nil}, after); remedy.Err != nil {
				break
			}
		}
		if _, remedy.Report, remedy.Err = after.Boot(ctx, s); remedy.Err == nil {
			remedy.Works = trusts(remedy.Report)
		}
		e.add(remedy)
	}
	return e, nil
}

func look(ctx context.Context, s Surroundings, p Phone) (*Explanation, error) {
	_, report, err := p.Boot(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Explanation{Phone: p, Report: report, Locked: !trusts(report)}, nil
}

func (e *Explanation) add(remedy Remedy) {
	if remedy.Works {
		e.Remedies = append(e.Remedies, remedy)
	} else {
		e.Ineffective = append(e.Ineffective, remedy)
	}
}

// prove goes a way on a copy of the world.
func (w World) prove(ctx context.Context, p Phone, remedy *Remedy, keys *pki.Keys) {
	fork := w.Fork(keys)
	temporary := false
	for i := range remedy.Actions {
		a := &remedy.Actions[i]
		remedy.Commands = append(remedy.Commands, a.Commands(fork)...)
		remedy.OnSite = remedy.OnSite || a.affects()
		temporary = temporary || a.Op == OpResetITL || a.Op == OpRemoteKey || a.Op == OpServeList
		if p, remedy.Err = a.Do(fork, p); remedy.Err != nil {
			return
		}
	}
	p, remedy.Report, remedy.Err = p.Boot(ctx, fork)
	if remedy.Err != nil {
		return
	}
	if remedy.Works = trusts(remedy.Report); !remedy.Works || !temporary {
		return
	}
	c := fork[fork.serving(remedy.Report, p)]
	for _, n := range c.State().TFTPNodes() {
		if err := c.Apply(operation.RestartTFTP(n)); err != nil {
			return
		}
	}
	if _, later, err := p.Boot(ctx, fork); err == nil {
		remedy.Later = later
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
	s, err := settings.Parse(p.Kept["config"])
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

// strangers notes the servers of the phone that no known cluster has.
func (w World) strangers(p Phone) (notes []string) {
	s, _ := settings.Parse(p.Kept["config"])
	for _, list := range []struct {
		what    string
		servers []string
	}{{"TFTP server", p.Servers}, {"TVS", s.TVS}} {
		for _, server := range list.servers {
			if n, _ := w.node(withPort(server)); n == nil {
				notes = append(notes, fmt.Sprintf("%s %s of the phone is of no known cluster: it counts as out of reach", list.what, server))
			}
		}
	}
	return notes
}

// ways lists what may be tried for a phone that the cluster at a place serves, cheapest
// first, and notes what cannot.
func (w World) remedies(at int, p Phone, h Hints) (remedies []Remedy, notes []string) {
	c := w[at]
	try := func(name, what string, actions ...Action) {
		if len(actions) > 0 {
			remedies = append(remedies, Remedy{Name: name, What: what, Actions: actions})
		}
	}
	tvs, tftp := w.broken(profile.TVSService), w.broken(profile.TFTPService)
	try("fix-tvs", "make TVS answer again", tvs...)
	try("fix-tftp", "make TFTP serve again", tftp...)
	if len(tvs) > 0 && len(tftp) > 0 {
		try("fix-both", "make TVS and TFTP work again", slices.Concat(tvs, tftp)...)
	}
	try("restart-tvs", "restart TVS, which then knows all that was imported", w.restarts(profile.TVSService)...)
	restart := w.restarts(profile.TFTPService)
	restart = slices.DeleteFunc(restart, func(a Action) bool { return a.Cluster != at })
	try("restart-tftp", "restart TFTP, which then signs as always", restart...)
	if c.State().Digest != trustlist.SHA1 {
		try("sha1", "sign with SHA-1", Action{Op: OpDigest, Cluster: at, Value: "SHA-1"})
	}
	reset := Action{Op: OpResetITL, Cluster: at}
	try("reset-localkey", "reset the ITL with the key of the publisher", reset)
	if c.Publisher().State().CTL != nil {
		ctl := Action{Op: OpResetCTL, Cluster: at}
		try("reset-ctl", "reset the CTL with the key of the publisher", ctl)
		try("reset-lists", "reset CTL and ITL with the key of the publisher", ctl, reset)
	}
	kept, note := savedKey(c, h)
	if note != "" {
		notes = append(notes, note)
	}
	if kept != nil {
		try("reset-remotekey", "reset the ITL with the recovery key that was saved", Action{Op: OpRemoteKey, Cluster: at, Key: kept})
	}
	for _, from := range w.vouching(p) {
		if from != at {
			try("import", "let the phone's TVS know the cluster that serves it", Action{Op: OpImport, Cluster: from, From: at})
		}
	}
	for i, other := range w {
		if i != at {
			try("old-servers", "give the phone the TFTP servers of "+other.State().Profile.Name, Action{Op: OpTFTPServers, Cluster: i})
			continue
		}
		for _, name := range other.State().TFTPNodes() {
			if len(other.State().TFTPNodes()) > 1 || len(tftp) > 0 {
				try("other-server", "give the phone the TFTP server "+name+" alone", Action{Op: OpTFTPServers, Cluster: i, Node: name})
			}
		}
	}
	for _, old := range oldLists(c) {
		try("restore-list", fmt.Sprintf("serve the list of %s again (%s)", old.Since.Format(time.DateTime), old.Reason), Action{Op: OpServeList, Cluster: at, Value: old.SHA1})
	}
	for i, name := range c.Backups() {
		if i < maxBackups {
			try("restore-backup", "restore the backup "+name, Action{Op: OpRestore, Cluster: at, Value: name})
		}
	}
	if known := c.State().Phone(p.MAC); known != nil && known.Certificate != nil {
		try("decrypt", "serve the phone's configuration unencrypted", Action{Op: OpDecrypt, Cluster: at, Value: p.MAC})
	}
	if holdings.Load(p.Kept).Network.Alternate {
		remedies = append(remedies, Remedy{Name: "alternate", What: "let the phone use the TFTP servers of DHCP", Actions: []Action{{Op: OpAlternate}}, OnSite: true})
	}
	return append(remedies, phoneWays()...), notes
}

// phoneWays are those at the phone itself.
func phoneWays() []Remedy {
	return []Remedy{
		{Name: "erase", What: "delete the lists of the phone by hand", Actions: []Action{{Op: OpErase}}, OnSite: true},
		{Name: "factory-reset", What: "reset the phone to factory settings", Actions: []Action{{Op: OpFactory}}, OnSite: true},
	}
}

// broken are the actions that fix a service everywhere.
func (w World) broken(service profile.Service) (all []Action) {
	for i, c := range w {
		for _, n := range c.Nodes() {
			active, started := n.State().Runs(service)
			if fault := n.State().Fault(service); active && (!started || fault.Kind != "") {
				all = append(all, Action{Op: OpMend, Cluster: i, Node: n.Name(), Service: service})
			}
		}
	}
	return all
}

// restarts are the restarts of a service that runs.
func (w World) restarts(service profile.Service) (all []Action) {
	for i, c := range w {
		for _, n := range c.Nodes() {
			if _, started := n.State().Runs(service); started {
				all = append(all, Action{Op: OpRestart, Cluster: i, Node: n.Name(), Service: service})
			}
		}
	}
	return all
}

// savedKey opens the saved key, or says why it is of no use.
func savedKey(c *cluster.Cluster, h Hints) (*pki.Identity, string) {
	if h.P12 == nil {
		return nil, ""
	}
	kept, err := p12.Open(h.P12, c.State().SecurityPassword)
	if err != nil {
		return nil, "the saved recovery key is of no use: " + err.Error()
	}
	return kept, ""
}

// lostKeys names the certificates that may sign lists for the phone and that the
// cluster has no longer.
func lostKeys(c *cluster.Cluster, p Phone) (names []string) {
	for _, kind := range []trustlist.Kind{trustlist.CTL, trustlist.ITL} {
		list, err := trustlist.Parse(kind, p.Kept[strings.ToLower(kind.String())])
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
	all := c.State().Lists()
	seen := make(map[string]bool)
	for _, n := range c.Nodes() {
		seen[HashOf(n.ITL())] = true
	}
	for _, s := range slices.Backward(all) {
		if s.Kind == trustlist.ITL && !seen[s.SHA1] && len(old) < maxOldLists {
			seen[s.SHA1] = true
			old = append(old, s)
		}
	}
	return old
}

// HashOf returns how a list is named in alarms: SHA-1, lower-case hex.
func HashOf(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}
