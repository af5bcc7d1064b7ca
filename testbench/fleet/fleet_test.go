package fleet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/fleet"
)

// start runs a cluster that knows the phones of a fleet.
func start(t *testing.T, count int) (*cluster.Cluster, fleet.Spec) {
	t.Helper()
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	spec := fleet.Spec{First: "001122000000", Count: count, Models: []string{"CP-7965G", "CP-8861"}, AtOnce: 8, Interval: 24 * time.Hour}
	if err := c.Apply(operation.AddPhones(spec.Phones())); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		spec.Servers = append(spec.Servers, n.Address())
	}
	return c, spec
}

func newFleet(t *testing.T, spec fleet.Spec, o fleet.Options) *fleet.Fleet {
	t.Helper()
	f, err := fleet.New(spec, fleet.Whole, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// compared wants every phone to be as what it held before predicts, on its cluster as it
// is now.
func compared(t *testing.T, c *cluster.Cluster, f *fleet.Fleet, before *fleet.Paper) {
	t.Helper()
	out, err := before.Compare(t.Context(), c, f.Results())
	if err != nil || out.Wrong != 0 || out.Unexplained != 0 {
		t.Fatalf("%d wrong, %d unexplained: %v, %v", out.Wrong, out.Unexplained, out.Examples, err)
	}
}

func paper(t *testing.T, f *fleet.Fleet) *fleet.Paper {
	t.Helper()
	p, err := f.Paper()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// until waits for something that other goroutines bring.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// lock regenerates what phones trust, behind their backs.
func lock(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	var ops []operation.Operation
	for _, n := range c.Nodes() { // half of the phones ask the subscriber first
		ops = append(ops, operation.Regenerate(n.Name(), profile.CallManager))
	}
	ops = append(ops, operation.Advance(6*time.Minute))
	for _, n := range c.Nodes() {
		ops = append(ops, operation.Regenerate(n.Name(), profile.TVS), operation.RestartTVS(n.Name()))
	}
	for _, n := range c.Nodes() {
		ops = append(ops, operation.RestartTFTP(n.Name()))
	}
	for _, op := range ops {
		if err := c.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
}

// Phones boot from addresses of their own, at most so many at once, and what they hold is
// what was predicted of phones that hold nothing.
func TestBoot(t *testing.T) {
	c, spec := start(t, 120)
	spec.Source, spec.MICs, spec.AtOnce = "127.0.0.0/8", 2, 5
	spec.Ramp, spec.Jitter = 50*time.Millisecond, 10*time.Millisecond
	f := newFleet(t, spec, fleet.Options{})
	before := paper(t, f)
	most, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for n := f.Count(); n.State[fleet.Trusted] < n.Phones && t.Context().Err() == nil; n = f.Count() {
			most = max(most, n.InCycle)
		}
	}()
	if err := f.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	if most == 0 || most > spec.AtOnce {
		t.Errorf("%d in a boot cycle at once, want 1 to %d", most, spec.AtOnce)
	}
	compared(t, c, f, before)
	n := f.Count()
	if n.State[fleet.Trusted] != spec.Count || n.Boots != spec.Count || len(n.Reasons) != 0 {
		t.Errorf("%+v", n)
	}
	s := fleet.Summarize(spec.Count, f.Results(), n.Boots, f.Busy())
	if s.Trusted != spec.Count || s.Unbooted != 0 || s.Times.Max <= 0 || s.PerSecond <= 0 {
		t.Errorf("%+v", s)
	}
}

// Registered phones follow the resets of a cluster that locks them and recovers them by
// the steps of the CUCM 10.0 note: the count goes from none to all.
func TestLockedAndRecovered(t *testing.T) {
	c, spec := start(t, 40)
	spec.Register = true
	f := newFleet(t, spec, fleet.Options{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	defer func() { stop(); <-done }()
	count := func(state fleet.State, boots int) func() bool {
		return func() bool {
			n := f.Count()
			return n.State[state] == spec.Count && n.Registered == spec.Count && f.Through(boots)
		}
	}
	until(t, "all trust and are registered", count(fleet.Trusted, 1))
	compared(t, c, f, paper(t, f))

	lock(t, c)
	f.Reset()
	until(t, "all are locked", count(fleet.Locked, 2))
	compared(t, c, f, paper(t, f))
	if n := f.Count(); n.State[fleet.Trusted] != 0 || n.Reasons["tvs-untrusted"] != spec.Count {
		t.Fatalf("%+v", n)
	}

	before := paper(t, f)
	if err := c.Apply(operation.ResetITL(nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(operation.Reset(state.Order{Action: "reset", Rate: 1000}, "the list was reset")); err != nil {
		t.Fatal(err)
	}
	until(t, "all trust again", func() bool { n := f.Count(); return n.State[fleet.Trusted] == spec.Count && n.InCycle == 0 })
	compared(t, c, f, before)
	until(t, "all are registered again", func() bool { return f.Count().Registered == spec.Count })

	stop()
	<-done
	phones, err := c.Phones()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range phones {
		if p.Registered {
			t.Errorf("%s is registered after the end", p.Device)
		}
	}
}

// What phones hold in directories is there in the next run; a phone that is in use is
// refused.
func TestDirectory(t *testing.T) {
	c, spec := start(t, 6)
	o := fleet.Options{Dir: filepath.Join(t.TempDir(), "phones")}
	f := newFleet(t, spec, o)
	if err := f.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.New(spec, fleet.Range{From: 5, To: 6}, o); err == nil {
		t.Error("a phone runs twice in one directory")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(o.Dir); err != nil || len(entries) != spec.Count {
		t.Errorf("%d directories, %v", len(entries), err)
	}
	lock(t, c)
	again := newFleet(t, spec, o)
	before := paper(t, again)
	if err := again.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	compared(t, c, again, before)
	if n := again.Count(); n.State[fleet.Locked] != spec.Count {
		t.Errorf("%+v: the phones hold the lists of the run before", n)
	}
}

// A range is a part of the fleet; none overlaps another one.
func TestRanges(t *testing.T) {
	_, spec := start(t, 10)
	seen := make(map[string]bool)
	for _, r := range fleet.Ranges(spec.Count, 4) {
		f, err := fleet.New(spec, r, fleet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, res := range f.Results() {
			if seen[res.Device] {
				t.Errorf("%s is in two ranges", res.Device)
			}
			seen[res.Device] = true
		}
		f.Close()
	}
	if len(seen) != spec.Count {
		t.Errorf("%d phones in the ranges, want %d", len(seen), spec.Count)
	}
	for _, r := range []fleet.Range{{From: -1, To: 2}, {From: 3, To: 3}, {From: 5, To: 11}, {From: 4, To: 1}} {
		if _, err := fleet.New(spec, r, fleet.Options{}); !errors.Is(err, fleet.ErrRange) {
			t.Errorf("%v: %v", r, err)
		}
	}
}

// Each phone that something else was predicted of is counted.
func TestUnexplained(t *testing.T) {
	c, spec := start(t, 5)
	f := newFleet(t, spec, fleet.Options{})
	if err := f.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	lock(t, c)
	out, err := paper(t, f).Compare(t.Context(), c, f.Results())
	if err != nil || out.Unexplained != spec.Count || out.Wrong != spec.Count || len(out.Examples) == 0 {
		t.Errorf("%+v, %v: they have not reset since they were locked", out, err)
	}
}
