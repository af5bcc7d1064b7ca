package cluster

import (
	"crypto/x509"
	"slices"
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
