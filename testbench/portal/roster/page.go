package roster

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
)

// PageSize is how many phones stand on a page.
const PageSize = 50

// Query says which phones are wanted, and in which order. Its zero value is the first
// page of all.
type Query struct {
	Text                string // a part of the device name, in any case
	State               State
	List                audit.Status
	Reason, Node, Model *string                // nil for any
	Holding             map[evidence.Hash]bool // one of these lists; nil for any
	Sort                string                 // a column of Columns; "device" where it is none
	Descending          bool
	Number              int // of the page, from 1 on; the nearest one there is
}

// Page is a part of what a query finds.
type Page struct {
	Rows   []*Row
	Found  int // phones on all pages
	Number int
	Pages  int // at least 1
}

// columns are what is sorted by. Rows that are equal in it are in the order of addresses.
var columns = []struct {
	name    string
	compare func(a, b *Row) int
}{
	{"device", func(a, b *Row) int { return slices.Compare(a.MAC[:], b.MAC[:]) }},
	{"model", func(a, b *Row) int { return strings.Compare(a.Model, b.Model) }},
	{"list", func(a, b *Row) int { return strings.Compare(string(a.List), string(b.List)) }},
	{"state", func(a, b *Row) int { return strings.Compare(string(a.State), string(b.State)) }},
	{"reason", func(a, b *Row) int { return strings.Compare(a.Reason, b.Reason) }},
	{"node", func(a, b *Row) int { return strings.Compare(a.Node, b.Node) }},
	{"remedy", func(a, b *Row) int { return strings.Compare(a.Remedy, b.Remedy) }},
	{"reported", func(a, b *Row) int { return a.Reported.Compare(b.Reported) }},
}

// Columns returns the names of the columns that can be sorted by.
func Columns() (names []string) {
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// order returns the rows in ascending order of a column, nil for that of addresses.
func (r *Roster) order(column string) []int32 {
	at := slices.IndexFunc(columns, func(c struct {
		name    string
		compare func(a, b *Row) int
	}) bool {
		return c.name == column
	})
	if at <= 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.orders[column]; ok {
		return o
	}
	o := make([]int32, len(r.rows))
	for i := range o {
		o[i] = int32(i)
	}
	slices.SortFunc(o, func(a, b int32) int {
		return cmp.Or(columns[at].compare(&r.rows[a], &r.rows[b]), cmp.Compare(a, b))
	})
	r.orders[column] = o
	return o
}

// Each calls a function for every phone that a query finds, in its order, until it returns
// false.
func (r *Roster) Each(q *Query, do func(*Row) bool) {
	order := r.order(q.Sort)
	text := strings.ToUpper(strings.TrimSpace(q.Text))
	for i := range r.rows {
		at := i
		if q.Descending {
			at = len(r.rows) - 1 - i
		}
		if order != nil {
			at = int(order[at])
		}
		if row := &r.rows[at]; q.finds(row, text) && !do(row) {
			return
		}
	}
}

func (q *Query) finds(row *Row, text string) bool {
	is := func(want *string, have string) bool { return want == nil || *want == have }
	return (q.State == "" || q.State == row.State) && (q.List == "" || q.List == row.List) &&
		is(q.Reason, row.Reason) && is(q.Node, row.Node) && is(q.Model, row.Model) &&
		(q.Holding == nil || q.Holding[row.ITL]) && (text == "" || row.named(text))
}

// named reports whether a text is part of the device name, without making that.
func (r *Row) named(text string) bool {
	const digits = "0123456789ABCDEF"
	name := [15]byte{'S', 'E', 'P'}
	for i, b := range r.MAC {
		name[3+2*i], name[4+2*i] = digits[b>>4], digits[b&15]
	}
	return bytes.Contains(name[:], []byte(text))
}

// Page returns the page of a query.
func (r *Roster) Page(q Query) Page {
	// The last page is not known before all were looked at: rows of the page that was asked
	// for and those of the last one so far are kept.
	p := Page{Number: max(q.Number, 1)}
	var last []*Row
	r.Each(&q, func(row *Row) bool {
		switch number := p.Found/PageSize + 1; {
		case number == p.Number:
			p.Rows = append(p.Rows, row)
		case number < p.Number:
			if p.Found%PageSize == 0 {
				last = last[:0]
			}
			last = append(last, row)
		}
		p.Found++
		return true
	})
	p.Pages = max((p.Found+PageSize-1)/PageSize, 1)
	if p.Number > p.Pages {
		p.Number, p.Rows = p.Pages, last
	}
	return p
}
