package fleet_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"itlagent/testbench/fleet"
)

// without returns results but for times.
func without(results []fleet.Result) []fleet.Result {
	out := slices.Clone(results)
	for i := range out {
		out[i].Took = 0
	}
	return out
}

// faulty fails the first deliveries of tasks at different places.
type faulty struct {
	*fleet.Local
	mu    sync.Mutex
	tries int
}

type faultyTask struct {
	fleet.Task
	at int
}

var errFault = errors.New("a fault of the test")

func (f *faulty) Next(ctx context.Context) (fleet.Task, error) {
	t, err := f.Local.Next(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	return &faultyTask{t, f.tries % 4}, err
}

func (t *faultyTask) Save(ctx context.Context, c *fleet.Checkpoint) error {
	if t.at == 1 && t.Epoch() == 1 {
		return errFault
	}
	return t.Task.Save(ctx, c)
}

func (t *faultyTask) Report(ctx context.Context, all []fleet.Outcome) error {
	if t.at == 2 && t.Epoch() == 1 {
		t.Task.Report(ctx, all[:len(all)/2])
		return errFault
	}
	return t.Task.Report(ctx, all)
}

func (t *faultyTask) Done(ctx context.Context) error {
	if t.at == 3 && t.Epoch() == 1 {
		return errFault
	}
	return t.Task.Done(ctx)
}

// work runs workers until the run of f ends.
func work(t *testing.T, c fleet.Coordinator, f func() (*fleet.Run, error)) (*fleet.Run, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				task, err := c.Next(ctx)
				if err != nil || ctx.Err() != nil {
					return
				}
				if err := fleet.Do(ctx, task, "worker", 1<<30); err != nil && !errors.Is(err, errFault) && ctx.Err() == nil {
					t.Errorf("%v", err)
				}
			}
		})
	}
	r, err := f()
	stop()
	all.Wait()
	return r, err
}

// A run in which tasks fail before, in the middle of and behind their report has the result
// of each phone once, and the results of a run without faults.
func TestFaultyWorkers(t *testing.T) {
	_, spec := start(t, 30)
	ranges := fleet.Ranges(spec.Count, 5)
	control := func(c fleet.Coordinator) *fleet.Run {
		t.Helper()
		r, err := work(t, c, func() (*fleet.Run, error) { return fleet.Control(t.Context(), c, "run", spec, ranges, 3, nil) })
		if err != nil || len(r.Failed) > 0 || len(r.Results) != spec.Count {
			t.Fatalf("%+v, %v", r, err)
		}
		return r
	}
	calm := control(new(fleet.Local))
	if calm.Doubles != 0 || calm.Boots != 3*spec.Count {
		t.Errorf("%d doubles, %d boots", calm.Doubles, calm.Boots)
	}
	disturbed := control(&faulty{Local: new(fleet.Local)})
	if a, b := without(calm.Results), without(disturbed.Results); !slices.Equal(a, b) {
		t.Errorf("the results differ:\n%+v\n%+v", a, b)
	}
	if disturbed.Doubles == 0 || slices.Max(disturbed.Epochs) < 2 {
		t.Error("no fault had an effect")
	}
	for i, r := range disturbed.Results {
		if r.Index != i || r.Boots != 3 || r.State != fleet.Trusted {
			t.Errorf("%+v", r)
		}
	}
}

// Ranges that overlap, or are none, are refused before anything is queued.
func TestOverlap(t *testing.T) {
	_, spec := start(t, 4)
	for _, ranges := range [][]fleet.Range{{{From: 0, To: 3}, {From: 2, To: 4}}, {{From: 0, To: 2}, {From: 0, To: 2}}} {
		if _, err := fleet.Control(t.Context(), new(fleet.Local), "run", spec, ranges, 1, nil); !errors.Is(err, fleet.ErrOverlap) {
			t.Errorf("%v: %v", ranges, err)
		}
	}
	if _, err := fleet.Control(t.Context(), new(fleet.Local), "run", spec, []fleet.Range{{From: 0, To: 5}}, 1, nil); !errors.Is(err, fleet.ErrRange) {
		t.Errorf("%v", err)
	}
}

// What a checkpoint from elsewhere says of other phones, or of values that it has not, is
// refused, and what is no checkpoint panics nowhere.
func TestCheckpointFromElsewhere(t *testing.T) {
	_, spec := start(t, 3)
	f := newFleet(t, spec, fleet.Options{})
	if err := f.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, err := f.Checkpoint("run", 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := good.MarshalMsg(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*fleet.Checkpoint){
		"other phones":     func(c *fleet.Checkpoint) { c.Of.From++ },
		"a phone too few":  func(c *fleet.Checkpoint) { c.Phones = c.Phones[1:] },
		"no such value":    func(c *fleet.Checkpoint) { c.Phones[0].Values[0] = len(c.Values) },
		"a negative value": func(c *fleet.Checkpoint) { c.Phones[1].Values[0] = -1 },
		"a key too many":   func(c *fleet.Checkpoint) { c.Phones[0].Keys = append(c.Phones[0].Keys, "x") },
		"a damaged list": func(c *fleet.Checkpoint) {
			for i := range c.Values {
				c.Values[i] = c.Values[i][:len(c.Values[i])/2]
			}
		},
		"boots before zero": func(c *fleet.Checkpoint) { c.Phones[0].Boots = -1 },
	} {
		var bad fleet.Checkpoint
		if _, err := bad.UnmarshalMsg(data); err != nil {
			t.Fatal(err)
		}
		change(&bad)
		if _, err := fleet.New(spec, fleet.Whole, fleet.Options{Restore: &bad}); !errors.Is(err, fleet.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := 0; n < len(data); n += 1 + len(data)/200 {
		if _, err := new(fleet.Checkpoint).UnmarshalMsg(data[:n]); err == nil {
			t.Errorf("%d of %d bytes are a checkpoint", n, len(data))
		}
	}
}
