package twin_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/twin"
)

// onBench stands for a remedy that is a command of the bench, which a real cluster does not have:
// whether another one needs a visit is not compared then.
const onBench = "?"

// judged says in a line what an audit says of each phone; "" where it cannot.
func judged(t *testing.T, w lockout.World, r *evidence.Reports) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for p, err := range audit.NewJudge(t.Context(), w).Phones(r) {
		if err != nil {
			t.Fatal(err)
		}
		if !p.Judged {
			out[p.MAC.String()] = ""
			continue
		}
		visit := fmt.Sprint(p.Remedy != nil && p.Remedy.OnSite)
		if p.Remedy != nil && p.Remedy.Commands[0].Where == "bench" {
			visit = onBench
		}
		out[p.MAC.String()] = fmt.Sprintf("%s %v locked %v onsite %s", p.Status, p.Verdict, p.Locked, visit)
	}
	return out
}

// planned says in a line what a plan says of each phone.
func planned(t *testing.T, w lockout.World, r *evidence.Reports, words string) (map[string]string, error) {
	t.Helper()
	changes, w2, err := lockout.ParseChanges(w, strings.Fields(words), nil)
	if err != nil {
		return nil, err
	}
	fleet, err := evidence.Phones(w2, r, false)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, unknown := range slices.Concat(fleet.Silent, fleet.Strange, fleet.Disputed) {
		out[strings.TrimPrefix(unknown, "SEP")] = ""
	}
	if len(fleet.Phones) == 0 {
		return out, nil
	}
	plan, err := lockout.Predict(t.Context(), w2, fleet.Phones, changes, lockout.Options{})
	if err != nil {
		return nil, err
	}
	for i := range plan.Phones {
		p := &plan.Phones[i]
		out[p.Phone.MAC] = fmt.Sprintf("%s %v windows %v reason %v refuses %v", p.Outcome, p.Locked, p.Windows, p.Reason, p.Refuses)
	}
	return out, nil
}

// tally counts how a twin and its original compare.
type tally struct{ equal, unknown, contradictions int }

func (n *tally) compare(t *testing.T, what, replay string, original, copied map[string]string) {
	t.Helper()
	for mac, want := range original {
		switch got := copied[mac]; {
		case want == "":
		case got == "":
			n.unknown++
		case got != want && !(strings.HasSuffix(want, onBench) && strings.HasPrefix(got, strings.TrimSuffix(want, onBench))):
			if n.contradictions++; n.contradictions < 5 {
				t.Errorf("%s: %s of %s:\noriginal %s\ntwin     %s", replay, what, mac, want, got)
			}
		default:
			n.equal++
		}
	}
}

// The copy of a cluster, made from what its administrator can have, says of every phone what the
// cluster itself would say, or that it does not know.
func TestTwin(t *testing.T) {
	var audits, plans tally
	for i := range *courses {
		s := *seed + uint64(i)
		r := rand.New(rand.NewPCG(s, 2))
		x := newCourse(t, r)
		items := x.export(t, r)
		tw, err := twin.New(items, twin.Options{Now: x.c.Now()})
		if err != nil {
			t.Fatalf("-seed %d: %v", s, err)
		}
		replay := fmt.Sprintf("-seed %d -courses 1 (release %s, %s)", s, x.c.State().Release().Name, strings.Join(x.words, ", "))
		reports := reportsOf(t, items)
		audits.compare(t, "audit", replay, judged(t, lockout.World{x.c}, reports), judged(t, lockout.World{tw.Cluster}, reports))
		words := future(r)
		want, err := planned(t, lockout.World{x.c}, reports, words)
		got, err2 := planned(t, lockout.World{tw.Cluster}, reports, words)
		nobody := err2 == nil && !slices.ContainsFunc(slices.Collect(maps.Values(got)), func(text string) bool { return text != "" })
		if (err == nil) != (err2 == nil) && !nobody { // of phones that are not known no plan is made
			t.Errorf("%s: plan %s: original %v, twin %v", replay, words, err, err2)
		}
		plans.compare(t, "plan "+words, replay, want, got)
		if t.Failed() && audits.contradictions+plans.contradictions > 4 {
			break
		}
	}
	t.Logf("%d courses: audits equal %d, not known %d, contradictions %d; plans equal %d, not known %d, contradictions %d", *courses,
		audits.equal, audits.unknown, audits.contradictions, plans.equal, plans.unknown, plans.contradictions)
	for what, n := range map[string]tally{"audits": audits, "plans": plans} {
		const enough = 50 // courses, for a share to mean something
		if share := 100 * n.unknown / max(1, n.unknown+n.equal); *courses >= enough && (share >= 10 || n.equal == 0) {
			t.Errorf("%s: %d %% not known", what, share)
		}
	}
}
