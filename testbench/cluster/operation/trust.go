package operation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// Import puts foreign certificates into a trust store. TVS services know them
// from their next start. In Phone-SAST-trust a certificate may sign lists, in
// CallManager-trust beside it files too.
func Import(store profile.Store, certs ...*x509.Certificate) Operation {
	return func(s *state.State) error {
		for _, cert := range certs {
			have := false
			for _, t := range s.Imported {
				have = have || t.Store == store && t.Identity.Certificate.Equal(cert)
			}
			if !have {
				s.Imported = append(s.Imported, state.Trusted{Store: store, Identity: &pki.Identity{Certificate: cert}})
				s.Event(s.Publisher(), appCert, 6, "CertImported", "A certificate was imported into "+string(store))
			}
		}
		return nil
	}
}

// RememberHost keeps the host key of an SFTP server.
func RememberHost(address string, key []byte) Operation {
	return func(s *state.State) error {
		hosts := map[string][]byte{}
		maps.Copy(hosts, s.KnownHosts)
		hosts[address] = key
		s.KnownHosts = hosts
		return nil
	}
}

// ErrUnknownHost says that no host key of an SFTP server is known.
var ErrUnknownHost = errors.New("no host key is known")

// ForgetHost drops the host key of an SFTP server, "host:port": its next key is asked
// about like that of a new server.
func ForgetHost(address string) Operation {
	return func(s *state.State) error {
		if _, ok := s.KnownHosts[address]; !ok {
			return fmt.Errorf("%w of %q", ErrUnknownHost, address)
		}
		hosts := maps.Clone(s.KnownHosts)
		delete(hosts, address)
		s.KnownHosts = hosts
		return nil
	}
}
