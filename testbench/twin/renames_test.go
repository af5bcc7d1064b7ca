package twin_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/twin"
)

// A publisher that was renamed is still the publisher, although ITLRecovery has its old name and
// lists that are prepared for a rollback name no node but their own: older lists tell.
func TestRenamedPublisher(t *testing.T) {
	for seed, row := range []struct{ release, more, last string }{
		{"10.5", "", "rollback on"}, {"10.5", "rename fresher@sub", "rollback on"},
		{"14", "", ""}, // one TVS certificate serves all, and has the name of the other node
	} {
		r := rand.New(rand.NewPCG(uint64(seed), 4)) // which lists are files, and which are text
		x := &course{c: fresh(t, row.release)}
		pub := x.c.Publisher().Name()
		for _, words := range []string{"rename fresh@pub", "regen TVS@sub", row.more, row.last} {
			if words == "" {
				continue
			}
			if err := x.do(words, r); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range x.c.Nodes() {
			if err := x.c.Apply(operation.RestartTFTP(n.Name())); err != nil {
				t.Fatal(err)
			}
		}
		kept := x.export(t, r)
		tw, err := twin.New(kept, twin.Options{Now: x.c.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := tw.Cluster.Publisher().Name(), x.c.Publisher().Name(); got != want || want == pub {
			t.Errorf("seed %d: the publisher of the copy is %s, want %s; notes %q", seed, got, want, tw.Notes)
		}
		tw.Cluster.Close()
	}
}

// A node whose list is byte for byte that of another one is not lost where one TVS certificate
// serves all, so that no list names the nodes: its folder does.
func TestEqualLists(t *testing.T) {
	x := &course{c: fresh(t, "14")}
	if err := x.do("itl-reset", nil); err != nil {
		t.Fatal(err)
	}
	items := slices.DeleteFunc(x.export(t, rand.New(rand.NewPCG(1, 4))), func(it *recogniser.Item) bool { return strings.HasPrefix(it.Name, "old/") })
	tw, err := twin.New(items, twin.Options{Now: x.c.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer tw.Cluster.Close()
	for _, n := range x.c.Nodes() {
		if _, err := tw.Cluster.Node(n.Name()); err != nil {
			t.Error(err)
		}
	}
}

// Before 12.5 every node has an ITLRecovery of its own: the publisher's counts, although that of
// another node is newer and may have the same name.
func TestRecoveryOfPublisher(t *testing.T) {
	x := &course{c: fresh(t, "10.5")}
	if err := x.do("regen ITLRecovery@all", rand.New(rand.NewPCG(1, 4))); err != nil {
		t.Fatal(err)
	}
	tw, err := twin.New(x.export(t, rand.New(rand.NewPCG(1, 4))), twin.Options{Now: x.c.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer tw.Cluster.Close()
	if got, want := tw.Cluster.State().Recovery().Certificate, x.c.State().Recovery().Certificate; !got.Equal(want) {
		t.Errorf("ITLRecovery of the copy has serial %x, want %x", got.SerialNumber, want.SerialNumber)
	}
}
