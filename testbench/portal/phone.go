package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/portal/roster"
	"itlagent/testbench/wording"
)

type phoneBody struct {
	Row       *roster.Row
	Explained *wording.ExplanationJSON // nil where nothing can be said
	Full      string                   // what itlbench explain prints
	Why       string                   // nothing can be said
	Partial   bool
	Registers *registrar.Phone // nil where it is not known
	Alarm     *events.Event    // the last one about its lists, as far as the log goes
	Lists     []heldList
	Saved     bool
}

// heldList is a list that the phone holds.
type heldList struct{ Kind, SHA1, Status, By, Size string }

// phoneJSON is what is known of a phone, beside its explanation.
type phoneJSON struct {
	rowJSON
	Registered bool   `json:"registered"`
	With       string `json:"with"`
	Why        string `json:"why"` // it cannot be explained
}

func (s *Server) phone(r *http.Request) (*view, error) {
	ros, st, err := s.source.now(r.Context())
	if err != nil {
		return nil, err
	}
	device := r.PathValue("device")
	mac, ok := evidence.ParseMAC(device)
	if !ok {
		return nil, notFound("Device names are like SEP64A0E71502CC; the table of phones has all.", "invalid device name %s", printable.Clip(device, 60))
	}
	row := ros.Find(mac)
	if row == nil {
		return nil, notFound("Nothing was reported by it, and the cluster does not know it: itlbench cluster phone add makes it known.", "this cluster has no phone %s", device)
	}
	b := phoneBody{Row: row, Saved: st == nil}
	out := phoneJSON{rowJSON: rowOf(row)}
	v := &view{template: "phone", Title: device, Nav: "phones", Command: s.command("explain", "--mac", row.MAC.String())}
	if st != nil {
		ex, err := s.explain(r.Context(), st, row)
		switch {
		case errors.Is(err, evidence.ErrUnknownList), errors.Is(err, evidence.ErrSilent), errors.Is(err, evidence.ErrDisputed):
			b.Why = "nothing can be said: " + err.Error()
		case err != nil:
			return nil, err
		default:
			explained := wording.ExplanationOf(ex)
			b.Explained, b.Partial = &explained, ex.Partial
			var full strings.Builder
			wording.Explanation(&full, ex, true)
			b.Full = full.String()
			v.objects = append(v.objects, explained)
		}
		if err := s.around(st, row, &b); err != nil {
			return nil, err
		}
	}
	if b.Registers != nil {
		out.Registered, out.With = b.Registers.Registered, b.Registers.Node
	}
	out.Why = b.Why
	v.Body, v.objects = &b, append(v.objects, out)
	return v, nil
}

// explain explains a phone by what it has reported last.
func (s *Server) explain(ctx context.Context, st *state.State, row *roster.Row) (*lockout.Explanation, error) {
	key := row.Device() + " " + row.ITL.String() + " " + row.Reported.String()
	if ex, ok := s.said.get(st, key); ok {
		return ex, nil
	}
	s.source.mu.Lock()
	last, reported, err := s.source.reports.Last(row.MAC)
	s.source.mu.Unlock()
	if err == nil && !reported {
		err = &silent{row.Device()}
	}
	if err != nil {
		return nil, err
	}
	ctx, done, err := s.atWork(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	w := lockout.World{s.o.Cluster}
	p, notes, err := evidence.Recall(w, row.MAC.String(), last.ITL.String(), last.CTL.String())
	if err != nil {
		return nil, err
	}
	defer s.took("explain", time.Now())
	ex, err := lockout.Explain(ctx, w, p, lockout.Hints{Open: true})
	if err != nil {
		return nil, err
	}
	ex.Notes = append(notes, ex.Notes...)
	s.said.put(st, key, ex)
	return ex, nil
}

// silent is ErrSilent of a phone, in the words of explain.
type silent struct{ device string }

func (e *silent) Error() string { return e.device + " " + evidence.ErrSilent.Error() }
func (e *silent) Unwrap() error { return evidence.ErrSilent }

// around adds what else is known of a phone.
func (s *Server) around(st *state.State, row *roster.Row, b *phoneBody) error {
	phones, err := s.o.Cluster.Phones()
	if err != nil {
		return err
	}
	for i := range phones {
		if phones[i].Device == row.Device() {
			b.Registers = &phones[i]
		}
	}
	all, _, err := s.source.events(0)
	if err != nil {
		return err
	}
	for i := len(all) - 1; i >= 0 && b.Alarm == nil; i-- {
		if all[i].Name == evidence.AlarmName && all[i].Tag("DeviceName") == row.Device() {
			b.Alarm = &all[i]
		}
	}
	s.source.mu.Lock()
	last, reported, err := s.source.reports.Last(row.MAC)
	s.source.mu.Unlock()
	if err != nil || !reported {
		return nil // which the page says
	}
	for _, held := range []struct {
		kind string
		hash evidence.Hash
	}{{"CTL", last.CTL}, {"ITL", last.ITL}} {
		l := heldList{Kind: held.kind, SHA1: held.hash.String(), Status: "none installed", By: "-"}
		if l.SHA1 != "" {
			l.Status, l.By = servedBy(st, l.SHA1)
		}
		b.Lists = append(b.Lists, l)
	}
	return nil
}

// servedBy says which nodes serve a list, or served it last.
func servedBy(st *state.State, sha1 string) (status, by string) {
	var now []string
	status, by = "never served by this cluster", "-"
	for _, l := range st.Lists() {
		if l.SHA1 != sha1 {
			continue
		}
		name := st.Nodes[l.Node].Name
		if l.Until.IsZero() {
			now = append(now, name)
		}
		status, by = "served until "+l.Until.UTC().Format("2006-01-02 15:04:05"), name
	}
	if now != nil {
		return "served now", strings.Join(now, ", ")
	}
	return status, by
}
