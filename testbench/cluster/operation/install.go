package operation

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// Install makes every key and certificate of a profile that Check has found possible.
// With tick the bench clock runs with the machine's.
func Install(p profile.Profile, tick bool) (*state.State, error) {
	now := time.Now()
	if p.Installed.IsZero() {
		p.Installed = now.UTC().Truncate(time.Second)
	}
	var set time.Time
	if tick {
		set = now
	}
	s := state.New(p, set)
	var jobs errgroup.Group // one key of 2048 bits takes tenths of a second
	var mu sync.Mutex
	for _, n := range s.Nodes {
		for _, u := range s.Release().Units() {
			if shared(s, u) && !n.IsPublisher() {
				continue
			}
			jobs.Go(func() error {
				id, nodes, err := issue(s, n, u)
				mu.Lock()
				defer mu.Unlock()
				for _, n := range nodes {
					n.Units[u] = id
				}
				return err
			})
		}
		key, err := hostKey()
		if err != nil {
			return nil, err
		}
		n.HostKey = key
	}
	if err := jobs.Wait(); err != nil {
		return nil, err
	}
	if err := startAll(s); err != nil {
		return nil, err
	}
	s.Effects.Why = "the cluster was installed"
	return s, renewP12(s)
}

func hostKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// ErrUpgrade says that a cluster cannot become of a release.
var ErrUpgrade = errors.New("no upgrade")

// Upgrade makes the cluster one of a later release: certificates that are new in it
// are made, services restart, and phones are told to reset. On the way to
// release 12.5 ITLRecovery is regenerated, a known failure that a profile with
// Fixed leaves out.
func Upgrade(release string) Operation {
	return func(s *state.State) error {
		from, to := profile.ReleaseIndex(s.Profile.Release), profile.ReleaseIndex(release)
		if to < 0 {
			_, err := profile.FindRelease(release)
			return err
		}
		if to <= from {
			return fmt.Errorf("%w: release %s is not later than %s", ErrUpgrade, release, s.Profile.Release)
		}
		before := s.Release()
		s.Profile.Release = release
		after := s.Release()
		for _, n := range s.Nodes {
			for _, u := range after.Units() {
				if n.Units[u] == nil {
					if err := renew(s, n, u); err != nil {
						return err
					}
				}
			}
		}
		pub := s.Publisher()
		if after.RecoverySigns && !before.RecoverySigns && before.Recovery && !s.Profile.Fixed {
			if err := renew(s, pub, profile.ITLRecovery); err != nil {
				return err
			}
		}
		s.Effects.Why = "the cluster was upgraded to " + release
		if err := startAll(s); err != nil {
			return err
		}
		s.Event(pub, "UC_INSTALL", 5, "Upgraded", "The cluster was upgraded to "+release)
		resetPhones(s, s.Effects.Why)
		if s.RecoveryP12 != nil && before.Recovery && (!after.RecoverySigns || before.RecoverySigns || s.Profile.Fixed) {
			return nil // the key is the same
		}
		return renewP12(s)
	}
}
