package portal

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"itlagent/testbench/events"
)

// alertSeverity is the highest number that counts as an alert, as show alert has it.
const alertSeverity = 4

// maxShown bounds the events on a page.
const maxShown = 200

type eventsBody struct {
	Events      []events.Event
	Alerts      []events.Event
	Found, All  int
	Name, Text  string
	Severity    int
	Severities  []option
	AlertAtMost int
}

func (s *Server) eventsPage(r *http.Request) (*view, error) {
	all, _, err := s.source.events(0)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	b := eventsBody{All: len(all), Name: q.Get("name"), Text: q.Get("q"), Severity: 7, AlertAtMost: alertSeverity}
	if text := q.Get("severity"); text != "" {
		if b.Severity, err = strconv.Atoi(text); err != nil || b.Severity < 0 || b.Severity > 7 {
			return nil, &problem{http.StatusBadRequest, "invalid severity: " + strconv.Quote(text), "Severities are 0, the worst, to 7."}
		}
	}
	for n, label := range []string{"any", "3 and worse", "4 and worse: alerts", "5 and worse"} {
		value := []string{"7", "3", "4", "5"}[n]
		b.Severities = append(b.Severities, option{value, label, value == strconv.Itoa(b.Severity)})
	}
	const alerts = 5
	for _, e := range slices.Backward(all) {
		if e.Severity <= alertSeverity && len(b.Alerts) < alerts {
			b.Alerts = append(b.Alerts, e)
		}
		if e.Severity > b.Severity || b.Name != "" && e.Name != b.Name || b.Text != "" && !strings.Contains(strings.ToLower(e.String()), strings.ToLower(b.Text)) {
			continue
		}
		if b.Found++; b.Found <= maxShown {
			b.Events = append(b.Events, e)
		}
	}
	v := &view{template: "events", Title: "Events and alerts", Nav: "events", Command: s.command("cluster", "events"), Body: b, objects: []any{map[string]int{"found": b.Found, "events": b.All}}}
	for _, e := range b.Events {
		v.objects = append(v.objects, e)
	}
	if q.Get("fragment") != "" {
		v.fragment = "events-table"
	}
	return v, nil
}
