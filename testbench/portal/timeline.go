package portal

import (
	"net/http"
	"slices"
	"time"

	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
)

// moment is one change of what is served, on the time line.
type moment struct {
	At   int64  `json:"at"` // Unix seconds of the bench clock
	What string `json:"what"`
}

// timelineJSON is how many phones held which kind of list, as they reported it. The bench
// clock may jump; what is served then jumps with it.
type timelineJSON struct {
	Times   []int64  `json:"times"`   // Unix seconds, ascending
	Current []int    `json:"current"` // hold a list that was served then
	Older   []int    `json:"older"`   // hold another one
	None    []int    `json:"none"`    // hold no list
	Changes []moment `json:"changes"`
}

// maxPoints bounds a time line: a screen shows no more.
const maxPoints = 600

func (s *Server) timeline(r *http.Request) (*view, error) {
	t := timelineJSON{Times: []int64{}, Current: []int{}, Older: []int{}, None: []int{}, Changes: []moment{}}
	if s.o.Cluster != nil {
		all, _, err := s.source.events(0)
		if err != nil {
			return nil, err
		}
		t.fill(s.o.Cluster.State(), all)
	}
	r.URL.RawQuery = "format=json" // there is no other form
	return &view{objects: []any{t}}, nil
}

// counts are phones by the list that they hold.
type counts struct {
	of     map[evidence.MAC]evidence.Hash
	by     map[evidence.Hash]int
	served map[evidence.Hash]int // by how many nodes
}

func (c *counts) now() (current, older, none int) {
	none = c.by[evidence.Hash{}]
	for list, n := range c.by {
		if c.served[list] > 0 && list != (evidence.Hash{}) {
			current += n
		}
	}
	return current, len(c.of) - current - none, none
}

// fill goes through reports and changes of lists in the order of the bench clock.
func (t *timelineJSON) fill(st *state.State, all []events.Event) {
	type step struct {
		at    time.Time
		serve map[evidence.Hash]int // added to those served
		what  string
		event *events.Event
	}
	var steps []step
	for _, l := range st.Lists() {
		h, ok := hashOf(l.SHA1)
		if !ok || l.Kind.String() != "ITL" {
			continue
		}
		steps = append(steps, step{at: l.Since, serve: map[evidence.Hash]int{h: 1}, what: st.Nodes[l.Node].Name + ": " + l.Reason})
		if !l.Until.IsZero() {
			steps = append(steps, step{at: l.Until, serve: map[evidence.Hash]int{h: -1}})
		}
	}
	for i := range all {
		if all[i].Name == evidence.AlarmName {
			steps = append(steps, step{at: all[i].Time, event: &all[i]})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	c := counts{make(map[evidence.MAC]evidence.Hash), make(map[evidence.Hash]int), make(map[evidence.Hash]int)}
	every := max(len(steps)/maxPoints, 1)
	for i, s := range steps {
		for h, n := range s.serve {
			c.served[h] += n
		}
		if s.what != "" && len(t.Changes) < maxPoints {
			t.Changes = append(t.Changes, moment{s.at.Unix(), s.what})
		}
		if s.event != nil {
			c.report(s.event)
		}
		if i%every == 0 || i == len(steps)-1 || s.serve != nil && len(t.Times) < 2*maxPoints {
			t.point(s.at.Unix(), &c)
		}
	}
}

func (c *counts) report(e *events.Event) {
	m, ok := evidence.ParseMAC(e.Tag("DeviceName"))
	if !ok {
		return
	}
	text, err := evidence.ParseHash(e.Tag("ITL_Signature"))
	if err != nil {
		return
	}
	h, _ := hashOf(text)
	if old, ok := c.of[m]; ok {
		c.by[old]--
	}
	c.of[m] = h
	c.by[h]++
}

// point adds what holds from a second on; of several in one second the last counts.
func (t *timelineJSON) point(at int64, c *counts) {
	current, older, none := c.now()
	if n := len(t.Times); n > 0 && t.Times[n-1] == at {
		t.Current[n-1], t.Older[n-1], t.None[n-1] = current, older, none
		return
	}
	t.Times, t.Current, t.Older, t.None = append(t.Times, at), append(t.Current, current), append(t.Older, older), append(t.None, none)
}
