package twin

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/pki"
)

// Options are what evidence cannot tell, or what is known better.
type Options struct {
	Release string    // "" guesses it from the lists
	Now     time.Time // the machine's where zero
	Dir     string    // of the twin; "" keeps it in memory
	// Held is what a phone holds: its lists have certificates that the text of others lacks.
	Held []*recogniser.Item
}

// Twin is the copy of a real cluster.
type Twin struct {
	Cluster *cluster.Cluster
	Reports *evidence.Reports // of its phones
	Notes   []string          // what was guessed, and what is not known
	lists   []*list
	b       *builder
}

// ErrNoList says that evidence has no ITL that a cluster serves.
var ErrNoList = errors.New("no ITL is among it, neither as a file nor as what show itl prints")

// ErrRelease says that a release that is named does not exist.
var ErrRelease = errors.New("invalid release")

// builder is a twin that is being made.
type builder struct {
	opts        Options
	secret      []byte
	known       *known
	all         []*list // the oldest first
	nodes       []*node
	notes       []string
	addressless bool // of some node no address is known
	sharedTVS   bool // one TVS certificate serves all nodes
	renamed     renames
	blank       bool // the lists are prepared for a rollback: they do not say who runs TVS
	s           *state.State
}

// node is what is known of a node.
type node struct {
	name, domain string
	tftp, tvs    bool
	named        bool // a folder with its list is named after it
	itl, ctl     *list
	units        map[profile.Unit]*x509.Certificate
	vouching     *x509.Certificate // that its TVS shows; nil where it was not asked
	address      string
}

func (b *builder) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, n := range b.notes {
		if n == text {
			return
		}
	}
	b.notes = append(b.notes, text)
}

// New makes a twin. Its errors are ErrNoList, ErrRelease, and those of the directory.
func New(items []*recogniser.Item, o Options) (*Twin, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Release != "" {
		if _, err := profile.FindRelease(o.Release); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRelease, err)
		}
	}
	k, err := newKnown()
	if err != nil {
		return nil, err
	}
	b := &builder{opts: o, secret: pki.NewSecret(), known: k}
	k.learn(items)
	k.learn(o.Held)
	if err := b.lists(items); err != nil {
		return nil, err
	}
	if b.newest(trustlist.ITL) == nil {
		return nil, ErrNoList
	}
	b.findNodes()
	b.findCertificates(items)
	if err := b.state(items); err != nil {
		return nil, err
	}
	c, err := cluster.FromState(b.s, cluster.Options{Dir: o.Dir})
	if err != nil {
		return nil, err
	}
	t := &Twin{Cluster: c, Notes: b.notes, lists: b.all, b: b}
	if t.Reports, err = reports(items); err != nil {
		c.Close()
		return nil, err
	}
	if t.b.phones(items, t.Reports); len(b.s.Phones) > 0 {
		err = c.Apply(func(s *state.State) error { s.Phones = b.s.Phones; return nil })
	}
	t.Notes = b.notes
	return t, err
}

// newest returns the newest list of a kind, nil for none.
func (b *builder) newest(kind trustlist.Kind) (last *list) {
	for _, l := range b.all {
		if l.kind == kind {
			last = l
		}
	}
	return last
}

// fqdnOf returns the host name in the subject of a node's certificate.
func fqdnOf(name string) string {
	for part := range strings.SplitSeq(strings.ReplaceAll(name, ",", ";"), ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, "CN") {
			value = strings.TrimSuffix(strings.ToLower(strings.Trim(value, `" `)), "-ec")
			host, domain, _ := strings.Cut(value, ".")
			return profile.FQDN(strings.TrimSuffix(host, multiServer), domain)
		}
	}
	return ""
}

// recoveryPrefix begins the name of ITLRecovery, before that of the publisher as it was installed.
const recoveryPrefix = "itlrecovery_"

// multiServer ends the host name in a certificate that all servers of a cluster share.
const multiServer = "-ms"

// shared reports whether a certificate's name is that of one for all servers.
func shared(name string) bool {
	host, _, _ := strings.Cut(strings.ToLower(nameOf(name).CommonName), ".")
	return strings.HasSuffix(host, multiServer)
}

// node returns the node of a host name, and makes it. One name may have the domain, and another
// not.
func (b *builder) node(fqdn string) *node {
	host, domain, _ := strings.Cut(fqdn, ".")
	if profile.CheckLabel(host) != nil || domain != "" && profile.CheckDomain(domain) != nil {
		return nil
	}
	for _, n := range b.nodes {
		if n.name == host && (n.domain == domain || n.domain == "" || domain == "") {
			if n.domain == "" {
				n.domain = domain
			}
			return n
		}
	}
	n := &node{name: host, domain: domain, units: make(map[profile.Unit]*x509.Certificate)}
	b.nodes = append(b.nodes, n)
	return n
}

// own returns the certificate of the TFTP server that a list is of.
func (l *list) own() *trustlist.Record {
	for _, role := range []trustlist.Role{trustlist.TFTP, trustlist.CCMTFTP, trustlist.SAST} {
		for i := range l.file.Records {
			r := &l.file.Records[i]
			if r.Role() == role && !strings.HasPrefix(fqdnOf(string(r.Subject())), "itlrecovery") && fqdnOf(string(r.Subject())) != "" {
				return r
			}
		}
	}
	return nil
}

// findNodes tells the nodes by the newest lists: every list has the name of its TFTP server, and
// of all that run TVS.
func (b *builder) findNodes() {
	last := b.newest(trustlist.ITL)
	for i := range last.file.Records {
		if r := &last.file.Records[i]; r.Role() == trustlist.TVS {
			if n := b.node(fqdnOf(string(r.Subject()))); n != nil {
				n.tvs = true
			}
			b.sharedTVS = b.sharedTVS || shared(string(r.Subject()))
		}
	}
	for _, l := range b.all {
		r := l.own()
		if l.kind != trustlist.ITL || r == nil {
			continue
		}
		if n := b.node(fqdnOf(string(r.Subject()))); n != nil {
			n.itl, n.tftp = l, true
		}
	}
	for _, l := range b.all { // lists in a folder that is named after a node are what it serves
		for _, path := range l.from {
			n := b.folder(path, l)
			switch {
			case n == nil:
			case l.kind == trustlist.CTL:
				n.ctl = l
			default:
				n.itl, n.tftp, n.named = l, true, true
			}
		}
	}
	if len(b.nodes) == 0 {
		b.node("server")
		b.note("no list names a node that is known by a host name: one is made up")
	}
	b.dropOld()
	b.findRenames()
	if ctl := b.newest(trustlist.CTL); ctl != nil {
		b.addresses(ctl)
	}
	for _, n := range b.nodes {
		n.tvs = n.tvs || b.sharedTVS
	}
	b.order()
	for i, n := range b.nodes {
		if n.address == "" {
			n.address = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}).String()
			b.note("the address of %s is not known: %s is made up", n.name, n.address)
			b.addressless = true
		}
		if !n.tftp {
			b.note("no list of %s is known: it is taken to run no TFTP", n.name)
		}
	}
}

// dropOld drops the nodes that only old lists name: after a change of names there is another.
func (b *builder) dropOld() {
	last := b.newest(trustlist.ITL)
	newest := make(map[*node]bool)
	for i := range last.file.Records {
		if n := b.byName(fqdnOf(string(last.file.Records[i].Subject()))); n != nil {
			newest[n] = true
		}
	}
	blank := true // prepared for a rollback, a list names its own server alone
	anyNamed := false
	for _, n := range b.nodes {
		blank, anyNamed = blank && !n.tvs, anyNamed || n.named
	}
	b.blank = blank
	var kept []*node
	for _, n := range b.nodes {
		if n.tvs || newest[n] || n.named || (blank || b.sharedTVS) && !anyNamed {
			kept = append(kept, n)
		}
	}
	if len(kept) > 0 {
		b.nodes = kept
	}
}

// byName returns the node of a host name, nil for none.
func (b *builder) byName(fqdn string) *node {
	host, domain, _ := strings.Cut(fqdn, ".")
	for _, n := range b.nodes {
		if host != "" && n.name == host && (n.domain == domain || n.domain == "" || domain == "") {
			return n
		}
	}
	return nil
}

// addresses takes the nodes' addresses of a CTL.
func (b *builder) addresses(ctl *list) {
	for i := range ctl.file.Records {
		r := &ctl.file.Records[i]
		n := b.called(string(r.DNS()))
		if n == nil {
			n = b.called(fqdnOf(string(r.Subject())))
		}
		if ip := net.IP(r.Value(trustlist.IPAddress)); n != nil && len(ip) == 4 && !ip.IsUnspecified() {
			n.address = ip.String()
		}
	}
}

// called returns the node that has or had a host name, nil for none.
func (b *builder) called(fqdn string) *node {
	fqdn = strings.ToLower(fqdn)
	if n := b.byName(fqdn); n != nil {
		return n
	}
	host, _, _ := strings.Cut(fqdn, ".")
	now := b.renamed.now(host)
	for _, n := range b.nodes {
		if host != "" && n.name == now {
			return n
		}
	}
	return nil
}

// order puts the publisher first: the node that ITLRecovery is named after, or that the first
// record of the CTL or the first TVS record names, whatever it is called now.
func (b *builder) order() {
	first, how := b.publisher()
	at := max(0, slices.Index(b.nodes, first))
	b.nodes[0], b.nodes[at] = b.nodes[at], b.nodes[0]
	switch {
	case how != "":
		b.note("%s: %s is taken to be the publisher", how, b.nodes[0].name)
	case first == nil && len(b.nodes) > 1:
		b.note("which node is the publisher is not known: %s is taken", b.nodes[0].name)
	}
}

// publisher returns the node that is the publisher, and how it was guessed: "" where
// ITLRecovery is named after it.
func (b *builder) publisher() (*node, string) {
	last := b.newest(trustlist.ITL)
	for i := range last.file.Records {
		cn := fqdnOf(string(last.file.Records[i].Subject()))
		old, named := strings.CutPrefix(cn, recoveryPrefix)
		if !named {
			continue
		}
		host, _, _ := strings.Cut(old, ".")
		if n := b.called(host); n != nil && n.name == host {
			return n, ""
		} else if n != nil {
			return n, "ITLRecovery is named after " + host + ", which is " + n.name + " by now, by the lists"
		}
	}
	const none = "no ITLRecovery certificate is named after a node"
	if ctl := b.newest(trustlist.CTL); ctl != nil && len(ctl.file.Records) > 0 {
		if n := b.called(string(ctl.file.Records[0].DNS())); n != nil {
			return n, none
		}
	}
	for _, l := range slices.Backward(b.all) {
		if hosts := l.hosts(); l.kind == trustlist.ITL && len(hosts) > 0 {
			if n := b.called(hosts[0]); n != nil {
				return n, none
			}
		}
	}
	return nil, ""
}

// hostKey makes the SSH key that the form of a state wants.
func hostKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}
