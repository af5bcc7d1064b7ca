package lockout_test

import (
	"fmt"
	"strings"
	"testing"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
)

// large makes a cluster of a release whose records are as long as with keys of 2048 bits.
func large(t *testing.T, release string, nodes int) *cluster.Cluster {
	t.Helper()
	p := profile.Note()
	p.Name, p.Release, p.RecoveryName = "large", release, ""
	p.Bits = make(map[profile.Unit]int)
	for _, u := range []profile.Unit{profile.CallManager, profile.TVS, profile.CAPF, profile.Tomcat, profile.ITLRecovery} {
		p.Bits[u] = 1024
	}
	p.Organisation.OU = strings.Repeat("u", 200)
	p.Nodes = p.Nodes[:1]
	for i := range nodes - 1 {
		p.Nodes = append(p.Nodes, profile.NodeSpec{Name: fmt.Sprintf("sub%d", i), Domain: "example.lab", Absent: map[profile.Service]bool{profile.TFTPService: true}})
	}
	for i := range p.Nodes {
		p.Nodes[i].Host, p.Nodes[i].Port = fmt.Sprintf("127.0.9.%d", i+1), 7000
	}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// An upgrade that makes the ITL larger than phones read is warned of before it happens,
// and a list to which no further node can be added is, too.
func TestListBecomesTooLarge(t *testing.T) {
	c := large(t, "11.5", 39)
	w := lockout.World{c}
	sizes, err := w.ListSizes()
	if err != nil || len(sizes) != 1 || sizes[0].Bytes != len(c.Publisher().ITL()) || sizes[0].Warning() != "" {
		t.Fatalf("%+v, %v; want %d bytes", sizes, err, len(c.Publisher().ITL()))
	}
	if f, err := trustlist.Parse(trustlist.ITL, c.Publisher().ITL()); err != nil || len(f.Records) != sizes[0].Records {
		t.Errorf("%d records, %v", sizes[0].Records, err)
	}
	changes, w, err := lockout.ParseChanges(w, []string{"reset", "upgrade", "12.5"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	phone, _, err := (lockout.Phone{MAC: mac, Model: "CP-7965G", Servers: []string{c.Publisher().Address()}}).Boot(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := lockout.Predict(t.Context(), w, []lockout.Phone{phone}, changes, lockout.Options{Sequence: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Warnings) != 1 || !strings.HasPrefix(plan.Warnings[0], "after step 2 the ITL of test10pub has ") || !strings.HasSuffix(plan.Warnings[0], "phones read 65535 bytes, and refuse it: too-large") {
		t.Errorf("warnings %q", plan.Warnings)
	}
	if got := plan.Phones[0]; got.Reason != trust.TooLarge {
		t.Errorf("the phone: %s, %v", got.Outcome, got.Reason)
	}

	// At the limit: with one node more than fits, and with one fewer.
	small := large(t, "12.5", 30)
	sizes, err = lockout.World{small}.ListSizes()
	if err != nil {
		t.Fatal(err)
	}
	fit := 30 + (trustlist.MaxListSize-sizes[0].Bytes)/sizes[0].Another
	last := sizes[0]
	for nodes, want := range map[int]string{fit - 2: "", fit: "another node does not fit", fit + 1: "too-large"} {
		last.Bytes = sizes[0].Bytes + (nodes-30)*sizes[0].Another
		if got := last.Warning(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%d nodes, %d bytes: %q, want %q", nodes, last.Bytes, got, want)
		}
	}
}
