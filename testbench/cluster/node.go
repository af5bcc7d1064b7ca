package cluster

import (
	"net"
	"strings"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/serve"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"

	"os"
)

// Node is one server of a cluster.
type Node struct {
	cluster  *Cluster
	index    int
	services *serve.Node // guarded by cluster.serving
	hosts    *os.File    // the lock that says that this process runs it; guarded by cluster.serving
}

func (c *Cluster) newNode(index int) *Node {
	n := &Node{cluster: c, index: index}
	conf := serve.Config{Node: n.State, Report: c.log.Add, Logf: c.opts.Logf, Expires: c.opts.Expires, Mute: c.opts.Mute, SetPort: func(name string, port int) error {
		return c.change(operation.SetPort(index, name, port))
	}}
	if c.opts.SSH != nil {
		conf.SSH = func(conn net.Conn) { c.opts.SSH(conn, n) }
	}
	n.services = serve.New(conf)
	return n
}

// Nodes returns the nodes in the order of the profile.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Publisher returns the node that holds the recovery key.
func (c *Cluster) Publisher() *Node {
	for _, n := range c.nodes {
		if n.IsPublisher() {
			return n
		}
	}
	return nil // Profile.Check has found one
}

// Node returns the node of a name, or operation.ErrNoNode.
func (c *Cluster) Node(name string) (*Node, error) {
	i, err := operation.NodeIndex(c.State(), name)
	if err != nil {
		return nil, err
	}
	return c.nodes[i], nil
}

// At returns the node that is told to phones by an address, "host:port", and the
// name of the port, of profile.AllPorts.
func (c *Cluster) At(address string) (n *Node, port string) {
	s := c.State()
	for i, node := range s.Nodes {
		if port := further(s, i, address); port != "" {
			return c.nodes[i], port
		}
		for _, name := range profile.AllPorts() {
			if address == node.Address(name) || address == node.Advertised(name) {
				return c.nodes[i], name
			}
		}
	}
	return nil, ""
}

// further returns the port that an address is of, by a further name of a node.
func further(s *state.State, node int, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || len(s.Hosts) == 0 {
		return ""
	}
	if at, ok := s.Hosts[address]; ok && at == node && s.Doors[address] != "" {
		return s.Doors[address]
	}
	if at, ok := s.Hosts[strings.ToLower(host)]; !ok || at != node {
		return ""
	}
	for _, name := range profile.AllPorts() {
		if _, own, err := net.SplitHostPort(s.Nodes[node].Address(name)); err == nil && own == port {
			return name
		}
	}
	return ""
}

// Cluster returns the cluster that the node belongs to.
func (n *Node) Cluster() *Cluster { return n.cluster }

// State returns what is in force of the node.
func (n *Node) State() *state.Node { return n.cluster.State().Nodes[n.index] }

// Name returns the node's present host name.
func (n *Node) Name() string { return n.State().Name }

// IsPublisher reports whether the node is the publisher.
func (n *Node) IsPublisher() bool { return n.State().IsPublisher() }

// ITL returns the list that the node's TFTP service serves.
func (n *Node) ITL() []byte { return n.State().ITL }

// Identity returns a unit's present certificate and key, or nil.
func (n *Node) Identity(u profile.Unit) *pki.Identity { return n.State().Units[u] }

// Endpoint returns "host:port" of a port of the node, by a name of profile.AllPorts.
// The port is 0 as long as no free one was chosen.
func (n *Node) Endpoint(name string) string { return n.State().Endpoint(name) }

// Address returns "host:port" of the node's HTTP and TFTP services.
func (n *Node) Address() string { return n.Endpoint("http") }

// TVSAddress returns "host:port" of the node's TVS service.
func (n *Node) TVSAddress() string { return n.Endpoint("tvs") }
