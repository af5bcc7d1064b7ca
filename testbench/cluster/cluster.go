package cluster

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/pki"
)

// HoldTime is how long after one certificate of a node was regenerated another
// one of it must not be: the phones are to reset in between.
const HoldTime = 5 * time.Minute

// AnswerTTL is the time to live of TVS answers, in seconds.
const AnswerTTL = 86400

// Options are what varies between runs of one profile.
type Options struct {
	Host string // to listen on; 127.0.0.1 where ""
	// Ports fixes the nodes' ports: the first node has HTTP and TFTP on Ports
	// and TVS on Ports+1, the next node the two behind. 0 takes free ones.
	Ports int
	Logf  func(format string, args ...any)
}

// Cluster is a running or stopped cluster.
type Cluster struct {
	opts    Options
	profile Profile

	mu       sync.Mutex
	now      time.Time // of the bench clock
	nodes    []*Node
	recovery *pki.Identity
	phones   map[string]*phone // by MAC
	imported []*pki.Identity   // Phone-SAST-trust
	rollback bool
	digest   trustlist.Digest
}

// phone is what the cluster knows of a phone.
type phone struct {
	PhoneSpec
	settings map[string]string
}

// Node is one server of a cluster.
type Node struct {
	NodeSpec
	cluster *Cluster

	// Guarded by cluster.mu.
	units    map[Unit]*pki.Identity
	modified map[Unit]time.Time // when a unit was last regenerated
	itl      []byte             // what TFTP serves; built when TFTP starts
	signer   *pki.Identity      // what TFTP signs with; read when TFTP starts
	vouching *pki.Identity      // what TVS presents; read when TVS starts
	faults   Faults

	listeners listeners
}

// New installs a cluster: it makes every key and certificate. Nothing listens
// yet.
func New(p Profile, o Options) (*Cluster, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	c := &Cluster{opts: o, profile: p, now: p.Installed, phones: make(map[string]*phone), digest: trustlist.SHA1}
	for _, ps := range p.Phones {
		c.phones[ps.MAC] = &phone{ps, map[string]string{
			"settingsAccess": "1", "webAccess": "1", "sshAccess": "1", "spanToPCPort": "1",
		}}
	}
	publishers := 0
	for _, spec := range p.Nodes {
		if spec.Publisher {
			publishers++
		}
		n := &Node{NodeSpec: spec, cluster: c, units: make(map[Unit]*pki.Identity), modified: make(map[Unit]time.Time)}
		for _, u := range []Unit{CallManager, TVS, CAPF} {
			id, err := n.issue(u)
			if err != nil {
				return nil, err
			}
			n.units[u] = id
		}
		c.nodes = append(c.nodes, n)
	}
	if publishers != 1 {
		return nil, fmt.Errorf("profile %s has %d publishers, a cluster has one", p.Name, publishers)
	}
	name := p.Organisation
	name.CN = p.RecoveryName
	var err error
	c.recovery, err = pki.New(pki.Request{
		Subject: name, Bits: p.RecoveryBits, Usage: pki.Recovery, From: c.now, Years: p.RecoveryYears,
	})
	if err != nil {
		return nil, err
	}
	for _, n := range c.nodes {
		n.loadTVS()
		if err := n.loadTFTP(nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// issue makes a certificate for a unit. The caller holds cluster.mu, or is New.
func (n *Node) issue(u Unit) (*pki.Identity, error) {
	subject := n.cluster.profile.Organisation
	subject.CN = n.FQDN()
	if u == CAPF {
		subject.CN = n.CAPFName
	}
	bits := n.Bits[u]
	if bits == 0 {
		bits = 1024
	}
	return pki.New(pki.Request{Subject: subject, Bits: bits, Usage: pki.Service, From: n.cluster.now})
}

// FQDN returns the node's name with its domain.
func (n *Node) FQDN() string { return n.Name + "." + n.Domain }

// loadTFTP is what a start of the TFTP service does: it reads the CallManager
// certificate and builds the ITL, unless a reset ITL is given to be served.
func (n *Node) loadTFTP(resetITL []byte) error {
	n.signer = n.units[CallManager]
	if resetITL != nil {
		n.itl = resetITL
		return nil
	}
	itl, err := trustlist.BuildList(n.itlSpec(), n.signer.SigningKey())
	if err != nil {
		return fmt.Errorf("%s: build ITL: %w", n.Name, err)
	}
	n.itl = itl
	return nil
}

func (n *Node) loadTVS() { n.vouching = n.units[TVS] }

// itlSpec describes the node's ITL in the order of the note: the node's
// CallManager certificate as SAST and as TFTP, CAPF, the first TVS, ITL
// recovery, the other TVS.
func (n *Node) itlSpec() trustlist.ListSpec {
	c := n.cluster
	own := n.units[CallManager].Certificate
	whole, hashed := trustlist.Whole, trustlist.Hashed
	if c.rollback {
		whole, hashed = trustlist.Blank, trustlist.Blank
	}
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: own},
		{Role: trustlist.TFTP, Certificate: own, Form: whole},
		{Role: trustlist.CAPF, Certificate: c.publisher().units[CAPF].Certificate, Form: trustlist.Hashed},
	}
	for i, other := range c.nodes {
		records = append(records, trustlist.RecordSpec{Role: trustlist.TVS, Certificate: other.units[TVS].Certificate, Form: hashed})
		if i == 0 {
			records = append(records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: c.recovery.Certificate})
		}
	}
	return trustlist.ListSpec{Kind: trustlist.ITL, Digest: c.digest, Time: c.now, Records: records}
}

func (c *Cluster) publisher() *Node {
	for _, n := range c.nodes {
		if n.NodeSpec.Publisher {
			return n
		}
	}
	return nil // New refuses such a cluster
}

// Publisher returns the node that holds the recovery key.
func (c *Cluster) Publisher() *Node { return c.publisher() }

// Nodes returns the nodes in the order of the profile.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Node returns the node of a name.
func (c *Cluster) Node(name string) (*Node, error) {
	for _, n := range c.nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no node %q in the cluster", name)
}

// Now returns the bench clock.
func (c *Cluster) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the bench clock ahead.
func (c *Cluster) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// HoldError says that a certificate of the node was regenerated too recently. Its
// text is the one that the note shows.
type HoldError struct{ Modified, Wanted Unit }

func (e *HoldError) Error() string {
	return fmt.Sprintf("%s certificate was modified in the last 5 minutes. Please re-try regenerating %s certificate at a later time",
		e.Modified, e.Wanted)
}

// Regenerate replaces a certificate and its key. Services use the new one from
// their next start. Another certificate of the same node regenerated within
// HoldTime gives a *HoldError.
func (c *Cluster) Regenerate(node string, u Unit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.Node(node)
	if err != nil {
		return err
	}
	if n.units[u] == nil {
		return fmt.Errorf("%s has no certificate %q", node, u)
	}
	for other, at := range n.modified {
		if other != u && c.now.Before(at.Add(HoldTime)) {
			return &HoldError{other, u}
		}
	}
	id, err := n.issue(u)
	if err != nil {
		return err
	}
	n.units[u] = id
	n.modified[u] = c.now
	return nil
}

// RestartTFTP restarts the TFTP service of a node: it serves a new ITL, signed
// with the CallManager key, and forgets a reset one.
func (c *Cluster) RestartTFTP(node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.Node(node)
	if err != nil {
		return err
	}
	return n.loadTFTP(nil)
}

// RestartTVS restarts the TVS service of a node, which then presents the node's
// present TVS certificate.
func (c *Cluster) RestartTVS(node string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.Node(node)
	if err != nil {
		return err
	}
	n.loadTVS()
	return nil
}

// ResetITL does what `utils itl reset localkey` does: it takes the publisher's
// ITL, signs it with the ITL recovery key in place of its signature, copies it
// to every node and restarts TFTP there. The next ordinary restart of TFTP signs
// with the CallManager key again. It returns the names of the nodes.
func (c *Cluster) ResetITL() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current, err := trustlist.Parse(trustlist.ITL, c.publisher().itl)
	if err != nil {
		return nil, fmt.Errorf("the publisher's ITL: %w", err)
	}
	reset, err := trustlist.Resign(current, c.now, c.recovery.SigningKey())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range c.nodes {
		if err := n.loadTFTP(reset); err != nil {
			return nil, err
		}
		names = append(names, n.Name)
	}
	return names, nil
}

// SetRollback sets the enterprise parameter "Prepare Cluster for Rollback to
// pre 8.0": ITLs built from now on have blank TFTP and TVS records.
func (c *Cluster) SetRollback(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rollback = on
}

// SetDigest sets the enterprise parameter "TFTP File Signature Algorithm".
func (c *Cluster) SetDigest(d trustlist.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.digest = d
}

// Import puts a foreign certificate into Phone-SAST-trust: TVS then vouches for
// it as SAST and TFTP.
func (c *Cluster) Import(id *pki.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.imported = append(c.imported, id)
}

// Set changes a setting in the configuration of a phone, such as "webAccess".
func (c *Cluster) Set(mac, name, value string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.phones[mac]
	if p == nil {
		return fmt.Errorf("no phone with MAC address %s", mac)
	}
	if strings.ContainsAny(value, "<>&") {
		return errors.New("a setting cannot hold <, > or &")
	}
	if _, ok := p.settings[name]; !ok {
		return fmt.Errorf("phones have no setting %q", name)
	}
	p.settings[name] = value
	return nil
}

// Settings returns a copy of a phone's settings, or nil for an unknown phone.
func (c *Cluster) Settings(mac string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.phones[mac]; p != nil {
		return maps.Clone(p.settings)
	}
	return nil
}

// ITL returns the list that the node's TFTP service serves.
func (n *Node) ITL() []byte {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.itl
}

// Identity returns a unit's present certificate and key.
func (n *Node) Identity(u Unit) *pki.Identity {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.units[u]
}

// Recovery returns the ITL recovery certificate and key.
func (c *Cluster) Recovery() *pki.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recovery
}
