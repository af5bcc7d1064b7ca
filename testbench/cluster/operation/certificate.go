package operation

import (
	"fmt"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// HoldTime is how long after one certificate of a node was regenerated another
// one of it must not be: the phones are to reset in between.
const HoldTime = 5 * time.Minute

// fipsBits is the least size of an RSA key in FIPS mode.
const fipsBits = 2048

// issue makes a self-signed certificate for a unit, and returns the nodes that it is for.
// It changes nothing.
func issue(s *state.State, n *state.Node, u profile.Unit) (*pki.Identity, []*state.Node, error) {
	req := describe(s, n, u)
	if shared(s, u) {
		req = describeAll(s, n, u)
	}
	id, err := s.NewIdentity(req)
	return id, owners(s, n, shared(s, u)), err
}

// describe describes the certificate of a unit of one node.
func describe(s *state.State, n *state.Node, u profile.Unit) pki.Request {
	spec := n.Spec()
	req := pki.Request{Subject: s.Profile.Organisation, Bits: bits(s, n, u), From: s.Now()}
	req.Subject.CN = n.FQDN()
	switch u {
	case profile.CAPF:
		req.Usage = pki.CAPF
		if req.Subject.CN = spec.CAPFName; req.Subject.CN == "" {
			req.Subject.CN = "CAPF-" + n.Name
		}
	case profile.TVS:
		req.EC = s.Profile.TVSWithEC
	case profile.CallManagerEC:
		req.EC, req.Subject.CN = true, n.FQDN()+"-EC"
	case profile.ITLRecovery:
		req.Usage, req.Years = pki.Recovery, s.Release().RecoveryYears
		req.Subject.CN = "ITLRECOVERY_" + n.FQDN()
		if spec.Publisher {
			req.Subject.CN = recoveryName(s)
		}
	}
	return req
}

// describeAll describes the certificate of a unit that is that of every node: it has the
// name of one of them, with "-ms" as multi-server certificates of CUCM have it, and the
// host names of all.
func describeAll(s *state.State, n *state.Node, u profile.Unit) pki.Request {
	req := describe(s, n, u)
	req.Subject.CN = profile.FQDN(n.Name+"-ms", n.Domain)
	if u == profile.CallManagerEC {
		req.Subject.CN += "-EC"
	}
	for _, other := range s.Nodes {
		req.Hosts = append(req.Hosts, other.FQDN())
	}
	return req
}

// shared reports whether the certificate of a unit is always that of every node.
func shared(s *state.State, u profile.Unit) bool {
	return u == profile.TVS && s.Release().SharedTVS()
}

// owners are the nodes that a certificate of a node, or one for all, goes to.
func owners(s *state.State, n *state.Node, all bool) []*state.Node {
	if all {
		return s.Nodes
	}
	return []*state.Node{n}
}

// recoveryName is the common name of the publisher's recovery certificate. It
// stays what it was at installation.
func recoveryName(s *state.State) string {
	if name := s.Profile.RecoveryName; name != "" {
		return name
	}
	return "ITLRECOVERY_" + s.Publisher().Spec().FQDN()
}

func bits(s *state.State, n *state.Node, u profile.Unit) int {
	if n.FIPS {
		return max(fipsBits, keySize(s, n, u))
	}
	return keySize(s, n, u)
}

func keySize(s *state.State, n *state.Node, u profile.Unit) int {
	if u != profile.ITLRecovery && s.KeyBits != 0 {
		return s.KeyBits
	}
	for _, sizes := range []map[profile.Unit]int{n.Spec().Bits, s.Profile.Bits} {
		if bits := sizes[u]; bits != 0 {
			return bits
		}
	}
	return s.Release().KeyBits
}

// HoldError says that a certificate of the node was regenerated too recently. Its
// text is the one that the note shows.
type HoldError struct{ Modified, Wanted profile.Unit }

func (e *HoldError) Error() string {
	return fmt.Sprintf("%s certificate was modified in the last 5 minutes. Please re-try regenerating %s certificate at a later time",
		e.Modified, e.Wanted)
}

// Held returns the HoldError that Regenerate would give, or nil.
func Held(s *state.State, node string, u profile.Unit) error {
	i, err := NodeIndex(s, node)
	if err != nil {
		return err
	}
	return held(s, owners(s, s.Nodes[i], shared(s, u)), u)
}

// held reports whether a unit of some nodes may not be replaced yet, or never.
func held(s *state.State, nodes []*state.Node, u profile.Unit) error {
	for _, n := range nodes {
		if n.Units[u] == nil && u != profile.IPsec {
			return fmt.Errorf("%s has no certificate %q", n.Name, u)
		}
		for _, other := range n.Present() {
			at, ok := n.Modified[other]
			if ok && other != u && s.Now().Before(at.Add(HoldTime)) {
				return &HoldError{other, u}
			}
		}
	}
	return nil
}

// Regenerate replaces a certificate and its key. Services use the new one from
// their next start, which release 14 makes by itself. Phones are told to reset,
// unless it was ITLRecovery. Another certificate of the same node regenerated
// within HoldTime gives a *HoldError.
func Regenerate(node string, u profile.Unit) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if err := held(s, owners(s, n, shared(s, u)), u); err != nil {
			return err
		}
		if err := renew(s, n, u); err != nil {
			return err
		}
		if u == profile.ITLRecovery {
			if n == s.Publisher() {
				return renewP12(s)
			}
			return nil
		}
		return replaced(s, fmt.Sprintf("certificate %s of %s was regenerated", u, n.Name))
	})
}

// replaced is what follows when a certificate that phones meet is another one.
func replaced(s *state.State, why string) error {
	s.Effects.Why = why
	if s.Release().Restarts {
		if err := startAll(s); err != nil {
			return err
		}
	}
	resetPhones(s, why)
	return nil
}

// renew puts a new self-signed certificate in the place of that of a unit: of the node,
// or of all where they share it.
func renew(s *state.State, n *state.Node, u profile.Unit) error {
	id, nodes, err := issue(s, n, u)
	if err != nil {
		return err
	}
	put(s, nodes, u, id)
	s.Event(n, appCert, 6, "CertRegenerated", "A certificate was regenerated", certTags(u, id)...)
	return nil
}

// put makes a certificate that of a unit of nodes.
func put(s *state.State, nodes []*state.Node, u profile.Unit, id *pki.Identity) {
	for _, n := range nodes {
		n.Units[u], n.Modified[u] = id, s.Now()
	}
}

func certTags(u profile.Unit, id *pki.Identity) []events.Tag {
	return []events.Tag{{Key: "CertName", Value: string(u)}, {Key: "SerialNumber", Value: trustlist.FormatSerial(id.Certificate.SerialNumber.Bytes())}}
}
