package portal

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"itlagent/agent/printable"
	"itlagent/testbench/audit"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/portal/roster"
	"itlagent/testbench/wording"
)

// source is where the phones come from: a cluster and what its phones report, or an audit
// that was saved.
type source struct {
	c *cluster.Cluster // nil for a saved audit

	mu      sync.Mutex
	reports *evidence.Reports
	next    uint64       // number of the first event that reports do not know
	of      *state.State // that roster and judge are of
	judge   *audit.Judge
	roster  *roster.Roster
	stale   bool          // reports know more than the roster
	took    time.Duration // making the roster
}

// now brings the roster to what the cluster knows now, and returns it with the state that it
// is of. So that a large one leaves the machine time for phones, it is made at most a
// tenth of the time; an older one is returned meanwhile. A small one is never old.
func (s *source) now(ctx context.Context) (*roster.Roster, *state.State, error) {
	if s.c == nil {
		return s.roster, nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	const (
		idle  = 9    // times as long as it takes to make a roster
		large = 5000 // phones; fewer are looked at whenever a page is asked for
	)
	if s.roster != nil && s.roster.Len() > large && time.Since(s.roster.At) < idle*s.took {
		return s.roster, s.of, nil
	}
	if err := s.hear(); err != nil {
		return nil, nil, err
	}
	st := s.c.State()
	if s.roster != nil && st == s.of && !s.stale {
		return s.roster, s.of, nil
	}
	begin := time.Now()
	if st != s.of {
		s.judge, s.of = audit.NewJudge(context.WithoutCancel(ctx), lockout.World{s.c}), st
	}
	models := make(map[string]string, len(st.Phones))
	for i := range st.Phones {
		models[st.Phones[i].MAC] = st.Phones[i].Model
	}
	rows := make([]roster.Row, 0, len(models))
	for p, err := range s.judge.Phones(s.reports) {
		if err != nil {
			s.of = nil // the judge may know half of it
			return nil, nil, err
		}
		rows = append(rows, roster.Of(p, models[p.MAC.String()]))
	}
	s.roster, s.stale = roster.New(rows, time.Now()), false
	s.took = time.Since(begin)
	return s.roster, s.of, nil
}

// hear adds what phones have reported since. The caller holds mu.
func (s *source) hear() error {
	log := s.c.Events()
	if s.reports == nil {
		_, next, err := log.Since(1 << 62)
		if err != nil {
			return err
		}
		if s.reports, err = evidence.ClusterReports(s.c); err != nil {
			s.reports = nil
			return err
		}
		s.next, s.stale = next, true
	}
	all, next, err := log.Since(s.next)
	if err != nil {
		return err
	}
	if len(all) > 0 && all[0].Seq > s.next || len(all) == 0 && next > s.next { // some are no longer in memory
		s.reports = nil
		return s.hear()
	}
	for i := range all {
		if all[i].Name != evidence.AlarmName {
			continue
		}
		s.stale = true
		if err := s.reports.AddEvent(&all[i]); err != nil {
			return err
		}
	}
	s.next = next
	return nil
}

// events returns the events that are in memory from a number on.
func (s *source) events(from uint64) ([]events.Event, uint64, error) {
	if s.c == nil {
		return nil, 0, nil
	}
	return s.c.Events().Since(from)
}

// mark changes whenever a page may look different.
func (s *source) mark() (m struct {
	state *state.State
	next  uint64
}) {
	if s.c != nil {
		m.state = s.c.State()
		_, m.next, _ = s.c.Events().Since(1 << 62)
	}
	return m
}

// savedAudit reads what `audit --json` wrote.
func savedAudit(path string) (*roster.Roster, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows []roster.Row
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, evidence.MaxLine)
	for n := 1; lines.Scan(); n++ {
		var p wording.AuditedJSON
		var of struct{ Device string } // "" in the totals
		err := json.Unmarshal(lines.Bytes(), &of)
		if err == nil && of.Device != "" {
			err = json.Unmarshal(lines.Bytes(), &p)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: not what audit --json writes: %w", path, n, printable.Error(err))
		}
		if of.Device == "" {
			continue
		}
		if len(rows) == evidence.MaxPhones {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, evidence.ErrTooMany)
		}
		row, err := savedRow(&p)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		rows = append(rows, row)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s: not what audit --json writes: a line of more than %d bytes", path, evidence.MaxLine)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(rows) == 0:
		return nil, fmt.Errorf("%s: not what audit --json writes: it tells of no phone", path)
	}
	return roster.New(sorted(rows), time.Now()), nil
}

func savedRow(p *wording.AuditedJSON) (row roster.Row, err error) {
	mac, ok := evidence.ParseMAC(p.Device)
	if !ok {
		return row, fmt.Errorf("invalid device name %.40q", p.Device)
	}
	row = roster.Row{MAC: mac, State: roster.Unknown, List: audit.Status(p.Status), Node: p.Node, Reason: p.Reason, Remedy: p.Remedy, Note: p.Note}
	if p.Reported != 0 {
		row.Reported = time.Unix(p.Reported, 0)
	}
	if hash, err := hex.DecodeString(p.ITL); err == nil && len(hash) == len(row.ITL) {
		row.ITL = evidence.Hash(hash)
	}
	switch {
	case p.Follows == nil:
	case *p.Follows:
		row.State = roster.Trusted
	case p.Mute:
		row.State = roster.Mute
	case p.Locked:
		row.State = roster.Locked
	default:
		row.State = roster.Unserved
	}
	return row, nil
}
