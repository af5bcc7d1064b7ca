package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/portal/roster"
	"itlagent/testbench/wording"
)

// planned is what becomes of phones, as it was found out.
type planned struct {
	plan  *lockout.Plan
	fleet *evidence.Fleet
	world lockout.World
}

// step is a change that is asked about, with the names of its buttons.
type step struct {
	Number      int
	Text        string
	First, Last bool
}

// sorting is phones of which the same is to be said.
type sorting struct {
	Text    string
	Outcome string
	Count   int
	Devices []string // the first ones
	More    int
}

type planBody struct {
	Steps     []step
	Choices   []string
	Syntax    []string
	Wrong     string // what is wrong with the changes
	Asked     bool
	Full      string // what itlbench plan prints
	Safe      bool
	Totals    []count
	Unknown   int
	Phones    []sorting
	Sequence  []lockout.Change
	Why       string
	Commands  string
	Warnings  []string
	NotKnown  []string
	Current   bool
	ApplyWith []string // the changes, for the form that carries them out
}

// Limits of a plan.
const (
	maxChanges = 12  // as package lockout has it
	maxText    = 200 // bytes of a change
	maxPlanned = 20_000
)

func (s *Server) plan(r *http.Request) (*view, error) {
	ros, st, err := s.source.now(r.Context())
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	changes, err := edited(q["change"], q.Get("add"), q.Get("move"))
	if err != nil {
		return nil, err
	}
	b := &planBody{Choices: choices(st), Syntax: lockout.Syntax(), Current: q.Get("current") != ""}
	for i, text := range changes {
		b.Steps = append(b.Steps, step{i + 1, text, i == 0, i == len(changes)-1})
	}
	words := []string{"plan"}
	words = append(words, changes...)
	if b.Current {
		words = append(words, "--assume-current")
	}
	v := &view{template: "plan", Title: "What would happen", Nav: "plan", Command: s.command(words...), Body: b}
	if len(changes) > 0 && q.Has("ask") {
		if err := s.ask(r.Context(), ros, st, changes, b, v); err != nil {
			return nil, err
		}
	}
	if v.raw == "" {
		v.objects = []any{map[string]any{"changes": changes, "syntax": b.Syntax, "error": b.Wrong}}
	}
	return v, nil
}

// edited returns changes once a button was pressed: one is added, moved or taken away. It
// reads what the form has: "up 2", "down 2", "remove 2".
func edited(changes []string, add, move string) (out []string, err error) {
	bad := func(what string) error {
		return &problem{http.StatusBadRequest, what, "Begin again from the menu."}
	}
	for _, text := range append(changes, add) {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			out = append(out, text)
		}
		if len(text) > maxText || len(out) > maxChanges {
			return nil, bad(fmt.Sprintf("a plan has at most %d changes, of at most %d bytes each", maxChanges, maxText))
		}
	}
	if move == "" {
		return out, nil
	}
	how, number, _ := strings.Cut(move, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(out) {
		return nil, bad("there is no such change")
	}
	switch i := n - 1; {
	case how == "remove":
		out = append(out[:i], out[i+1:]...)
	case how == "up" && i > 0:
		out[i-1], out[i] = out[i], out[i-1]
	case how == "down" && i < len(out)-1:
		out[i+1], out[i] = out[i], out[i+1]
	}
	return out, nil
}

// choices are changes to choose from; others can be typed.
func choices(st *state.State) (all []string) {
	for _, n := range st.Nodes {
		for _, u := range n.Present() {
			if n.IsPublisher() || u == "CallManager" || u == "TVS" {
				all = append(all, "regen "+string(u)+"@"+n.Name)
			}
		}
	}
	return append(all, "regen CallManager@all", "regen TVS@all", "reset", "restart tftp", "restart tvs", "itl-reset", "ctl-update", "rollback", "rollback off", "upgrade 12.5", "upgrade 14")
}

// ask predicts what becomes of the phones.
func (s *Server) ask(ctx context.Context, ros *roster.Roster, st *state.State, changes []string, b *planBody, v *view) error {
	p, err := s.predict(ctx, ros, st, changes, b.Current)
	var wrong *problem
	switch {
	case errors.As(err, &wrong) && wrong.code == http.StatusBadRequest:
		b.Wrong = printable.Clip(wrong.what, longest)
		return nil
	case err != nil:
		return err
	}
	b.Asked, b.Safe, b.Why, b.Sequence, b.Warnings = true, p.plan.Safe(), p.plan.SequenceWhy, p.plan.Sequence, p.plan.Warnings
	b.Unknown, b.NotKnown, b.ApplyWith = p.fleet.Uncounted(), p.fleet.Notes, changes
	for _, o := range lockout.Outcomes() {
		b.Totals = append(b.Totals, count{Label: string(o), Count: p.plan.Count(o)})
	}
	b.Phones = sortings(p)
	steps := p.plan.Changes
	if p.plan.Sequence != nil {
		steps = p.plan.Sequence
	}
	var typed, full, objects strings.Builder
	wording.Steps(&typed, steps, p.world, len(wording.Registered(s.o.Cluster)))
	wording.Plan(&full, p.plan, p.fleet, p.world, false)
	b.Commands, b.Full = typed.String(), full.String()
	wording.PlanObjects(&objects, p.plan, p.fleet)
	v.raw = objects.String()
	return nil
}

// sortings puts phones together of which the same is to be said, as plan prints them.
func sortings(p *planned) (all []sorting) {
	const shown = 10
	at := make(map[string]int)
	registered := wording.Registered(p.world[0])
	for i := range p.plan.Phones {
		one := &p.plan.Phones[i]
		device := "SEP" + one.Phone.MAC
		text := wording.PredictionLine(one, registered[device])
		n, ok := at[text]
		if !ok {
			n = len(all)
			at[text] = n
			all = append(all, sorting{Text: text, Outcome: string(one.Outcome)})
		}
		if all[n].Count++; len(all[n].Devices) < shown {
			all[n].Devices = append(all[n].Devices, device)
		} else {
			all[n].More++
		}
	}
	return all
}

// noOthers finds no cluster but the one of the pages: others are named by directories, which
// a page does not open.
func noOthers(name string) (*cluster.Cluster, error) {
	return nil, fmt.Errorf("%q: pages know one cluster alone; itlbench plan knows others", printable.Clip(name, 60))
}

func (s *Server) predict(ctx context.Context, ros *roster.Roster, st *state.State, texts []string, current bool) (*planned, error) {
	key := fmt.Sprint(current, ros.At.UnixNano(), "\n", strings.Join(texts, "\n"))
	if p, ok := s.plans.get(st, key); ok {
		return p, nil
	}
	bad := func(err error) error {
		return &problem{http.StatusBadRequest, err.Error(), "The form shows how changes are written."}
	}
	if ros.Len() > maxPlanned {
		return nil, bad(fmt.Errorf("%d phones: pages plan for at most %d; itlbench plan takes as long as it needs", ros.Len(), maxPlanned))
	}
	ctx, done, err := s.atWork(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	changes, w, err := lockout.ParseChanges(lockout.World{s.o.Cluster}, texts, noOthers)
	if err != nil {
		return nil, bad(err)
	}
	s.source.mu.Lock()
	fleet, err := evidence.Phones(w, s.source.reports, current)
	s.source.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if len(fleet.Phones) == 0 {
		return nil, bad(fmt.Errorf("nothing is known of what %s would hold; let them report, or take those that have not to hold what is served now", evidence.Count(fleet.Uncounted())))
	}
	defer s.took("plan", time.Now())
	plan, err := lockout.Predict(ctx, w, fleet.Phones, changes, lockout.Options{Sequence: true})
	switch {
	case errors.Is(err, lockout.ErrImpossible):
		return nil, bad(err)
	case err != nil:
		return nil, err
	}
	p := &planned{plan, fleet, w}
	s.plans.put(st, key, p)
	return p, nil
}
