package portal

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"itlagent/agent/printable"
	"itlagent/testbench/lockout"
	"itlagent/testbench/rollout"
)

// running is the plan that is carried out, or was last.
type running struct {
	mu       sync.Mutex
	Asked    []string
	Lines    []string
	Back, Of int
	Runs     bool
	Failed   string
	cancel   context.CancelFunc
	ended    chan struct{}
}

// copied is a running as a page shows it.
type copied struct {
	Asked  []string `json:"asked"`
	Lines  []string `json:"lines"`
	Back   int      `json:"back"`
	Of     int      `json:"of"`
	Runs   bool     `json:"runs"`
	Failed string   `json:"failed"`
}

func (p *running) copy() copied {
	p.mu.Lock()
	defer p.mu.Unlock()
	return copied{append([]string{}, p.Asked...), append([]string{}, p.Lines...), p.Back, p.Of, p.Runs, p.Failed}
}

// apply begins to carry a plan out that is safe, or the safe sequence in its place, as plan
// --apply does.
func (s *Server) apply(r *http.Request) (*view, error) {
	asked, err := edited(r.PostForm["change"], "", "")
	if err != nil {
		return nil, err
	}
	if s.o.Cluster.State().Twin() || s.o.Cluster.Dir() == "" {
		return nil, &problem{http.StatusConflict, "only a bench cluster in a directory can be changed", "The pages of the copy of a real cluster tell what would happen."}
	}
	changes, w, o, err := s.sequence(r.Context(), asked)
	if err != nil {
		return nil, err
	}
	p := &s.running
	p.mu.Lock()
	if p.Runs {
		p.mu.Unlock()
		return nil, &problem{http.StatusConflict, rollout.ErrBusy.Error(), "The page of its progress shows how far it is."}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	p.Asked, p.Lines, p.Back, p.Of, p.Runs, p.Failed, p.cancel, p.ended = asked, nil, 0, 0, true, "", cancel, make(chan struct{})
	p.mu.Unlock()
	o.Say = func(format string, args ...any) {
		s.progressed(func() { p.Lines = append(p.Lines, fmt.Sprintf(format, args...)) })
	}
	o.Progress = func(back, of int) { s.progressed(func() { p.Back, p.Of = back, of }) }
	go func() {
		defer close(p.ended)
		err := carryOut(ctx, w, changes, o)
		s.progressed(func() {
			if p.Runs = false; err != nil {
				p.Failed = err.Error()
			}
		})
	}()
	return s.progress(r)
}

func carryOut(ctx context.Context, w lockout.World, changes []lockout.Change, o rollout.Options) error {
	r, err := rollout.New(w, changes, o)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Run(ctx)
}

// progressed notes something of the running plan, and wakes those who look.
func (s *Server) progressed(note func()) {
	s.running.mu.Lock()
	note()
	s.running.mu.Unlock()
	s.hub.tell()
}

// sequence returns what is carried out: what is left of the same plan, the plan where it is
// safe, or the safe sequence.
func (s *Server) sequence(ctx context.Context, asked []string) ([]lockout.Change, lockout.World, rollout.Options, error) {
	none := rollout.Options{}
	fail := func(format string, args ...any) error {
		return &problem{http.StatusConflict, fmt.Sprintf(format, args...), "The command line can do more: itlbench plan --help."}
	}
	was, left, err := rollout.Pending(s.o.Cluster.Dir())
	switch {
	case err != nil:
		return nil, nil, none, fail("%v; --forget gives it up", err)
	case was != nil && !slices.Equal(was, asked):
		return nil, nil, none, fail("another one is not done yet: %v; ask for it again, or give it up with itlbench plan --forget", was)
	case was != nil:
		changes, w, err := lockout.ParseChanges(lockout.World{s.o.Cluster}, left, noOthers)
		return changes, w, rollout.Options{Asked: asked}, err
	}
	ros, st, err := s.source.now(ctx)
	if err != nil {
		return nil, nil, none, err
	}
	p, err := s.predict(ctx, ros, st, asked, false)
	if err != nil {
		return nil, nil, none, err
	}
	changes := p.plan.Changes
	if !p.plan.Safe() {
		if changes = p.plan.Sequence; changes == nil {
			return nil, nil, none, fail("not safe, and no safe sequence was found: nothing is carried out")
		}
	}
	again, err := lockout.Predict(ctx, p.world, p.fleet.Phones, changes, lockout.Options{Online: lockout.Sometimes})
	if err == nil && !again.Safe() {
		err = fail("not safe if phones reset at other times than asked for: nothing is carried out")
	}
	if err != nil {
		return nil, nil, none, err
	}
	o := rollout.Options{Asked: asked, Refuses: make(map[string][]int)}
	for i := range again.Phones {
		one := &again.Phones[i]
		if device := "SEP" + one.Phone.MAC; one.Outcome == lockout.Throughout {
			o.Phones = append(o.Phones, device)
			if len(one.Refuses) > 0 {
				o.Refuses[device] = one.Refuses
			}
		}
	}
	return changes, p.world, o, nil
}

// progress shows how far the plan is.
func (s *Server) progress(r *http.Request) (*view, error) {
	b := s.running.copy()
	if len(b.Asked) == 0 {
		return nil, notFound("The page What would happen leads to one.", "no plan was carried out from here")
	}
	v := &view{template: "progress", Title: "Carrying a plan out", Nav: "plan", Command: s.command(append(append([]string{"plan"}, b.Asked...), "--apply")...), Body: b, objects: []any{b}}
	if b.Failed != "" {
		b.Failed = printable.Clip(b.Failed, longest)
	}
	if r.Method == http.MethodGet && r.URL.Query().Get("fragment") != "" {
		v.fragment = "progress-lines"
	}
	return v, nil
}

// stopRunning ends the plan that is carried out, and waits for that: the same plan goes on
// where it stopped.
func (s *Server) stopRunning() {
	s.running.mu.Lock()
	cancel, ended := s.running.cancel, s.running.ended
	s.running.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}
