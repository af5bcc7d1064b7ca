package lockout_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
)

var (
	courses = flag.Int("courses", 300, "random courses of events that are foretold and carried out")
	seed    = flag.Uint64("seed", 0, "carry the course of this seed out alone")
)

// installed are clusters of every release, each installed once.
var installed struct {
	sync.Mutex
	byName map[string]*cluster.Cluster
	keys   pki.Keys
}

// fresh returns a copy of a newly installed cluster.
func fresh(t *testing.T, profile string, net int) *cluster.Cluster {
	t.Helper()
	installed.Lock()
	defer installed.Unlock()
	name := fmt.Sprint(profile, net)
	if installed.byName == nil {
		installed.byName = make(map[string]*cluster.Cluster)
	}
	if installed.byName[name] == nil {
		p, err := cluster.Builtin(profile)
		if err != nil {
			t.Fatal(err)
		}
		p.Name, p.Installed = fmt.Sprintf("%s-%d", profile, net), cluster.Note().Installed
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

// story is a random course of events.
type story struct {
	world   lockout.World
	phones  []lockout.Phone
	changes []lockout.Change
	windows [][]int // in which each phone resets
}

// randomChanges returns words of changes that are mostly possible.
func randomChanges(r *rand.Rand, n int) (list []string) {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	for range n {
		switch r.IntN(14) {
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

// newStory makes a course: clusters, phones that have followed them more or less, and
// what is to come.
func newStory(t *testing.T, seed uint64) *story {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	profiles := cluster.ProfileNames()
	s := &story{world: lockout.World{fresh(t, profiles[r.IntN(len(profiles))], 1+2*r.IntN(2)), fresh(t, profiles[r.IntN(len(profiles))], 2)}}
	c := s.world[0]
	if c.Release().Recovery && r.IntN(4) == 0 {
		if err := c.SetMixedMode(true); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes() {
			if err := c.RestartTFTP(n.Name()); err != nil {
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
	for range s.phones {
		var windows []int
		for k := range len(s.changes) {
			if r.IntN(2) == 0 {
				windows = append(windows, k)
			}
		}
		s.windows = append(s.windows, windows)
	}
	return s
}

func (s *story) String() string {
	var words []string
	for _, c := range s.changes {
		words = append(words, c.Text)
	}
	return fmt.Sprintf("%s of release %s: %s; resets after %v", s.world[0].Name(), s.world[0].Release().Name, strings.Join(words, ", "), s.windows)
}

// carryOut makes the changes on a live bench, with a handset for each phone that resets
// in its windows.
func (s *story) carryOut(t *testing.T) (reports [][]*agent.Report, err error) {
	running := s.world.Fork(&installed.keys)
	for _, c := range running {
		defer c.Close()
		if err := errors.Join(c.Unbind(), c.Start()); err != nil {
			return nil, err
		}
	}
	handsets := make([]*handset, len(s.phones))
	for i, p := range s.phones {
		h := &handset{t: t, phone: p, store: new(agent.MemStore), was: s.world, now: running}
		for key, value := range p.Kept {
			if err := h.store.Put(key, value); err != nil {
				return nil, err
			}
		}
		if err := h.start(p.Servers, p.Answers); err != nil {
			return nil, err
		}
		handsets[i] = h
	}
	reports = make([][]*agent.Report, len(s.phones))
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
					if err := h.start(p.Servers, h.agent.TVSAnswers()); err != nil {
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

// Random clusters, phones and changes: what is foretold of each phone is what becomes
// of a real handset.
func TestForesight(t *testing.T) {
	n := *courses
	if testing.Short() {
		n = min(n, 40)
	}
	seeds := make(chan uint64, n)
	if *seed != 0 {
		seeds <- *seed
	} else {
		base := uint64(time.Now().UnixNano())
		for i := range n {
			seeds <- base + uint64(i)
		}
	}
	close(seeds)
	var mu sync.Mutex
	fates := make(map[lockout.Fate]int)
	impossible, phones, resets := 0, 0, 0
	const atOnce = 4
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for seed := range seeds {
				s := newStory(t, seed)
				told, err := lockout.Foresee(t.Context(), s.world, s.phones, s.changes, lockout.Options{})
				reports, liveErr := s.carryOut(t)
				for try := 1; try < 3 && errors.As(liveErr, new(*cluster.PortError)); try++ {
					reports, liveErr = s.carryOut(t) // an upgrade wants the port behind HTTP's, which another one had
				}
				differs := func(format string, args ...any) {
					t.Errorf("seed %d: %v: %s", seed, s, fmt.Sprintf(format, args...))
				}
				if err != nil || liveErr != nil {
					if !errors.Is(err, lockout.ErrImpossible) || !errors.Is(liveErr, lockout.ErrImpossible) {
						differs("foretold %v, carried out %v", err, liveErr)
					}
					mu.Lock()
					impossible++
					mu.Unlock()
					continue
				}
				for i := range s.phones {
					foretold, err := lockout.Follow(t.Context(), s.world.Fork(&installed.keys), s.phones[i], s.changes, s.windows[i])
					if err != nil || len(foretold) != len(reports[i]) {
						differs("phone %d: %d resets foretold, %d carried out, %v", i, len(foretold), len(reports[i]), err)
						continue
					}
					for k, got := range reports[i] {
						got.Config.Changed = foretold[k].Config.Changed // the ports in it are others
						if diff := differ(foretold[k], got); diff != "" {
							differs("phone %d, reset %d: %s", i, k, diff)
						}
					}
					if problem := disproves(&told.Phones[i], s.windows[i], reports[i]); problem != "" {
						differs("phone %d: %s", i, problem)
					}
					mu.Lock()
					fates[told.Phones[i].Fate]++
					phones++
					resets += len(reports[i])
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d courses (%d of them impossible), %d phones, %d resets carried out: %v", n, impossible, phones, resets, fates)
	if *seed == 0 && (len(fates) < 4 || impossible == 0 || impossible > n/2) {
		t.Errorf("the courses do not show every fate: %v, %d impossible", fates, impossible)
	}
}

// disproves says how what became of a handset is not what was foretold of it.
func disproves(told *lockout.Foretold, windows []int, reports []*agent.Report) string {
	trusted := reports[len(reports)-1].Reason() == trust.Accepted
	sure := len(told.Windows) > 0
	for _, w := range told.Windows {
		sure = sure && slices.Contains(windows, w)
	}
	switch {
	case told.Fate == lockout.Throughout && !trusted:
		return "it is locked, foretold as trusted throughout"
	case (told.Fate == lockout.LockedOut || told.Fate == lockout.Already) && trusted:
		return fmt.Sprintf("it trusts its cluster, foretold as %s", told.Fate)
	case told.Fate == lockout.IfReset && sure && !trusted && !told.Exact:
		return fmt.Sprintf("it is locked, and it did reset after %v", told.Windows)
	}
	return ""
}
