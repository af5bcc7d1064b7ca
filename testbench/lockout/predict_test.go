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
	"itlagent/agent/trust"
	"itlagent/testbench/lockout"
)

var (
	trials = flag.Int("trials", 300, "random trials that are predicted and carried out")
	seed   = flag.Uint64("seed", 0, "carry the trial of this seed out alone")
)

// Random clusters, phones and changes: what is predicted of each phone is what becomes
// of a real handset.
func TestPredictions(t *testing.T) {
	n := *trials
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
	sum := tally{outcomes: make(map[lockout.Outcome]int)}
	const atOnce = 4
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for seed := range seeds {
				compare(t, seed, &sum)
			}
		})
	}
	all.Wait()
	t.Logf("%d trials (%d of them impossible), %d phones, %d resets carried out: %v; %d safe sequences carried out", n, sum.impossible, sum.phones, sum.resets, sum.outcomes, sum.sequences)
	const enough = 100 // trials, to show everything
	if n >= enough && *seed == 0 && (len(sum.outcomes) < 3 || sum.sequences == 0 || sum.impossible == 0 || sum.impossible > n/2) {
		t.Errorf("the trials do not show every outcome: %v, %d impossible", sum.outcomes, sum.impossible)
	}
}

// tally is what trials have shown.
type tally struct {
	sync.Mutex
	outcomes                              map[lockout.Outcome]int
	impossible, phones, resets, sequences int
}

func (s *tally) add(do func()) {
	s.Lock()
	defer s.Unlock()
	do()
}

// compare predicts a trial, carries it out, and compares.
func compare(t *testing.T, seed uint64, sum *tally) {
	s := newTrial(t, seed)
	plan, err := lockout.Predict(t.Context(), s.world, s.phones, s.changes, lockout.Options{Sequence: seed%plansOf == 0})
	reports, liveErr := s.carryOut(t)
	differs := func(format string, args ...any) {
		t.Errorf("seed %d: %v: %s", seed, s, fmt.Sprintf(format, args...))
	}
	if err != nil || liveErr != nil {
		if !errors.Is(err, lockout.ErrImpossible) || !errors.Is(liveErr, lockout.ErrImpossible) {
			differs("predicted %v, carried out %v", err, liveErr)
		}
		sum.add(func() { sum.impossible++ })
		return
	}
	if plan.Sequence != nil {
		if problem := s.tryPlan(t, plan, rand.New(rand.NewPCG(seed, 2))); problem != "" {
			differs("%s", problem)
		}
		sum.add(func() { sum.sequences++ })
	}
	for i := range s.phones {
		predicted, err := follow(t.Context(), s.world.Fork(&installed.keys), s.phones[i], s.changes, s.windows[i])
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
		if problem := disproves(&plan.Phones[i], s.windows[i], reports[i]); problem != "" {
			differs("phone %d: %s", i, problem)
		}
		sum.add(func() {
			sum.outcomes[plan.Phones[i].Outcome]++
			sum.phones++
			sum.resets += len(reports[i])
		})
	}
}

// plansOf is how many trials there are for one whose safe sequence is tried.
const plansOf = 4

// tryPlan carries a safe sequence out, with resets at random beside those in it, and
// says which phone it loses.
func (s *trial) tryPlan(t *testing.T, plan *lockout.Plan, r *rand.Rand) string {
	safe := *s
	safe.changes = plan.Sequence
	safe.windows = randomWindows(r, len(s.phones), len(plan.Sequence))
	reports, err := safe.carryOut(t)
	if err != nil {
		return fmt.Sprintf("%v: %v", &safe, err)
	}
	for i := range s.phones {
		p := &plan.Phones[i]
		before := p.Outcome == lockout.Already || p.Outcome == lockout.Unserved && p.Before != trust.Accepted
		if last := reports[i][len(reports[i])-1]; last.Reason() != trust.Accepted && !before {
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
		{"note", "sign CallManager@pub", "1 0 0", ""},
		{"note", "sign CallManager@multi", "1 0 0", ""},
		{"note", "sign CallManager@pub sign TVS@all", "0 1 0", "sign CallManager@test10pub, reset, sign TVS@all"},
		{"note", "sign TVS@all regen CallManager@pub sign tomcat@all", "0 1 0", "sign TVS@all, reset, regen CallManager@test10pub, sign tomcat@all"},
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
		"migrate", "upgrade", "upgrade 9.9", "fips", "fips maybe", "rollback maybe", "sign", "sign CallManager@nowhere", "sign ITLRecovery", "sign TVS@multi", "sign CallManager pub", "restart", "restart all", "reset now", "itl-reset now", "dance"} {
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
func disproves(p *lockout.Prediction, windows []int, reports []*boot.Report) string {
	trusted := reports[len(reports)-1].Reason() == trust.Accepted
	sure := len(p.Windows) > 0
	for _, w := range p.Windows {
		sure = sure && slices.Contains(windows, w)
	}
	switch {
	case p.Outcome == lockout.Throughout && !trusted:
		return "it is locked, predicted as trusted throughout"
	case (p.Outcome == lockout.LockedOut || p.Outcome == lockout.Already || p.Outcome == lockout.Unserved) && trusted:
		return fmt.Sprintf("it trusts its cluster, predicted as %s", p.Outcome)
	case p.Outcome == lockout.IfReset && sure && !trusted && !p.Exact:
		return fmt.Sprintf("it is locked, and it did reset after %v", p.Windows)
	}
	return ""
}
