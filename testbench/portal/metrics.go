package portal

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"itlagent/agent/printable"
	"itlagent/testbench/audit"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/portal/roster"
)

// meters are what is counted while pages are served.
type meters struct {
	set *metrics.Set

	mu   sync.Mutex
	next uint64 // number of the first event that was not counted
}

// maxValues bounds the values of a label.
const maxValues = 200

// named writes the name of a metric with its labels. Values are bounded and harmless.
func named(name string, pairs ...string) string {
	var b strings.Builder
	b.WriteString(name + "{")
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		value := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable.Clip(pairs[i+1], 60))
		fmt.Fprintf(&b, `%s="%s"`, pairs[i], value)
	}
	return b.String() + "}"
}

// metrics answers in the text format of Prometheus. No label has the address of a phone.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	ros, st, err := s.source.now(r.Context())
	if err == nil && st != nil {
		err = s.countEvents()
	}
	if err != nil {
		s.o.Logf("pages: metrics: %v", err)
		http.Error(w, "the cluster cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	gauge := func(value float64, name string, pairs ...string) {
		metrics.WriteGaugeFloat64(w, named(name, pairs...), value)
	}
	for _, state := range roster.States() {
		gauge(float64(ros.Count(state)), "itlbench_phones", "state", string(state))
	}
	for _, list := range audit.Statuses() {
		gauge(float64(ros.Listed(list)), "itlbench_phones_by_list", "list", string(list))
	}
	for _, column := range []string{"reason", "node", "model"} {
		all := ros.By(column)
		for _, g := range all[:min(len(all), maxValues)] {
			gauge(float64(g.Count), "itlbench_phones_by_"+column, column, g.Value)
		}
	}
	if st != nil {
		s.clusterMetrics(st, gauge)
	}
	s.meters.set.WritePrometheus(w)
}

func (s *Server) clusterMetrics(st *state.State, gauge func(float64, string, ...string)) {
	const day = 24 * time.Hour
	for _, n := range st.Nodes {
		for _, c := range n.Certificates() {
			gauge(float64(c.Certificate.NotAfter.Sub(st.Now()))/float64(day), "itlbench_certificate_expiry_days", "node", n.Name, "unit", string(c.Unit))
		}
	}
	phones, err := s.o.Cluster.Phones()
	if err != nil {
		return // nodes that are down know nobody
	}
	registered := make(map[string]int)
	for i := range phones {
		if phones[i].Registered {
			registered[phones[i].Node]++
		}
	}
	for _, n := range st.Nodes {
		gauge(float64(registered[n.Name]), "itlbench_registered_phones", "node", n.Name)
	}
}

// countEvents counts the events of the log by their names: DeviceTLInfo are boot cycles after
// which a phone holds another list.
func (s *Server) countEvents() error {
	s.meters.mu.Lock()
	defer s.meters.mu.Unlock()
	all, next, err := s.source.events(s.meters.next)
	if err != nil {
		return err
	}
	s.meters.next = next
	for i := range all {
		s.meters.set.GetOrCreateCounter(named("itlbench_events_total", "name", all[i].Name, "node", all[i].Node)).Inc()
	}
	return nil
}

// took measures an explanation or a plan.
func (s *Server) took(what string, since time.Time) {
	s.meters.set.GetOrCreateHistogram(named("itlbench_seconds", "what", what)).UpdateDuration(since)
}
