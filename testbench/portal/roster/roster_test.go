package roster_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
	"itlagent/testbench/portal/roster"
)

func rows(n int) (all []roster.Row) {
	for i := range n {
		r := roster.Row{State: roster.States()[i%5], List: audit.Statuses()[i%4], Model: fmt.Sprint("CP-", i%3), Node: fmt.Sprint("n", i%7), Reason: fmt.Sprint("r", i%5)}
		binary.BigEndian.PutUint32(r.MAC[2:], uint32(i))
		r.ITL[0] = byte(i % 2)
		all = append(all, r)
	}
	return all
}

// Every phone that a filter lets through stands on exactly one page, in order.
func TestPages(t *testing.T) {
	const n = 1003
	r := roster.New(rows(n), time.Time{})
	node := "n3"
	for _, q := range []roster.Query{{}, {State: roster.Locked}, {List: audit.Foreign, Sort: "model"}, {Node: &node, Descending: true}, {Text: "sep00000000001"},
		{Text: "none such"}, {Sort: "reason", Descending: true}, {Sort: "no column"}, {Holding: map[evidence.Hash]bool{{1}: true}}} {
		want := 0
		r.Each(&q, func(*roster.Row) bool { want++; return true })
		seen, pages := make(map[evidence.MAC]bool), 1
		for q.Number = 1; q.Number <= pages; q.Number++ {
			p := r.Page(q)
			if pages = p.Pages; p.Found != want || p.Number != q.Number {
				t.Fatalf("%+v: page %d finds %d, want %d", q, p.Number, p.Found, want)
			}
			for _, row := range p.Rows {
				seen[row.MAC] = true
			}
		}
		if len(seen) != want {
			t.Errorf("%+v: %d phones on %d pages, want %d", q, len(seen), pages, want)
		}
		last := r.Page(q)
		q.Number = 1 << 40
		if p := r.Page(q); p.Number != pages || len(p.Rows) != len(last.Rows) {
			t.Errorf("%+v: past the end there is page %d with %d rows, want %d with %d", q, p.Number, len(p.Rows), pages, len(last.Rows))
		}
	}
	if got := r.Count(roster.Trusted); got != 201 {
		t.Errorf("%d trusted, want 201", got)
	}
	if g := r.By("node"); len(g) != 7 || g[0].Count < g[6].Count {
		t.Errorf("by node: %v", g)
	}
	if r.Find(evidence.MAC{0, 0, 0, 0, 3, 0xea}) == nil || r.Find(evidence.MAC{9}) != nil {
		t.Error("a phone is not found by its address, or one that is not there is")
	}
}

// Sorting orders all, and a page of a hundred thousand phones takes memory for itself alone.
func TestMemory(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	r := roster.New(rows(n), time.Time{})
	before := ""
	r.Each(&roster.Query{Sort: "model"}, func(row *roster.Row) bool {
		if row.Model < before {
			t.Fatalf("%s behind %s", row.Model, before)
		}
		before = row.Model
		return true
	})
	for number := 1; number < 2000; number *= 40 {
		if n := testing.AllocsPerRun(1, func() { r.Page(roster.Query{Sort: "model", Number: number, State: roster.Locked}) }); n > 40 {
			t.Errorf("page %d: %v allocations", number, n)
		}
	}
}
