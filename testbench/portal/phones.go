package portal

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
	"itlagent/testbench/portal/roster"
)

// column is a head of the table of phones.
type column struct {
	Name, Label, URL, Sorted string // Sorted is for aria-sort: "ascending", "descending", or "none"
}

// rowJSON is a phone of the table.
type rowJSON struct {
	Device   string `json:"device"`
	Model    string `json:"model"`
	List     string `json:"list"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Node     string `json:"node"`
	Remedy   string `json:"remedy"`
	Reported int64  `json:"reported"` // Unix seconds; 0 where it is not known
	ITL      string `json:"itl"`
	Note     string `json:"note"`
}

type pageJSON struct {
	Found  int `json:"found"`
	Phones int `json:"phones"` // of the cluster
	Page   int `json:"page"`
	Pages  int `json:"pages"`
}

type option struct {
	Value, Label string
	Chosen       bool
}

type phonesBody struct {
	roster.Page
	All            int
	Columns        []column
	States, Lists  []option
	Chosen         []chosen // further filters
	Query          url.Values
	Sort, Order    string
	First, Prev    string
	Next, Last     string
	From, To       int
	Holding, Place string
}

// chosen is a filter that a link from elsewhere has set, and the address without it.
type chosen struct{ Name, Value, Without string }

var columnLabels = map[string]string{"device": "Device", "model": "Model", "list": "List", "state": "By a reset", "reason": "Reason", "node": "Node", "remedy": "Remedy", "reported": "Reported"}

func hashOf(text string) (h evidence.Hash, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, false
	}
	return evidence.Hash(b), true
}

// queryOf reads a filter. What is not one of the words there are is an error that says so.
func (s *Server) queryOf(ctx context.Context, q url.Values) (out roster.Query, err error) {
	out = roster.Query{Text: q.Get("q"), State: roster.State(q.Get("state")), List: audit.Status(q.Get("list")), Sort: q.Get("sort"), Descending: q.Get("order") == "descending"}
	out.Text = strings.NewReplacer(":", "", "-", "", ".", "").Replace(out.Text) // as addresses are written
	for name, to := range map[string]**string{"reason": &out.Reason, "node": &out.Node, "model": &out.Model} {
		if q.Has(name) {
			value := q.Get(name)
			*to = &value
		}
	}
	bad := func(what, value string) error {
		return &problem{http.StatusBadRequest, what + ": " + strconv.Quote(value), "Choose one from the list on the page of phones."}
	}
	if n := q.Get("page"); n != "" {
		if out.Number, err = strconv.Atoi(n); err != nil {
			return out, bad("invalid page", n)
		}
	}
	switch {
	case out.State != "" && !slices.Contains(roster.States(), out.State):
		return out, bad("invalid state", string(out.State))
	case out.List != "" && !slices.Contains(audit.Statuses(), out.List):
		return out, bad("invalid status of a list", string(out.List))
	case out.Sort != "" && !slices.Contains(roster.Columns(), out.Sort):
		return out, bad("invalid column", out.Sort)
	}
	if text := q.Get("holding"); text != "" {
		h, ok := hashOf(text)
		if !ok {
			return out, bad("invalid hash of a list", text)
		}
		out.Holding = map[evidence.Hash]bool{h: true}
	}
	if text := q.Get("cert"); text != "" {
		out.Holding = s.listsWith(ctx, text)
	}
	return out, nil
}

func (s *Server) phones(r *http.Request) (*view, error) {
	ros, _, err := s.source.now(r.Context())
	if err != nil {
		return nil, err
	}
	values := r.URL.Query()
	q, err := s.queryOf(r.Context(), values)
	if err != nil {
		return nil, err
	}
	p := ros.Page(q)
	b := &phonesBody{Page: p, All: ros.Len(), Query: values, Sort: q.Sort, Order: values.Get("order"), From: (p.Number-1)*roster.PageSize + 1, To: (p.Number-1)*roster.PageSize + len(p.Rows)}
	b.fill(values, &q)
	v := &view{template: "phones", Title: "Phones", Nav: "phones", Command: s.command("audit", "--all"), Body: b,
		objects: []any{pageJSON{p.Found, ros.Len(), p.Number, p.Pages}}}
	for _, row := range p.Rows {
		v.objects = append(v.objects, rowOf(row))
	}
	if values.Get("fragment") != "" {
		v.fragment = "phones-table"
	}
	return v, nil
}

func rowOf(row *roster.Row) rowJSON {
	out := rowJSON{Device: row.Device(), Model: row.Model, List: string(row.List), State: string(row.State), Reason: row.Reason, Node: row.Node, Remedy: row.Remedy, ITL: row.ITL.String(), Note: row.Note}
	if !row.Reported.IsZero() {
		out.Reported = row.Reported.Unix()
	}
	return out
}

// fill makes the heads, choices and links of the table.
func (b *phonesBody) fill(values url.Values, q *roster.Query) {
	for _, name := range roster.Columns() {
		c := column{Name: name, Label: columnLabels[name], Sorted: "none", URL: with(values, "sort", name, "order", "", "page", "")}
		if name == q.Sort || name == "device" && q.Sort == "" {
			if c.Sorted = "descending"; !q.Descending {
				c.Sorted, c.URL = "ascending", with(values, "sort", name, "order", "descending", "page", "")
			}
		}
		b.Columns = append(b.Columns, c)
	}
	for _, state := range roster.States() {
		b.States = append(b.States, option{string(state), string(state), state == q.State})
	}
	for _, list := range audit.Statuses() {
		b.Lists = append(b.Lists, option{string(list), string(list), list == q.List})
	}
	for _, name := range []string{"reason", "node", "model", "holding", "cert"} {
		if values.Has(name) {
			b.Chosen = append(b.Chosen, chosen{name, values.Get(name), with(values, name, "", "page", "")})
		}
	}
	page := func(n int) string { return with(values, "page", strconv.Itoa(n)) }
	if b.Number > 1 {
		b.First, b.Prev = page(1), page(b.Number-1)
	}
	if b.Number < b.Pages {
		b.Next, b.Last = page(b.Number+1), page(b.Pages)
	}
}

// sorted puts rows in the order of their addresses, the last one of each.
func sorted(rows []roster.Row) []roster.Row {
	slices.SortStableFunc(rows, func(a, b roster.Row) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
	out := rows[:0]
	for i := range rows {
		if i+1 < len(rows) && rows[i].MAC == rows[i+1].MAC {
			continue
		}
		out = append(out, rows[i])
	}
	return out
}
