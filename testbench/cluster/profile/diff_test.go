package profile_test

import (
	"slices"
	"testing"

	"itlagent/testbench/cluster/profile"
)

// A difference of names in certificates is said as lists print names.
func TestDiffOfOrganisations(t *testing.T) {
	have, err := profile.Parse([]byte(`{release: "14", organisation: {ou: tac, o: cisco, c: US}, nodes: [{name: pub, role: publisher}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := have
	want.Organisation.OU, want.Organisation.O, want.Organisation.C = "", "", ""
	for _, test := range []struct {
		from, to *profile.Profile
		text     string
	}{{&have, &want, "organisation: OU=tac;O=cisco;C=US, not none"}, {&want, &have, "organisation: none, not OU=tac;O=cisco;C=US"}} {
		all := test.from.Diff(test.to)
		if !slices.ContainsFunc(all, func(d profile.Difference) bool { return d.String() == test.text }) {
			t.Errorf("%v, want %s", all, test.text)
		}
	}
}
