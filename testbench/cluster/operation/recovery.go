package operation

import (
	"crypto/subtle"
	"fmt"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/p12"
	"itlagent/testbench/pki"
)

// renewP12 writes the publisher's recovery key under the security password, and
// forgets that an older file was saved.
func renewP12(s *state.State) error {
	id := s.Recovery()
	if id == nil {
		return nil
	}
	if _, ok := id.Key.(*pki.StandIn); ok {
		s.RecoveryP12, s.RecoverySaved = nil, false // there is no key to be saved
		return nil
	}
	data, err := p12.Encode(id, s.SecurityPassword)
	if err != nil {
		return fmt.Errorf("write %s: %w", state.P12Name, err)
	}
	s.RecoveryP12, s.RecoverySaved = data, false
	return nil
}

// RecoverySaved notes that ITLRecovery.p12, as it is, was fetched and is kept
// elsewhere: the daily alert stops.
func RecoverySaved(file []byte) Operation {
	return func(s *state.State) error {
		if subtle.ConstantTimeCompare(file, s.RecoveryP12) == 1 {
			s.RecoverySaved = true
			s.Event(s.Publisher(), appCert, 6, "ITLRecoverySaved", state.P12Name+" was saved by hand")
		}
		return nil
	}
}

// SetSecurityPassword changes the cluster's security password, and with it
// ITLRecovery.p12, which then is to be saved again.
func SetSecurityPassword(password string) Operation {
	return func(s *state.State) error {
		if err := profile.CheckPassword(password); err != nil {
			return err
		}

		s.SecurityPassword = password
		return renewP12(s)
	}
}

// Rebuild installs the publisher again, without a backup: it gets other keys and
// certificates, ITLRecovery among them. What subscribers keep too stays, the
// phones with their settings among it. The security password is the one that is
// given now.
func Rebuild(security string) Operation {
	return func(s *state.State) error {
		if err := profile.CheckPassword(security); err != nil {
			return err
		}

		pub := s.Publisher()
		for _, u := range s.Release().Units() {
			id, nodes, err := issue(s, pub, u)
			if err != nil {
				return err
			}
			for _, n := range nodes {
				n.Units[u] = id
			}
		}
		delete(pub.Units, profile.IPsec)
		clear(pub.Modified)
		pub.CSRs = nil
		s.Effects.Why = "the publisher was installed again"
		s.SecurityPassword = security
		if err := startAll(s); err != nil {
			return err
		}
		s.Event(pub, "UC_INSTALL", 5, "PublisherRebuilt", "The publisher was installed again")
		return renewP12(s)
	}
}

// Restore puts back the state of a backup: certificates, keys, lists, trust stores,
// phones. The bench clock, the ports and the passwords stay. Phones are not told to
// reset.
func Restore(name string, old *state.State) Operation {
	return func(s *state.State) error {
		if len(old.Nodes) != len(s.Nodes) {
			return fmt.Errorf("backup %s has %d nodes, the cluster %d", name, len(old.Nodes), len(s.Nodes))
		}
		saved := s.RecoverySaved && s.Recovery() != nil && old.Recovery() != nil && s.Recovery().Certificate.Equal(old.Recovery().Certificate)
		s.Effects.Why = "backup " + name + " was restored"
		s.Adopt(old.Clone())
		if err := startAll(s); err != nil {
			return err
		}
		if err := renewP12(s); err != nil {
			return err
		}
		s.RecoverySaved = saved
		s.Event(s.Publisher(), appDRS, 5, "RestoreDone", "A backup was restored: "+name)
		return nil
	}
}

// BackedUp reports that a backup was written. The daily alert about ITLRecovery goes on.
func BackedUp(name string) Operation {
	return func(s *state.State) error {
		s.Event(s.Publisher(), appDRS, 6, "BackupDone", "A backup was written: "+name)
		return nil
	}
}
