package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Check refuses a job that comes from elsewhere and cannot be done.
func (j *Job) Check() error {
	if j.Step < 0 {
		return fmt.Errorf("step %d", j.Step)
	}
	if err := j.Spec.Check(); err != nil {
		return err
	}
	if j.Of.Len() > MaxRange {
		return fmt.Errorf("%d phones in one range: at most %d", j.Of.Len(), MaxRange)
	}
	return j.Of.in(j.Spec.Count)
}

// Task is a job that a worker has.
type Task interface {
	Job() Job
	// Epoch tells how often the job was handed out, from 1 on.
	Epoch() int
	// Before returns the checkpoint of the step before; nil at the first step.
	Before(ctx context.Context) (*Checkpoint, error)
	// Working tells that the worker is at it still.
	Working() error
	// Report returns once results are where nothing loses them.
	Report(ctx context.Context, results []Outcome) error
	// Save returns once a checkpoint is where nothing loses it.
	Save(ctx context.Context, c *Checkpoint) error
	// Done ends the task. It returns once that is known for sure.
	Done(ctx context.Context) error
	// Return hands the task back, for somebody else.
	Return()
}

// Coordinator hands jobs out and collects results, in one process or on many machines. It
// is safe for concurrent use.
type Coordinator interface {
	// Put queues the jobs of one step.
	Put(ctx context.Context, jobs []Job) error
	// Next waits for a job.
	Next(ctx context.Context) (Task, error)
	// Collect calls each for every outcome of a run's step, those of doubles too, until it
	// returns false. failed is called for each job that nobody finished.
	Collect(ctx context.Context, run string, step int, each func(Outcome) bool, failed func(Job)) error
	// Abort ends the jobs of a run.
	Abort(run string)
}

// Do does a task: it boots the phones of the range as they were behind the step before,
// reports each and what they hold, and only then ends the task. every is how often it says
// that it is at it. Where anything fails, the
// task is somebody else's later on, from the same beginning.
func Do(ctx context.Context, t Task, worker string, every time.Duration) (err error) {
	ctx, stop := context.WithCancel(ctx)
	var marks sync.WaitGroup
	marks.Go(func() { working(ctx, t, every) })
	defer func() {
		stop()
		marks.Wait()
		if err != nil {
			t.Return()
		}
	}()
	job := t.Job()
	before, err := t.Before(ctx)
	if err != nil {
		return err
	}
	spec := job.Spec
	spec.Register = false
	f, err := New(spec, job.Of, Options{Restore: before})
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Boot(ctx); err != nil {
		return err
	}
	var out []Outcome
	for _, r := range f.Results() {
		out = append(out, Outcome{Run: job.Run, Step: job.Step, Epoch: t.Epoch(), Worker: worker, Result: r})
	}
	after, err := f.Checkpoint(job.Run, job.Step)
	if err != nil {
		return err
	}
	if err := t.Save(ctx, after); err != nil {
		return err
	}
	if err := t.Report(ctx, out); err != nil {
		return err
	}
	return t.Done(ctx)
}

func working(ctx context.Context, t Task, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.Working() // where that fails, the job may go to somebody else as well
		}
	}
}

// Run is the results of a run, phone by phone.
type Run struct {
	Results []Result
	Epochs  []int // that they are of; 0 where there is none
	Doubles int   // outcomes that came more than once
	Late    int   // of these, those of an earlier epoch than one that was there
	Failed  []Job // that nobody finished
	Boots   int
}

// ErrOverlap says that two jobs of one step have phones in common.
var ErrOverlap = errors.New("ranges overlap")

// checkJobs refuses ranges that are none, or overlap.
func checkJobs(jobs []Job) error {
	all := slices.Clone(jobs)
	slices.SortFunc(all, func(a, b Job) int { return a.Of.From - b.Of.From })
	for i := range all {
		if err := all[i].Of.in(all[i].Spec.Count); err != nil {
			return err
		}
		if i > 0 && all[i].Of.From < all[i-1].Of.To {
			return fmt.Errorf("%w: %d to %d, and %d to %d", ErrOverlap, all[i-1].Of.From, all[i-1].Of.To, all[i].Of.From, all[i].Of.To)
		}
	}
	return nil
}

// Control takes a fleet through the steps of a run: the jobs of a step are queued once
// every phone's result of the step before is there. show, if not nil, is called with how
// many results of the step are there, whenever that changes.
func Control(ctx context.Context, c Coordinator, run string, spec Spec, ranges []Range, steps int, show func(step int, done Count)) (*Run, error) {
	r := new(Run)
	for step := range steps {
		var jobs []Job
		for _, of := range ranges {
			jobs = append(jobs, Job{Run: run, Step: step, Of: of, Spec: spec})
		}
		if err := checkJobs(jobs); err != nil {
			return r, err
		}
		if err := c.Put(ctx, jobs); err != nil {
			return r, err
		}
		if err := r.collect(ctx, c, run, step, spec, ranges, show); err != nil {
			c.Abort(run)
			return r, err
		}
		if len(r.Failed) > 0 {
			return r, nil
		}
	}
	return r, nil
}

// collect takes the results of one step.
func (r *Run) collect(ctx context.Context, c Coordinator, run string, step int, spec Spec, ranges []Range, show func(int, Count)) error {
	r.Results, r.Epochs = make([]Result, spec.Count), make([]int, spec.Count)
	missing, begin := 0, time.Now()
	for _, of := range ranges {
		missing += of.Len()
	}
	count := Count{Phones: missing, Reasons: make(map[string]int)}
	count.State[Waiting] = missing
	lost := 0
	return c.Collect(ctx, run, step, func(o Outcome) bool {
		i := o.Result.Index
		if o.Run != run || o.Step != step || i < 0 || i >= spec.Count || o.Epoch < 1 || o.Result.State < Waiting || o.Result.State >= states || o.Result.Device != "SEP"+spec.MAC(i) {
			return missing > lost
		}
		switch {
		case r.Epochs[i] == 0:
			missing--
			r.Boots++
			count.Boots++
			count.State[Waiting]--
			count.State[o.Result.State]++
			if o.Result.State != Trusted {
				count.Reasons[o.Result.Reason]++
			}
		default:
			r.Doubles++
			if o.Epoch < r.Epochs[i] {
				r.Late++
			}
		}
		if o.Epoch > r.Epochs[i] {
			r.Epochs[i], r.Results[i] = o.Epoch, o.Result
		}
		if count.Running = time.Since(begin); show != nil {
			show(step, count)
		}
		return missing > lost
	}, func(j Job) {
		r.Failed = append(r.Failed, j)
		for i := j.Of.From; i < j.Of.To; i++ {
			if r.Epochs[i] == 0 {
				lost++
			}
		}
	})
}
