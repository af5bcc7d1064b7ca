package cluster

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"itlagent/agent/trustlist"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// Options are what varies between runs of one cluster.
type Options struct {
	Dir string // that keeps the cluster; "" keeps it in memory
	// Tick lets the bench clock of a cluster that is installed run with the
	// machine's. It stands still otherwise, and moves by Advance alone.
	Tick bool
	// Only hosts the nodes of these names; all where empty.
	Only []string
	// SSH serves a connection to a node's command line, until it returns; nil
	// opens no port for it.
	SSH  func(net.Conn, *Node)
	Logf func(format string, args ...any)
}

// Cluster is a running or stopped cluster.
type Cluster struct {
	opts   Options
	nodes  []*Node
	log    *events.Log
	lock   *os.File // of the directory
	origin *Cluster // that this one is a fork of

	mu    sync.Mutex
	s     *state
	stamp stamp
	lists map[string][]byte // of the history, in memory, by hash

	serving  sync.Mutex // held while listeners open and close
	up       bool
	control  []*running    // sockets for other processes
	down     chan struct{} // closed when another process wants this one to end
	downOnce sync.Once
}

// Node is one server of a cluster.
type Node struct {
	cluster  *Cluster
	index    int
	services services
}

// New makes a cluster: it installs the profile, making every key and
// certificate, or, where the directory of the options holds a cluster already,
// goes on with that one. Nothing listens yet. A directory that holds what cannot
// be read gives ErrDamaged and is left as it is.
func New(p Profile, o Options) (*Cluster, error) {
	c, err := open(o)
	if err != nil {
		return nil, err
	}
	unlock, err := c.lockState()
	if err != nil {
		c.Close()
		return nil, err
	}
	defer unlock()
	if o.Dir != "" {
		c.s, c.stamp, err = loadState(o.Dir)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return c.ready(err)
		}
	}
	if err := p.check(); err != nil {
		return c.ready(err)
	}
	if err := p.probe(o.Only); err != nil {
		return c.ready(err)
	}
	s, err := install(p, o.Tick)
	if err == nil {
		s.why = "the cluster was installed"
		err = c.commit(s)
	}
	return c.ready(err)
}

// Open goes on with the cluster of a directory. Without one the error is
// fs.ErrNotExist.
func Open(o Options) (*Cluster, error) {
	if _, err := os.Stat(filepath.Join(o.Dir, stateFile)); err != nil {
		return nil, err
	}
	return New(Profile{}, o)
}

func open(o Options) (*Cluster, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	c := &Cluster{opts: o, log: new(events.Log), down: make(chan struct{})}
	if o.Dir == "" {
		return c, nil
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if c.lock, err = os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if c.log, err = events.Open(filepath.Join(o.Dir, "events.log")); err != nil {
		c.lock.Close()
		return nil, err
	}
	return c, nil
}

// ready makes the nodes, or closes after an error.
func (c *Cluster) ready(err error) (*Cluster, error) {
	if err != nil {
		c.Close()
		return nil, err
	}
	for i := range c.s.Nodes {
		c.nodes = append(c.nodes, &Node{cluster: c, index: i})
	}
	for _, name := range c.opts.Only {
		if _, err := c.Node(name); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// lockState keeps other processes from changing the state.
func (c *Cluster) lockState() (unlock func(), err error) {
	if c.lock == nil {
		return func() {}, nil
	}
	if err := unix.Flock(int(c.lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", c.opts.Dir, err)
	}
	return func() { unix.Flock(int(c.lock.Fd()), unix.LOCK_UN) }, nil
}

// state returns the state in force. What another process made of it is read
// again; where that fails, the state as it was known stays.
func (c *Cluster) state() *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refresh(); err != nil {
		c.opts.Logf("%v", err)
	}
	return c.s
}

// refresh reads the state file where it is another one. The caller holds mu.
func (c *Cluster) refresh() error {
	if c.opts.Dir == "" {
		return nil
	}
	info, err := os.Stat(filepath.Join(c.opts.Dir, stateFile))
	if err != nil {
		return err
	}
	if c.stamp.same(info) {
		return nil
	}
	s, stamp, err := loadState(c.opts.Dir)
	if err == nil {
		c.s, c.stamp = s, stamp
	}
	return err
}

// update runs an operation on a copy of the state, keeps the copy, and puts it in
// force. Where the operation or the keeping fails, nothing has changed.
func (c *Cluster) update(operation func(*state) error) error {
	if err := c.change(operation); err != nil {
		return err
	}
	return c.follow()
}

func (c *Cluster) change(operation func(*state) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	unlock, err := c.lockState()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.refresh(); err != nil {
		return err
	}
	next := c.s.clone()
	if err := operation(next); err != nil {
		return err
	}
	if err := c.commit(next); err != nil {
		return err
	}
	for _, e := range next.pending {
		if err := c.log.Add(e); err != nil {
			return fmt.Errorf("done, but not in the event log: %w", err)
		}
	}
	return nil
}

// commit keeps a state and puts it in force. The lists of its history are kept
// first, so that none is ever missing.
func (c *Cluster) commit(next *state) error {
	next.served(c.s)
	if err := c.keepLists(next.pendingLists); err != nil {
		return err
	}
	if c.opts.Dir != "" {
		stamp, err := saveState(c.opts.Dir, next)
		if err != nil {
			return err
		}
		c.stamp = stamp
	}
	c.s = next
	return nil
}

// install makes every key and certificate of a profile.
func install(p Profile, tick bool) (*state, error) {
	if p.Installed.IsZero() {
		p.Installed = time.Now().UTC().Truncate(time.Second)
	}
	s := &state{directories: new(directories), Profile: p, Clock: p.Installed, Alerted: p.Installed, Digest: trustlist.SHA1,
		AdminPassword: p.AdminPassword, SecurityPassword: p.SecurityPassword}
	s.Profile.AdminPassword, s.Profile.SecurityPassword = "", ""
	if tick {
		s.Set = time.Now()
	}
	for _, password := range []*string{&s.AdminPassword, &s.SecurityPassword} {
		if *password == "" {
			*password = rand.Text()
		}
	}
	for _, ps := range p.Phones {
		settings := map[string]string{"settingsAccess": "1", "webAccess": "1", "sshAccess": "1", "spanToPCPort": "1"}
		maps.Copy(settings, ps.Settings)
		s.Phones = append(s.Phones, PhoneSpec{ps.MAC, ps.Model, settings, ps.Certificate})
	}
	var jobs errgroup.Group // one key of 2048 bits takes tenths of a second
	for _, spec := range p.Nodes {
		s.Nodes = append(s.Nodes, &nodeState{Name: spec.Name, Domain: spec.Domain, Units: make(map[Unit]*pki.Identity),
			Modified: make(map[Unit]time.Time), Stopped: make(map[Service]bool), Faults: make(map[Service]string), Ports: make(map[string]int)})
	}
	var mu sync.Mutex
	for _, n := range s.Nodes {
		for _, u := range s.release().units() {
			jobs.Go(func() error {
				id, err := s.issue(n, u)
				mu.Lock()
				defer mu.Unlock()
				n.Units[u] = id
				return err
			})
		}
		key, err := hostKey()
		if err != nil {
			return nil, err
		}
		n.HostKey = key
	}
	if err := jobs.Wait(); err != nil {
		return nil, err
	}
	for _, n := range s.Nodes {
		if err := s.startServices(n); err != nil {
			return nil, err
		}
	}
	return s, s.renewP12()
}

func hostKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// Nodes returns the nodes in the order of the profile.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Publisher returns the node that holds the recovery key.
func (c *Cluster) Publisher() *Node { return c.nodes[c.state().publisherIndex()] }

// ErrNoNode says that the cluster has no node of a name.
var ErrNoNode = errors.New("no node")

// Node returns the node of a name.
func (c *Cluster) Node(name string) (*Node, error) {
	var names []string
	for i, n := range c.state().Nodes {
		if n.Name == name {
			return c.nodes[i], nil
		}
		names = append(names, n.Name)
	}
	return nil, fmt.Errorf("%w %q in the cluster; there are: %s", ErrNoNode, name, strings.Join(names, ", "))
}

func (n *Node) state() *nodeState { return n.cluster.state().Nodes[n.index] }

// Cluster returns the cluster that the node belongs to.
func (n *Node) Cluster() *Cluster { return n.cluster }

// Name returns the node's present host name.
func (n *Node) Name() string { return n.state().Name }

// FQDN returns the node's name with its domain.
func (n *Node) FQDN() string { return n.state().fqdn() }

// IsPublisher reports whether the node is the publisher.
func (n *Node) IsPublisher() bool { return n.cluster.state().publisherIndex() == n.index }

// ITL returns the list that the node's TFTP service serves.
func (n *Node) ITL() []byte { return n.state().ITL }

// CTL returns the CTL that the node's TFTP service serves, or nil.
func (n *Node) CTL() []byte { return n.state().CTL }

// Identity returns a unit's present certificate and key, or nil.
func (n *Node) Identity(u Unit) *pki.Identity { return n.state().Units[u] }

// HostKey returns the node's SSH key, PKCS#8 in DER.
func (n *Node) HostKey() []byte { return n.state().HostKey }

// Recovery returns the ITL recovery certificate and key that count, or nil.
func (c *Cluster) Recovery() *pki.Identity { return c.state().recovery() }

// Release returns what the cluster's software is.
func (c *Cluster) Release() Release { return *c.state().release() }

// Name returns the name of the profile.
func (c *Cluster) Name() string { return c.state().Profile.Name }

// Dir returns the directory that keeps the cluster, or "".
func (c *Cluster) Dir() string { return c.opts.Dir }

// Resets returns how often the cluster has told its phones to reset.
func (c *Cluster) Resets() int { return c.state().Resets }

// Events returns the event log.
func (c *Cluster) Events() *events.Log { return c.log }

// Phones returns the phones that the cluster knows. The caller must not change
// their settings.
func (c *Cluster) Phones() []PhoneSpec { return slices.Clone(c.state().Phones) }

// Phone returns what the cluster knows of a phone. The caller must not change its
// settings.
func (c *Cluster) Phone(mac string) (PhoneSpec, bool) {
	if p := c.state().phone(mac); p != nil {
		return *p, true
	}
	return PhoneSpec{}, false
}

// Settings returns a copy of a phone's settings, or nil for an unknown phone.
func (c *Cluster) Settings(mac string) map[string]string {
	if p := c.state().phone(mac); p != nil {
		return maps.Clone(p.Settings)
	}
	return nil
}

// Now returns the bench clock.
func (c *Cluster) Now() time.Time { return c.state().now() }

// ParseDuration reads a time span: one of package time, or days as in "2d".
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		if err != nil || d > 1000*time.Hour {
			return 0, fmt.Errorf("%q is no number of days", text)
		}
		return 24 * d, nil
	}
	return time.ParseDuration(text)
}
