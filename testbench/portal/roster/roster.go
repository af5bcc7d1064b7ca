// Package roster is every phone of a cluster in one table, as it was at one time: how
// many are in which state, and pages of those that a filter lets through, sorted.
//
//	r := roster.New(rows, time.Now())
//	fmt.Println(r.Count(roster.Locked), "of", r.Len())
//	page := r.Page(roster.Query{State: roster.Locked, Sort: "node", Number: 2})
//
// A Roster is made once and never changed, and safe for concurrent use. It keeps some
// 200 bytes a phone and, for each column that was sorted by, 4 more; a page takes memory
// for its own rows and no more, however many phones there are.
package roster

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"itlagent/agent/trust"
	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
)

// State is what becomes of a phone that resets.
type State string

// The states, in the words of audit.
const (
	Trusted  State = "trusted"
	Locked   State = "locked"
	Unserved State = "unserved"        // it holds no list, and gets nothing that it can use
	Mute     State = "cannot-register" // it trusts its cluster
	Unknown  State = "not-known"
)

// States returns all of them.
func States() []State { return []State{Trusted, Locked, Unserved, Mute, Unknown} }

// Row is one phone.
type Row struct {
	MAC      evidence.MAC
	State    State
	List     audit.Status
	ITL      evidence.Hash
	Model    string // "" where it is not known
	Node     string // that serves its list, or served it
	Reason   string // of what a reset comes to; "" where that is not known
	Remedy   string // the stable word of the first one
	Note     string
	Reported time.Time
}

// Device returns the name of the phone.
func (r *Row) Device() string { return "SEP" + r.MAC.String() }

// Of returns the row of a phone that was audited.
func Of(p *audit.Phone, model string) Row {
	r := Row{MAC: p.MAC, State: Unknown, List: p.Status, ITL: p.ITL, Model: model, Node: p.Node, Note: p.Note, Reported: p.Reported}
	if p.Remedy != nil {
		r.Remedy = p.Remedy.Name
	}
	if !p.Judged {
		return r
	}
	r.Reason = p.Verdict.String()
	switch {
	case p.CannotRegister:
		r.State = Mute
	case p.Verdict == trust.Accepted:
		r.State = Trusted
	case p.Locked:
		r.State = Locked
	default:
		r.State = Unserved
	}
	return r
}

// Roster is the table.
type Roster struct {
	At     time.Time // when it was made
	rows   []Row     // in the order of addresses
	states map[State]int
	lists  map[audit.Status]int
	by     map[string]map[string]int // column, value
	held   map[evidence.Hash]int

	mu     sync.Mutex
	orders map[string][]int32 // rows in ascending order of a column
}

// New makes a roster of rows in the order of their addresses, which it keeps.
func New(rows []Row, at time.Time) *Roster {
	r := &Roster{At: at, rows: rows, states: make(map[State]int), lists: make(map[audit.Status]int), by: make(map[string]map[string]int),
		held: make(map[evidence.Hash]int), orders: make(map[string][]int32)}
	for _, column := range grouped {
		r.by[column] = make(map[string]int)
	}
	for i := range rows {
		row := &rows[i]
		r.states[row.State]++
		r.lists[row.List]++
		r.by["node"][row.Node]++
		r.by["model"][row.Model]++
		r.by["reason"][row.Reason]++
		if row.ITL != (evidence.Hash{}) {
			r.held[row.ITL]++
		}
	}
	return r
}

// grouped are the columns that phones are counted by.
var grouped = []string{"reason", "node", "model"}

// Len returns how many phones there are.
func (r *Roster) Len() int { return len(r.rows) }

// Count returns how many phones are in a state.
func (r *Roster) Count(s State) int { return r.states[s] }

// Listed returns how many phones hold a list of a status.
func (r *Roster) Listed(s audit.Status) int { return r.lists[s] }

// Holding returns how many phones hold a list.
func (r *Roster) Holding(list evidence.Hash) int { return r.held[list] }

// Lists returns the lists that phones hold.
func (r *Roster) Lists() (all []evidence.Hash) {
	for list := range r.held {
		all = append(all, list)
	}
	return all
}

// Group is the phones that have one value in a column.
type Group struct {
	Value string
	Count int
}

// By counts phones by a column: "reason", "node" or "model"; the largest group first.
func (r *Roster) By(column string) (all []Group) {
	for value, n := range r.by[column] {
		all = append(all, Group{value, n})
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Value, b.Value)) })
	return all
}

// Find returns the row of a phone, or nil.
func (r *Roster) Find(mac evidence.MAC) *Row {
	at, ok := slices.BinarySearchFunc(r.rows, mac, func(row Row, m evidence.MAC) int { return slices.Compare(row.MAC[:], m[:]) })
	if !ok {
		return nil
	}
	return &r.rows[at]
}
