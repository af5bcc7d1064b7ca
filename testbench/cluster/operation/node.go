package operation

import (
	"fmt"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// Rename gives a node another host name, domain, or both ("" keeps the old one).
// Its certificates are re-created, all but ITLRecovery, its services restarted,
// and the phones told to reset.
func Rename(node, host, domain string) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if host != "" {
			if err := profile.CheckLabel(host); err != nil {
				return err
			}
			for _, other := range s.Nodes {
				if other != n && other.Name == host {
					return fmt.Errorf("there is a node %s already", host)
				}
			}
			n.Name = host
		}
		if domain != "" {
			if err := profile.CheckDomain(domain); err != nil {
				return err
			}
			n.Domain = domain
		}
		outdateCSRs(s, n)
		for _, u := range n.Present() {
			if u == profile.ITLRecovery {
				continue
			}
			if err := renew(s, n, u); err != nil {
				return err
			}
		}
		s.Effects.Why = "node " + n.FQDN() + " was renamed"
		if err := startAll(s); err != nil { // every list names the node's TVS
			return err
		}
		resetPhones(s, s.Effects.Why)
		return nil
	})
}

// SetFIPS turns FIPS mode of a node on or off, which re-creates all of its certificates, ITLRecovery among them, starts its services, and tells phones to reset.
func SetFIPS(node string, on bool) Operation {
	return onNode(node, func(s *state.State, n *state.Node) error {
		if n.FIPS == on {
			return fmt.Errorf("FIPS mode of %s is as wanted already", n.Name)
		}
		n.FIPS = on
		for _, u := range n.Present() {
			if err := renew(s, n, u); err != nil {
				return err
			}
		}
		s.Effects.Why = "FIPS mode of " + n.Name + " was changed"
		if err := startAll(s); err != nil { // every list names the node's TVS
			return err
		}
		resetPhones(s, s.Effects.Why)
		if n == s.Publisher() {
			return renewP12(s)
		}
		return nil
	})
}
