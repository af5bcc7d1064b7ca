package cluster

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"itlagent/agent/tvs"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// Fork returns a copy of the cluster in memory, whose changes the cluster itself
// never sees: what would be if. Nothing of it listens unless it is started. It
// reads the lists and backups of the original. Its bench clock stands still.
// keys, if not nil, are where its new certificates have their keys from.
func (c *Cluster) Fork(keys *pki.Keys) *Cluster {
	now := c.state()
	next := now.clone()
	next.Clock, next.Set = now.now(), time.Time{}
	if keys != nil {
		next.keys = keys
	}
	f := &Cluster{opts: Options{Logf: c.opts.Logf}, log: new(events.Log), down: make(chan struct{}), origin: c, s: next}
	for i := range next.Nodes {
		f.nodes = append(f.nodes, &Node{cluster: f, index: i})
	}
	return f
}

// Unbind makes every node listen on free ports from its next start on, on the
// addresses that it has.
func (c *Cluster) Unbind() error {
	return c.change(func(s *state) error {
		s.Profile.Nodes = slices.Clone(s.Profile.Nodes)
		for i, n := range s.Nodes {
			s.Profile.Nodes[i].Port, s.Profile.Nodes[i].Ports = 0, nil
			n.Ports = make(map[string]int)
		}
		return nil
	})
}

// ErrNoFile is the answer for a name that a node does not serve.
var ErrNoFile = errNoFile

// File returns what the node's TFTP service has under a name, faults of its content
// included, whether or not the service runs. Over HTTPS a signed name gives the
// file unsigned.
func (n *Node) File(name string, https bool) ([]byte, error) { return n.file(name, https) }

// Web returns the certificate that HTTPS for files presents, nil without HTTPS.
func (n *Node) Web() *x509.Certificate {
	if id := n.state().Web; id != nil {
		return id.Certificate
	}
	return nil
}

// Vouching returns the certificate that the TVS service presents.
func (n *Node) Vouching() *x509.Certificate { return n.state().Vouching.Certificate }

// AnswerTVS returns what the TVS service says to a request, faults of its answers
// included, whether or not it runs; nil for what is no request.
func (n *Node) AnswerTVS(req *tvs.Message) *tvs.Message { return n.respond(req) }

// Fault returns how a service of the node fails: its kind, "" where it is sound, and
// the delay of a slow one.
func (n *Node) Fault(service Service) (kind string, delay time.Duration) {
	f := n.fault(service)
	return f.kind, f.delay
}

// At returns the node that is told to phones by an address, "host:port", and the
// name of the port: one of PortNames or "tftp".
func (c *Cluster) At(address string) (n *Node, port string) {
	s := c.state()
	for i, node := range s.Nodes {
		for _, name := range append(PortNames(), "tftp") {
			if address == s.address(node, name) || address == s.advertised(node, name) {
				return c.nodes[i], name
			}
		}
	}
	return nil, ""
}

// Advertised returns the address that phones are told of the node's HTTP and TFTP
// services.
func (n *Node) Advertised() string {
	s := n.cluster.state()
	return s.advertised(s.Nodes[n.index], "http")
}

// Backups returns the names of the backups, the newest first.
func (c *Cluster) Backups() []string {
	dir := c.backupDir()
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	type backup struct {
		name string
		at   time.Time
	}
	var all []backup
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".bak")
		if info, err := e.Info(); ok && err == nil {
			all = append(all, backup{name, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b backup) int { return b.at.Compare(a.at) })
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.name
	}
	return names
}

func (c *Cluster) backupDir() string {
	switch {
	case c.opts.Dir != "":
		return filepath.Join(c.opts.Dir, "backups")
	case c.origin != nil:
		return c.origin.backupDir()
	}
	return ""
}

// ErrUpgrade says that a cluster cannot become of a release.
var ErrUpgrade = errors.New("no upgrade")

// Upgrade makes the cluster one of a later release: certificates that are new in it
// are made, services start anew, and phones are told to reset. On the way to
// release 12.5 ITLRecovery is regenerated, a known failure that a profile with
// Fixed leaves out.
func (c *Cluster) Upgrade(release string) error {
	return c.update(func(s *state) error {
		from, to := releaseIndex(s.Profile.Release), releaseIndex(release)
		if to < 0 {
			_, err := FindRelease(release)
			return err
		}
		if to <= from {
			return fmt.Errorf("%w: release %s is not later than %s", ErrUpgrade, release, s.Profile.Release)
		}
		before := s.release()
		s.Profile.Release = release
		after := s.release()
		for _, n := range s.Nodes {
			for _, u := range after.units() {
				if n.Units[u] == nil {
					if err := s.renew(n, u); err != nil {
						return err
					}
				}
			}
		}
		pub := s.publisher()
		if after.RecoverySigns && !before.RecoverySigns && before.Recovery && !s.Profile.Fixed {
			if err := s.renew(pub, ITLRecovery); err != nil {
				return err
			}
		}
		s.why = "the cluster was upgraded to " + release
		for _, n := range s.Nodes {
			if err := s.startServices(n); err != nil {
				return err
			}
		}
		s.event(pub, "UC_INSTALL", 5, "Upgraded", "The cluster was upgraded to "+release)
		s.resetPhones(s.why)
		if s.RecoveryP12 != nil && before.Recovery && (!after.RecoverySigns || before.RecoverySigns || s.Profile.Fixed) {
			return nil // the key is the same
		}
		return s.renewP12()
	})
}

func releaseIndex(name string) int {
	return slices.IndexFunc(releases, func(r Release) bool { return r.Name == name })
}

// fipsBits is the least size of an RSA key in FIPS mode.
const fipsBits = 2048

// SetFIPS turns FIPS mode of a node on or off, which makes all of its certificates
// anew, ITLRecovery among them, starts its services, and tells phones to reset.
func (c *Cluster) SetFIPS(node string, on bool) error {
	return c.operate(node, func(s *state, n *nodeState) error {
		if n.FIPS == on {
			return fmt.Errorf("FIPS mode of %s is as wanted already", n.Name)
		}
		n.FIPS = on
		for _, u := range s.release().units() {
			if err := s.renew(n, u); err != nil {
				return err
			}
		}
		s.why = "FIPS mode of " + n.Name + " was changed"
		for _, other := range s.Nodes { // every list names the node's TVS
			if err := s.startServices(other); err != nil {
				return err
			}
		}
		s.resetPhones(s.why)
		if n == s.publisher() {
			return s.renewP12()
		}
		return nil
	})
}

// FIPS reports whether the node is in FIPS mode.
func (n *Node) FIPS() bool { return n.state().FIPS }
