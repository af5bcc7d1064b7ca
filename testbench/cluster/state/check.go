package state

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// at puts the path of a value in front of what is wrong with it.
func at(err error, path string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(path+": %w", append(args, err)...)
}

var (
	errMissing = errors.New("it is missing")
	errNoKey   = errors.New("it has no private key")
)

// check reports what no operation leaves behind: all that is read from a state later,
// without being asked about again, is there.
func (s *State) check() error {
	if err := s.Profile.Check(); err != nil {
		return at(err, "Profile")
	}
	if len(s.Nodes) != len(s.Profile.Nodes) {
		return at(fmt.Errorf("%d, the profile has %d", len(s.Nodes), len(s.Profile.Nodes)), "Nodes")
	}
	for i, n := range s.Nodes {
		if n == nil {
			return at(errMissing, "Nodes[%d]", i)
		}
		if err := n.check(s.Release()); err != nil {
			return at(err, "Nodes[%d]", i)
		}
	}
	if s.CTL != nil {
		if _, err := trustlist.Parse(trustlist.CTL, s.CTL); err != nil {
			return at(err, "CTL")
		}
	}
	for path, password := range map[string]string{"AdminPassword": s.AdminPassword, "SecurityPassword": s.SecurityPassword} {
		if password == "" {
			return at(errMissing, path)
		}
	}
	if s.Digest.Hash() == 0 {
		return at(fmt.Errorf("%d", s.Digest), "Digest")
	}
	if s.KeyBits != 0 {
		if err := profile.CheckKeySize(s.KeyBits); err != nil {
			return at(err, "KeyBits")
		}
	}
	if err := checkStores(s.Imported); err != nil {
		return at(err, "Imported")
	}
	if s.Recovery() != nil && len(s.RecoveryP12) == 0 && !s.Twin() {
		return at(errMissing, "RecoveryP12")
	}
	if err := s.checkPhones(); err != nil {
		return at(err, "Phones")
	}
	if err := s.checkOrders(); err != nil {
		return at(err, "Orders")
	}
	return s.checkHistory()
}

func (s *State) checkPhones() error {
	seen := make(map[string]bool)
	for i := range s.Phones {
		p := &s.Phones[i]
		if err := profile.CheckPhone(p); err != nil {
			return at(err, "[%d]", i)
		}
		switch {
		case seen[p.MAC]:
			return fmt.Errorf("[%d]: a second %s", i, p.MAC)
		case p.Settings == nil:
			return at(errMissing, "[%d].Settings", i)
		case p.Certificate != nil && p.Certificate.Certificate == nil:
			return at(errMissing, "[%d].Certificate", i)
		}
		seen[p.MAC] = true
		if p.Certificate == nil {
			continue
		}
		if _, ok := p.Certificate.Certificate.PublicKey.(*rsa.PublicKey); !ok {
			return fmt.Errorf("[%d].Certificate: its key is not RSA", i)
		}
	}
	return nil
}

func (s *State) checkHistory() error {
	for i, h := range s.History {
		switch {
		case h.Node < 0 || h.Node >= len(s.Nodes):
			return fmt.Errorf("History[%d].Node: %d of %d", i, h.Node, len(s.Nodes))
		case !h.Kind.IsList():
			return fmt.Errorf("History[%d].Kind: %d is not a list", i, h.Kind)
		case len(h.SHA1) != 40 || strings.Trim(h.SHA1, "0123456789abcdef") != "":
			return fmt.Errorf("History[%d].SHA1: %.50q is not a hash", i, h.SHA1)
		}
	}
	return nil
}

func (n *Node) check(release *profile.Release) error {
	if err := profile.CheckLabel(n.Name); err != nil {
		return at(err, "Name")
	}
	if n.Domain != "" {
		if err := profile.CheckDomain(n.Domain); err != nil {
			return at(err, "Domain")
		}
	}
	for _, u := range release.Units() {
		if err := checkIdentity(n.Units[u]); err != nil {
			return at(err, "Units[%s]", u)
		}
	}
	for u := range n.Units {
		switch {
		case u == profile.IPsec:
			if err := checkIdentity(n.Units[u]); err != nil {
				return at(err, "Units[%s]", u)
			}
		case !slices.Contains(release.Units(), u):
			return fmt.Errorf("Units[%.40q]: release %s has none", u, release.Name)
		}
	}
	for u, csr := range n.CSRs {
		switch {
		case !slices.Contains(release.Signable(), u):
			return fmt.Errorf("CSRs[%.40q]: release %s has none", u, release.Name)
		case csr.Request == nil || csr.Request.Key == nil:
			return at(errMissing, "CSRs[%s]", u)
		}
	}
	for _, part := range []struct {
		path string
		id   *pki.Identity
		may  bool // be missing
	}{{"Signer", n.Signer, false}, {"Web", n.Web, !release.HTTPS()}, {"Vouching", n.Vouching, false}, {"App", n.App, false}, {"Secure", n.Secure, true}} {
		if part.id == nil && part.may {
			continue
		}
		if err := checkIdentity(part.id); err != nil {
			return at(err, "%s", part.path)
		}
	}
	if err := checkStores(n.Stores); err != nil {
		return at(err, "Stores")
	}
	if err := n.checkMaps(); err != nil {
		return err
	}
	if key, err := x509.ParsePKCS8PrivateKey(n.HostKey); err != nil {
		return at(err, "HostKey")
	} else if _, ok := key.(crypto.Signer); !ok {
		return fmt.Errorf("HostKey: a key of type %T", key)
	}
	return n.checkLists()
}

func (n *Node) checkLists() error {
	for _, list := range []struct {
		path string
		kind trustlist.Kind
		data []byte
		must bool
	}{{"ITL", trustlist.ITL, n.ITL, true}, {"OldITL", trustlist.ITL, n.OldITL, false}, {"CTL", trustlist.CTL, n.CTL, false}} {
		if list.data == nil && !list.must || len(list.data) > trustlist.MaxListSize { // one that phones refuse
			continue
		}
		if _, err := trustlist.Parse(list.kind, list.data); err != nil {
			return at(err, "%s", list.path)
		}
	}
	return nil
}

// checkMaps is for those that operations write to.
func (n *Node) checkMaps() error {
	for path, missing := range map[string]bool{
		"Modified": n.Modified == nil, "Stopped": n.Stopped == nil, "Faults": n.Faults == nil, "Ports": n.Ports == nil,
	} {
		if missing {
			return at(errMissing, "%s", path)
		}
	}
	for name, port := range n.Ports {
		if !slices.Contains(profile.AllPorts(), name) || port < 0 || port > 65535 {
			return fmt.Errorf("Ports[%.40q]: %d", name, port)
		}
	}
	for _, service := range slices.Collect(maps.Keys(n.Faults)) {
		if _, err := profile.ParseFault(service, n.Faults[service]); err != nil {
			return at(err, "Faults")
		}
	}
	return nil
}

// checkIdentity reports a certificate without its key.
func checkIdentity(id *pki.Identity) error {
	switch {
	case id == nil || id.Certificate == nil:
		return errMissing
	case id.Key == nil:
		return errNoKey
	}
	return id.Fits()
}

func checkStores(stores []Trusted) error {
	for i, t := range stores {
		switch {
		case !slices.Contains(profile.Stores(), t.Store):
			return fmt.Errorf("[%d].Store: no store %.40q", i, t.Store)
		case t.Identity == nil || t.Identity.Certificate == nil:
			return at(errMissing, "[%d].Identity", i)
		}
	}
	return nil
}
