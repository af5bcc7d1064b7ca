package operation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// Errors of certificates that a CA signs.
var (
	ErrNoCSR   = errors.New("there is no CSR")
	ErrCSRKey  = errors.New("the public key of the certificate is not that of the CSR")
	ErrNames   = errors.New("CSR SAN and Certificate SAN does not match") // as nodes say it
	ErrTrust   = errors.New("CA certificate is not available in the trust-store")
	ErrExpired = errors.New("the certificate is not valid now")
	ErrNoCA    = errors.New("no CA may sign it")
)

// GenerateCSR makes a new key for a unit of a node, and a CSR for it, in the place of an
// outstanding one. With allNodes the certificate will be that of every node, which
// profile.Release.Shareable has to allow. Nothing else changes until the certificate is
// imported.
func GenerateCSR(node string, u profile.Unit, allNodes bool) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if !slices.Contains(s.Release().Signable(), u) {
			return fmt.Errorf("%s: %w", u, ErrNoCA)
		}
		if allNodes && !s.Release().Shareable(u) {
			return fmt.Errorf("in release %s every node has a certificate %s of its own", s.Release().Name, u)
		}
		allNodes := allNodes || shared(s, u)
		req := describe(s, n, u)
		req.Hosts = []string{n.FQDN()}
		if allNodes {
			req = describeAll(s, n, u)
		}
		csr, err := s.NewCSR(req)
		if err != nil {
			return err
		}
		if n.CSRs == nil {
			n.CSRs = make(map[profile.Unit]state.CSR)
		}
		n.CSRs[u] = state.CSR{Request: csr, AllNodes: allNodes}
		s.Event(n, appCert, 6, "CSRGenerated", "A CSR was generated", events.Tag{Key: "CertName", Value: string(u)})
		return nil
	})
}

// DeleteCSR gives up an outstanding CSR, and its key. Without one the error is ErrNoCSR.
func DeleteCSR(node string, u profile.Unit) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if _, ok := n.CSRs[u]; !ok {
			return fmt.Errorf("%w for %s", ErrNoCSR, u)
		}
		delete(n.CSRs, u)
		return nil
	})
}

// outdateCSRs gives up the CSRs that have the name of a node.
func outdateCSRs(s *state.State, n *state.Node) {
	n.CSRs = nil
	for _, other := range s.Nodes {
		for u, csr := range other.CSRs {
			if csr.AllNodes {
				delete(other.CSRs, u)
			}
		}
	}
}

// ImportSigned puts the certificate that a CA has signed for an outstanding CSR in the
// place of the unit's own, on the node or on every node, as the CSR has it. The
// certificates above it must be in the unit's trust store, and all of them be valid by
// the bench clock. What follows is as with Regenerate, and so is HoldTime.
func ImportSigned(node string, u profile.Unit, cert *x509.Certificate) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		csr, ok := n.CSRs[u]
		if !ok {
			return fmt.Errorf("%w for %s: generate one first", ErrNoCSR, u)
		}
		nodes := owners(s, n, csr.AllNodes)
		if err := held(s, nodes, u); err != nil {
			return err
		}
		chain, err := checkSigned(s, csr.Request, cert, u.Trust())
		if err != nil {
			return err
		}
		id := &pki.Identity{Certificate: cert, Key: csr.Request.Key, Chain: chain}
		put(s, nodes, u, id)
		delete(n.CSRs, u)
		s.Event(n, appCert, 6, "CertSignedImported", "A certificate that a CA has signed was imported", certTags(u, id)...)
		return replaced(s, fmt.Sprintf("a certificate %s of %s, signed by a CA, was imported", u, n.Name))
	})
}

// checkSigned reports what keeps a certificate from being the answer to a CSR, and
// returns the certificates above it.
func checkSigned(s *state.State, csr *pki.CSR, cert *x509.Certificate, store profile.Store) ([]*x509.Certificate, error) {
	if !csr.Fits(cert) {
		return nil, ErrCSRKey
	}
	if !slices.Equal(sorted(csr.Request.DNSNames), sorted(cert.DNSNames)) {
		return nil, ErrNames
	}
	chain, err := pki.Chain(cert, s.InStore(store))
	if errors.Is(err, pki.ErrNoIssuer) {
		return nil, fmt.Errorf("%w %s: %w", ErrTrust, store, err)
	}
	if err != nil {
		return nil, err
	}
	now := s.Now()
	for _, c := range append([]*x509.Certificate{cert}, chain...) {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return nil, fmt.Errorf("%w: %s is valid from %s to %s, and the bench clock is at %s", ErrExpired, printable.Text(trustlist.FormatName(c.Subject)),
				c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
		}
	}
	return chain, nil
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// SignByCA is what an administrator with a CA at hand does: GenerateCSR, Import of the CA
// into the unit's trust store, and ImportSigned. The CA is made up each time.
func SignByCA(node string, u profile.Unit, allNodes bool) Operation {
	return func(s *state.State) error {
		if err := GenerateCSR(node, u, allNodes)(s); err != nil {
			return err
		}
		ca, err := s.NewIdentity(pki.Request{Subject: pki.Name{CN: "Bench CA", OU: "bench", O: "itlagent"}, Bits: caBits, Usage: pki.Authority, From: s.Now(), Years: 20})
		if err != nil {
			return err
		}
		i, err := NodeIndex(s, node)
		if err != nil {
			return err
		}
		cert, err := ca.Issue(s.Nodes[i].CSRs[u].Request.Request, s.Now(), 0)
		if err != nil {
			return err
		}
		if err := Import(u.Trust(), ca.Certificate)(s); err != nil {
			return err
		}
		return ImportSigned(node, u, cert)(s)
	}
}

// caBits is the RSA key size of the CA of SignByCA.
const caBits = 2048
