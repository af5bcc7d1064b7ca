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

	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
)

var (
	courses = flag.Int("courses", 300, "random courses of events that are predicted and carried out")
	seed    = flag.Uint64("seed", 0, "carry the course of this seed out alone")
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

// scenario is a random course of events.
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
	profiles := profile.ProfileNames()
	s := &story{world: lockout.World{fresh(t, profiles[r.IntN(len(profiles))], 1+2*r.IntN(2)), fresh(t, profiles[r.IntN(len(profiles))], 2)}}
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
	return fmt.Sprintf("%s of release %s: %s; resets after %v", s.world[0].State().Profile.Name, s.world[0].State().Release().Name, strings.Join(words, ", "), s.windows)
}

// carryOut makes the changes on a live bench, with a handset for each phone that resets
// in its windows.
func (s *story) carryOut(t *testing.T) (reports [][]*boot.Report, err error) {
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

// Random clusters, phones and changes: what is predicted of each phone is what becomes
// of a real handset.
func TestPredictions(t *testing.T) {
	n := *courses
	if testing.Short() {
		n = min(n, 12)
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
	outcomes := make(map[lockout.Outcome]int)
	impossible, phones, resets, plans := 0, 0, 0, 0
	const atOnce = 4
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for seed := range seeds {
				s := newStory(t, seed)
				told, err := lockout.Predict(t.Context(), s.world, s.phones, s.changes, lockout.Options{Sequence: seed%plansOf == 0})
				reports, liveErr := s.carryOut(t)
				differs := func(format string, args ...any) {
					t.Errorf("seed %d: %v: %s", seed, s, fmt.Sprintf(format, args...))
				}
				if err != nil || liveErr != nil {
					if !errors.Is(err, lockout.ErrImpossible) || !errors.Is(liveErr, lockout.ErrImpossible) {
						differs("predicted %v, carried out %v", err, liveErr)
					}
					mu.Lock()
					impossible++
					mu.Unlock()
					continue
				}
				if told.Sequence != nil {
					if problem := s.tryPlan(t, told, rand.New(rand.NewPCG(seed, 2))); problem != "" {
						differs("%s", problem)
					}
					mu.Lock()
					plans++
					mu.Unlock()
				}
				for i := range s.phones {
					predicted, err := lockout.Follow(t.Context(), s.world.Fork(&installed.keys), s.phones[i], s.changes, s.windows[i])
					if err != nil || len(predicted) != len(reports[i]) {
						differs("phone %d: %d resets predicted, %d carried out, %v", i, len(predicted), len(reports[i]), err)
						continue
					}
					for k, got := range reports[i] {
						got.Config.Changed = predicted[k].Config.Changed // the ports in it are others
						if diff := differ(predicted[k], got); diff != "" {
							differs("phone %d, reset %d: %s", i, k, diff)
						}
					}
					if problem := disproves(&told.Phones[i], s.windows[i], reports[i]); problem != "" {
						differs("phone %d: %s", i, problem)
					}
					mu.Lock()
					outcomes[told.Phones[i].Outcome]++
					phones++
					resets += len(reports[i])
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d courses (%d of them impossible), %d phones, %d resets carried out: %v; %d safe sequences carried out", n, impossible, phones, resets, outcomes, plans)
	const enough = 100 // courses, to show everything
	if n >= enough && *seed == 0 && (len(outcomes) < 3 || plans == 0 || impossible == 0 || impossible > n/2) {
		t.Errorf("the courses do not show every outcome: %v, %d impossible", outcomes, impossible)
	}
}

// plansOf is how many courses there are for one whose safe sequence is tried.
const plansOf = 4

// tryPlan carries a safe sequence out, with resets at random beside those in it, and
// says which phone it loses.
func (s *story) tryPlan(t *testing.T, told *lockout.Plan, r *rand.Rand) string {
	safe := *s
	safe.changes, safe.windows = told.Sequence, nil
	for range s.phones {
		var windows []int
		for k := range told.Sequence {
			if r.IntN(2) == 0 {
				windows = append(windows, k)
			}
		}
		safe.windows = append(safe.windows, windows)
	}
	reports, err := safe.carryOut(t)
	if err != nil {
		return fmt.Sprintf("%v: %v", &safe, err)
	}
	for i := range s.phones {
		if last := reports[i][len(reports[i])-1]; last.Reason() != trust.Accepted && told.Phones[i].Outcome != lockout.Already {
			return fmt.Sprintf("%v: phone %d is locked: %v", &safe, i, last.Reason())
		}
	}
	return ""
}

// What everybody should know about certificates, found by searching.
func TestPlans(t *testing.T) {
	for _, c := range []struct{ profile, changes, totals, plan string }{
		{"note", "regen CallManager@pub", "1 0 0", ""},
		{"note", "regen CallManager@pub regen TVS@all", "0 1 0", "regen CallManager@test10pub, reset, regen TVS@all"},
		{"note", "regen CallManager@pub reset regen TVS@all", "1 0 0", ""},
		{"note", "regen TVS@all rename host@pub", "0 1 0", "regen TVS@all, reset, rename host@pub"},
		{"note", "migrate other", "0 0 1", "import other, migrate other"},
		{"note", "rollback migrate other", "0 1 0", "rollback, reset, migrate other"},
		{"note", "fips on", "0 0 1", "fips on@test10pub, reset, fips on@test10sub"},
		{"12.5", "regen CallManager@pub regen TVS@all", "1 0 0", ""},
		{"12.5", "regen TVS@all regen ITLRecovery", "0 1 0", "regen TVS@all, reset, regen ITLRecovery@test10pub"},
		{"8.6", "regen TVS@pub regen TVS@sub regen CallManager@pub", "0 1 0", "regen TVS@test10pub, regen TVS@test10sub, reset, regen CallManager@test10pub"},
	} {
		w := lockout.World{fresh(t, c.profile, 1), fresh(t, "14", 2)}
		p := lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: servers(w[0])}
		p, _, err := p.Boot(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		changes, w, err := parse(t, w, []string{c.changes})
		if err != nil {
			t.Fatal(err)
		}
		f, err := lockout.Predict(t.Context(), w, []lockout.Phone{p}, changes, lockout.Options{Sequence: true})
		if err != nil {
			t.Errorf("%s: %s: %v", c.profile, c.changes, err)
			continue
		}
		if got := fmt.Sprint(f.Count(lockout.Throughout), f.Count(lockout.IfReset), f.Count(lockout.LockedOut)); got != c.totals {
			t.Errorf("%s: %s: totals %s, want %s", c.profile, c.changes, got, c.totals)
		}
		var plan []string
		for _, ch := range f.Sequence {
			plan = append(plan, ch.Text)
		}
		if got := strings.Join(plan, ", "); got != c.plan {
			t.Errorf("%s: %s: plan %q (%s), want %q", c.profile, c.changes, got, f.SequenceWhy, c.plan)
		}
	}
}

// Words that are no changes, and changes that cannot be made, are errors.
func TestBadChanges(t *testing.T) {
	w := lockout.World{fresh(t, "8.6", 1), fresh(t, "14", 2)}
	for _, words := range []string{"", "regen", "regen CallManager@nowhere", "regen ITLRecovery", "rename", "rename all", "rename host x y z", "rename host@all",
		"migrate", "upgrade", "upgrade 9.9", "fips", "fips maybe", "rollback maybe", "restart", "restart all", "reset now", "itl-reset now", "dance"} {
		if changes, _, err := parse(t, w, []string{words}); err == nil {
			t.Errorf("%q: read as %d changes", words, len(changes))
		}
	}
	for _, words := range []string{"upgrade 8.6", "itl-reset", "fips off", "rename host test10sub@pub"} {
		changes, _, err := parse(t, w, []string{words})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lockout.Predict(t.Context(), w, nil, changes, lockout.Options{}); !errors.Is(err, lockout.ErrImpossible) {
			t.Errorf("%q: %v, want ErrImpossible", words, err)
		}
	}
}

// disproves says how what became of a handset is not what was predicted of it.
func disproves(told *lockout.Prediction, windows []int, reports []*boot.Report) string {
	trusted := reports[len(reports)-1].Reason() == trust.Accepted
	sure := len(told.Windows) > 0
	for _, w := range told.Windows {
		sure = sure && slices.Contains(windows, w)
	}
	switch {
	case told.Outcome == lockout.Throughout && !trusted:
		return "it is locked, predicted as trusted throughout"
	case (told.Outcome == lockout.LockedOut || told.Outcome == lockout.Already) && trusted:
		return fmt.Sprintf("it trusts its cluster, predicted as %s", told.Outcome)
	case told.Outcome == lockout.IfReset && sure && !trusted && !told.Exact:
		return fmt.Sprintf("it is locked, and it did reset after %v", told.Windows)
	}
	return ""
}
