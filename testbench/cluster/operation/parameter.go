package operation

import (
	"fmt"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// SetRollback sets the enterprise parameter "Prepare Cluster for Rollback to
// Pre 8.0": ITLs built from now on have blank TFTP and TVS records. From release
// 10.5 on services restart and phones reset by themselves.
func SetRollback(on bool) Operation {
	return func(s *state.State) error {
		s.Rollback, s.Effects.Why = on, "the cluster was prepared for a rollback"
		if s.Release().RollbackResets {
			if err := startAll(s); err != nil {
				return err
			}
			resetPhones(s, s.Effects.Why)
		}
		return nil
	}
}

// SetDigest sets the enterprise parameter "TFTP File Signature Algorithm". Lists
// follow when TFTP restarts.
func SetDigest(d trustlist.Digest) Operation {
	return func(s *state.State) error { s.Digest = d; return nil }
}

// SetKeyBits sets the RSA key size of certificates regenerated from now on, but
// for ITLRecovery. 0 is that of the installation.
func SetKeyBits(bits int) Operation {
	return func(s *state.State) error {
		if bits != 0 {
			if err := profile.CheckKeySize(bits); err != nil {
				return fmt.Errorf("key size: %w", err)
			}
		}

		s.KeyBits = bits
		return nil
	}
}
