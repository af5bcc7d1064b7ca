package lockout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
)

// installed are clusters of every release, each installed once.
var installed struct {
	sync.Mutex
	byName map[string]*cluster.Cluster
	keys   pki.Keys
}

// fresh returns a copy of a newly installed cluster.
func fresh(t *testing.T, release string, net int) *cluster.Cluster {
	t.Helper()
	installed.Lock()
	defer installed.Unlock()
	name := fmt.Sprint(release, net)
	if installed.byName == nil {
		installed.byName = make(map[string]*cluster.Cluster)
	}
	if installed.byName[name] == nil {
		p, err := profile.Builtin(release)
		if err != nil {
			t.Fatal(err)
		}
		p.Name, p.Installed = fmt.Sprintf("%s-%d", release, net), profile.Note().Installed
		for i := range p.Nodes {
			p.Nodes[i].Host = fmt.Sprintf("127.0.%d.%d", net, i+1)
		}
		if net == 3 { // a cluster of one node
			p.Nodes = p.Nodes[:1]
		}
		c, err := cluster.New(p, cluster.Options{})
		if err != nil {
			t.Fatal(err)
		}
		installed.byName[name] = c // it has no listener and no file: nothing to close
	}
	return installed.byName[name].Fork(&installed.keys)
}

// trial is clusters, phones and changes at random.
type trial struct {
	world   lockout.World
	phones  []lockout.Phone
	changes []lockout.Change
	windows [][]int // in which each phone resets
}

// randomChanges returns words of changes that are mostly possible.
func randomChanges(r *rand.Rand, n int) (list []string) {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	for range n {
		switch r.IntN(16) {
		case 0, 1, 2, 3, 4, 5:
			list = append(list, "regen "+pick("CallManager", "TVS", "ITLRecovery", "CAPF", "tomcat", "CallManager-ECDSA", "CallManager", "TVS")+"@"+pick("pub", "sub", "all"))
		case 6:
			list = append(list, "rename "+pick("host@pub", "domain@all", "domain", "host@sub"))
		case 7, 8:
			list = append(list, pick("migrate", "import", "migrate")+" other")
		case 9:
			list = append(list, "upgrade "+pick("10.5", "11.5", "12.5", "14"))
		case 10:
			list = append(list, "fips "+pick("on", "on", "off"))
		case 11:
			list = append(list, "rollback "+pick("on", "on", "off"))
		case 12:
			list = append(list, "itl-reset")
		case 14, 15:
			list = append(list, "sign "+pick("CallManager@pub", "CallManager@sub", "CallManager@multi", "TVS@pub", "TVS@all", "TVS@multi", "CAPF@pub", "tomcat@all", "CallManager-ECDSA@multi", "CallManager-ECDSA@pub"))
		case 13:
			list = append(list, pick("restart tftp", "restart tvs", "reset"))
		}
	}
	return list
}

func parse(t *testing.T, w lockout.World, words []string) ([]lockout.Change, lockout.World, error) {
	t.Helper()
	return lockout.ParseChanges(w[:1], words, func(string) (*cluster.Cluster, error) { return w[1], nil })
}

// newTrial makes a trial: clusters, phones that have followed them more or less, and
// what is to come.
func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	profiles := profile.ProfileNames()
	s := &trial{world: lockout.World{fresh(t, profiles[r.IntN(len(profiles))], 1+2*r.IntN(2)), fresh(t, profiles[r.IntN(len(profiles))], 2)}}
	c := s.world[0]
	if c.State().Release().Recovery && r.IntN(4) == 0 {
		if err := c.Apply(operation.SetMixedMode(true)); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes() {
			if err := c.Apply(operation.RestartTFTP(n.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 1 + r.IntN(3) {
		p := lockout.Phone{MAC: mac, Model: []string{"CP-7965G", "CP-8861"}[r.IntN(2)], Servers: servers(c)}
		if r.IntN(6) == 0 {
			p.MAC = fmt.Sprintf("00112233445%d", i) // of a phone that no cluster knows
		}
		if r.IntN(3) == 0 {
			slices.Reverse(p.Servers)
		}
		s.phones = append(s.phones, p)
	}
	// What was before: some phones were there, some were not.
	boot := func() {
		for i, p := range s.phones {
			if r.IntN(4) > 0 {
				next, _, err := p.Boot(t.Context(), s.world)
				if err != nil {
					t.Fatal(err)
				}
				s.phones[i] = next
			}
		}
	}
	boot()
	if past, _, err := parse(t, s.world, randomChanges(r, 1)); err == nil && r.IntN(3) == 0 {
		if past[0].Do(s.world) == nil {
			boot()
		}
	}
	for {
		var err error
		var w lockout.World
		if s.changes, w, err = parse(t, s.world, randomChanges(r, 1+r.IntN(4))); err == nil {
			s.world = w
			break
		}
	}
	s.windows = randomWindows(r, len(s.phones), len(s.changes))
	return s
}

// randomWindows returns the steps after which each phone resets.
func randomWindows(r *rand.Rand, phones, steps int) (all [][]int) {
	for range phones {
		var windows []int
		for k := range steps {
			if r.IntN(2) == 0 {
				windows = append(windows, k)
			}
		}
		all = append(all, windows)
	}
	return all
}

func (s *trial) String() string {
	var words []string
	for _, c := range s.changes {
		words = append(words, c.Text)
	}
	return fmt.Sprintf("%s of release %s: %s; resets after %v", s.world[0].State().Profile.Name, s.world[0].State().Release().Name, strings.Join(words, ", "), s.windows)
}

// carryOut makes the changes on a live bench, with a handset for each phone that resets
// in its windows.
func (s *trial) carryOut(t *testing.T) (reports [][]*boot.Report, err error) {
	running := s.world.Fork(&installed.keys)
	for _, c := range running {
		defer c.Close()
		if err := errors.Join(c.Apply(operation.Unbind()), c.Start()); err != nil {
			return nil, err
		}
	}
	handsets := make([]*handset, len(s.phones))
	for i, p := range s.phones {
		h := &handset{t: t, phone: p, store: new(holdings.MemStore), was: s.world, now: running}
		for key, value := range p.Stored {
			if err := h.store.Put(key, value); err != nil {
				return nil, err
			}
		}
		if err := h.start(p.Servers, p.Answers); err != nil {
			return nil, err
		}
		handsets[i] = h
	}
	reports = make([][]*boot.Report, len(s.phones))
	for k := 0; k <= len(s.changes); k++ {
		if k > 0 {
			ch := &s.changes[k-1]
			if err := ch.Do(running); err != nil {
				return nil, err
			}
			for _, h := range handsets {
				if p, err := ch.Move(running, lockout.Phone{}); err != nil {
					return nil, err
				} else if p.Servers != nil {
					if err := h.start(p.Servers, h.agent.Snapshot().Answers); err != nil {
						return nil, err
					}
				}
			}
		}
		for i, h := range handsets {
			if k == len(s.changes) || slices.Contains(s.windows[i], k) || k > 0 && s.changes[k-1].Reset {
				reports[i] = append(reports[i], h.agent.Cycle(t.Context()))
			}
		}
	}
	return reports, nil
}

// follow carries a phone through changes with its resets after just the given steps
// and at the end, and returns the report of each reset.
func follow(ctx context.Context, w lockout.World, p lockout.Phone, changes []lockout.Change, windows []int) ([]*boot.Report, error) {
	var reports []*boot.Report
	for k := 0; k <= len(changes); k++ {
		if k > 0 {
			if err := changes[k-1].Do(w); err != nil {
				return reports, err
			}
			var err error
			if p, err = changes[k-1].Move(w, p); err != nil {
				return reports, err
			}
		}
		if k == len(changes) || slices.Contains(windows, k) || k > 0 && changes[k-1].Reset {
			var err error
			var report *boot.Report
			if p, report, err = p.Boot(ctx, w); err != nil {
				return reports, err
			}
			reports = append(reports, report)
		}
	}
	return reports, nil
}
