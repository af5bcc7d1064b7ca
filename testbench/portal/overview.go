package portal

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"itlagent/testbench/audit"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/portal/roster"
)

// count is a number that opens its list.
type count struct {
	Label string `json:"label"`
	Count int    `json:"count"`
	About string `json:"-"`
	URL   string `json:"-"`
}

// change is a change of what the nodes serve.
type change struct {
	At    time.Time `json:"at"`
	Node  string    `json:"node"`
	Kind  string    `json:"kind"`
	What  string    `json:"what"`
	SHA1  string    `json:"sha1"`
	Until time.Time `json:"until"`
	Now   bool      `json:"servedNow"`
	Held  int       `json:"phones"` // that hold this list
	URL   string    `json:"-"`
}

type overviewBody struct {
	Phones  int      `json:"phones"`
	States  []count  `json:"states"`
	Lists   []count  `json:"lists"`
	Reasons []count  `json:"reasons"`
	Nodes   []count  `json:"nodes"`
	Models  []count  `json:"models"`
	Changes []change `json:"changes"`
	Saved   bool     `json:"-"`
}

// aboutState and aboutList say what the words of audit mean.
var (
	aboutState = map[roster.State]string{
		roster.Trusted: "a reset has them trust their cluster", roster.Locked: "a list of their own keeps them from following",
		roster.Unserved: "they hold no list, and get nothing that they can use", roster.Mute: "they trust their cluster, and no call manager shows a certificate that their lists have",
		roster.Unknown: "nothing is known of them, or no known cluster has served their lists",
	}
	aboutList = map[audit.Status]string{
		audit.Current: "a node serves it now", audit.Stale: "the cluster served it before", audit.Foreign: "this cluster never served it",
		audit.None: "the phone has none", audit.Unknown: "nothing is known, or reports contradict each other",
	}
)

func (s *Server) overview(r *http.Request) (*view, error) {
	ros, st, err := s.source.now(r.Context())
	if err != nil {
		return nil, err
	}
	b := overviewBody{Phones: ros.Len(), Saved: st == nil, Changes: []change{}}
	for _, state := range roster.States() {
		b.States = append(b.States, count{string(state), ros.Count(state), aboutState[state], "/phones?" + url.Values{"state": {string(state)}}.Encode()})
	}
	for _, list := range audit.Statuses() {
		b.Lists = append(b.Lists, count{string(list), ros.Listed(list), aboutList[list], "/phones?" + url.Values{"list": {string(list)}}.Encode()})
	}
	for column, to := range map[string]*[]count{"reason": &b.Reasons, "node": &b.Nodes, "model": &b.Models} {
		*to = []count{}
		const most = 12 // that fit on a page
		for _, g := range ros.By(column)[:min(most, len(ros.By(column)))] {
			*to = append(*to, count{g.Value, g.Count, "", "/phones?" + url.Values{column: {g.Value}}.Encode()})
		}
	}
	if st != nil {
		b.Changes = changesOf(st, ros)
	}
	v := &view{template: "overview", Title: "Overview", Nav: "overview", Command: s.command("audit"), Body: b, objects: []any{b}}
	if r.URL.Query().Get("fragment") != "" {
		v.fragment = "overview-numbers"
	}
	return v, nil
}

// changesOf returns the last changes of what is served, the newest first.
func changesOf(st *state.State, ros *roster.Roster) (all []change) {
	const most = 20
	lists := st.Lists()
	slices.Reverse(lists)
	for _, l := range lists[:min(most, len(lists))] {
		c := change{At: l.Since, Node: st.Nodes[l.Node].Name, Kind: l.Kind.String(), What: l.Reason, SHA1: l.SHA1, Until: l.Until, Now: l.Until.IsZero(), URL: "/phones?" + url.Values{"holding": {l.SHA1}}.Encode()}
		if h, ok := hashOf(l.SHA1); ok {
			c.Held = ros.Holding(h)
		}
		all = append(all, c)
	}
	return all
}
