package state

import (
	"net"
	"strconv"
	"time"

	"itlagent/agent/settings"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// Node is one server of a cluster. Its methods read the state that it is of.
type Node struct {
	Name, Domain string
	Units        map[profile.Unit]*pki.Identity
	Modified     map[profile.Unit]time.Time // when regenerated or imported last
	CSRs         map[profile.Unit]CSR       `json:",omitempty"` // that no CA has answered yet
	Stopped      map[profile.Service]bool
	Faults       map[profile.Service]string
	Ports        map[string]int // those in use, by the names of profile.AllPorts
	FIPS         bool
	HostKey      []byte // of SSH: PKCS#8, DER

	// What the services read when they start.
	ITL      []byte
	OldITL   []byte // what ITL was before
	CTL      []byte
	Signer   *pki.Identity // TFTP: of signed files
	Web      *pki.Identity // TFTP: of HTTPS; nil without
	Vouching *pki.Identity // TVS
	Stores   []Trusted     // TVS: imported certificates
	App      *pki.Identity // Tomcat
	Secure   *pki.Identity `json:",omitempty"` // CallManager: of SIP by TLS; nil in non-secure mode
	Calls    int           `json:",omitempty"` // how often CallManager was started again

	in    *State
	index int // in it
}

// CSR is a request for a certificate of a node.
type CSR struct {
	Request  *pki.CSR
	AllNodes bool // the certificate will be that of every node
}

// State returns the state that the node is of.
func (n *Node) State() *State { return n.in }

// Spec returns what the profile says of the node.
func (n *Node) Spec() *profile.NodeSpec { return &n.in.Profile.Nodes[n.index] }

// FQDN returns the node's name with its domain, where it has one.
func (n *Node) FQDN() string { return profile.FQDN(n.Name, n.Domain) }

// IsPublisher reports whether the node is the publisher.
func (n *Node) IsPublisher() bool { return n.Spec().Publisher }

// Active reports whether the node has the service and did not stop it.
func (n *Node) Active(service profile.Service) bool {
	return !n.Spec().Absent[service] && !n.Stopped[service]
}

// Runs reports whether the service is to be on the node, and whether it was not
// stopped.
func (n *Node) Runs(service profile.Service) (active, started bool) {
	return !n.Spec().Absent[service], n.Active(service)
}

// Fault returns how a service of the node fails.
func (n *Node) Fault(service profile.Service) profile.Fault {
	f, _ := profile.ParseFault(service, n.Faults[service]) // Check has looked at it
	return f
}

// Certificates returns the node's own certificates.
func (n *Node) Certificates() (own []Certificate) {
	for _, u := range n.Present() {
		own = append(own, Certificate{Unit: u, Certificate: n.Units[u].Certificate})
	}
	return own
}

// Present returns the units that the node has certificates of, in the order in which
// they are listed.
func (n *Node) Present() []profile.Unit {
	units := n.in.Release().Units()
	if n.Units[profile.IPsec] != nil {
		units = append(units, profile.IPsec)
	}
	return units
}

// RecoveryP12 returns the file ITLRecovery.p12 of the node: PKCS#12 under the
// cluster's security password. Subscribers and old releases have none: nil.
func (n *Node) RecoveryP12() []byte {
	if !n.IsPublisher() {
		return nil
	}
	return n.in.RecoveryP12
}

// Endpoint returns "host:port" of a port of the node, by a name of profile.AllPorts.
// The port is 0 as long as no free one was chosen.
func (n *Node) Endpoint(name string) string {
	if name == "sccps" {
		return behind(n.Endpoint("sccp"))
	}
	port := n.in.Profile.Port(n.Spec(), name)
	if port == 0 {
		port = n.Ports[name]
	}
	if port == 0 && name == "tftp" {
		port = n.Ports["http"]
	}
	return net.JoinHostPort(n.in.Profile.Address(n.Spec()), strconv.Itoa(port))
}

var standardPorts = map[string]int{"http": 6970, "tftp": 69, "tvs": 2445, "https": 6971, "sip": 5060, "tomcat": 8443, "ssh": 22, "sips": 5061, "sccp": 2000}

// Address returns "host:port" of a port of the node by its name. Before its first
// start a node has the ports of its profile, or else the standard ones.
func (n *Node) Address(name string) string {
	if name == "sccps" {
		return behind(n.Address("sccp"))
	}
	port, ok := n.Ports[name]
	if !ok {
		port = n.in.Profile.Port(n.Spec(), name)
	}
	if port == 0 {
		port = standardPorts[name]
	}
	return net.JoinHostPort(n.in.Profile.Address(n.Spec()), strconv.Itoa(port))
}

// behind returns where SCCP by TLS is to one that is reached without.
func behind(sccp string) string {
	host, text, _ := net.SplitHostPort(sccp)
	port, _ := strconv.Atoi(text)
	if port != 0 {
		port += settings.SecureSkinny
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Advertised is Address as phones are told it.
func (n *Node) Advertised(name string) string {
	at := n.Address(name)
	if n.in.Profile.Advertise == "" {
		return at
	}
	_, port, _ := net.SplitHostPort(at)
	return net.JoinHostPort(n.in.Profile.Advertise, port)
}
