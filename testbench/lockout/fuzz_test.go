package lockout_test

import (
	"strings"
	"testing"

	"itlagent/testbench/cluster"
	"itlagent/testbench/lockout"
)

// Words become changes that can be written again, or one line that says why not.
func FuzzChanges(f *testing.F) {
	w := lockout.World{paperCluster(f, "note", 8)}
	f.Add("regen CallManager@pub reset regen TVS@all")
	f.Add("rename host x@sub upgrade 12.5 migrate other fips on@pub rollback off itl-reset restart tvs")
	f.Fuzz(func(t *testing.T, words string) {
		changes, world, err := lockout.ParseChanges(w, []string{words}, func(string) (*cluster.Cluster, error) { return w[0], nil })
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		for i := range changes {
			if changes[i].Text == "" || len(changes[i].Actions()) == 0 && !changes[i].Reset {
				t.Fatalf("%q: change %d is empty", words, i)
			}
			changes[i].Commands(world)
		}
	})
}
