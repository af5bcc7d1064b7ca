package profile

import (
	"slices"

	"itlagent/agent/settings"
)

// PortNames are the ports of a node, in the order of their numbers where only
// the first is given. TFTP (udp) and HTTP (tcp) then share the first one. HTTPS is
// on the port behind HTTP's: phones know no other place for it. "sips" is SIP by TLS,
// which is open in mixed mode.
func PortNames() []string {
	return []string{"http", "https", "tvs", "sip", "tomcat", "ssh", "sips", "sccp"}
}

// AllPorts are PortNames, "tftp", which is of udp, and "sccps", SCCP by TLS, which is
// settings.SecureSkinny behind "sccp" and open in mixed mode.
func AllPorts() []string { return append(PortNames(), "tftp", "sccps") }

// maxPort is the highest number of a port by its name.
func maxPort(name string) int {
	if name == "sccp" {
		return 65535 - settings.SecureSkinny
	}
	return 65535
}

// portsPerNode is the distance between the ports of nodes that are numbered from
// one first port on.
const portsPerNode = 10

// FromPort gives every node its ports in a row, from first on.
func (p *Profile) FromPort(first int) {
	p.Nodes = slices.Clone(p.Nodes)
	for i := range p.Nodes {
		p.Nodes[i].Port, p.Nodes[i].Ports = first+i*portsPerNode, nil
	}
}

// Address returns the IP address that a node listens on.
func (p *Profile) Address(n *NodeSpec) string {
	for _, h := range []string{n.Host, p.Host} {
		if h != "" {
			return h
		}
	}
	return "127.0.0.1"
}

// Port returns the number of a node's port by its name, 0 for a free one.
func (p *Profile) Port(n *NodeSpec, name string) int {
	if name == "sccps" {
		if port := p.Port(n, "sccp"); port != 0 {
			return port + settings.SecureSkinny
		}
		return 0
	}
	if port, ok := n.Ports[name]; ok {
		return port
	}
	if name == "tftp" {
		return p.Port(n, "http")
	}
	if n.Port == 0 {
		return 0
	}
	return n.Port + slices.Index(PortNames(), name)
}
