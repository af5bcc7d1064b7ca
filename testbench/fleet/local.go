package fleet

import (
	"context"
	"sync"
)

// maxDeliver is how often a job is handed out, at most.
const maxDeliver = 5

// Local is the Coordinator of one process: workers are goroutines. The zero value is ready
// for use.
type Local struct {
	mu       sync.Mutex
	changed  chan struct{} // closed whenever something changes
	jobs     []*localTask
	outcomes []Outcome
	failed   []Job
	saved    map[checkpointKey]*Checkpoint
}

type checkpointKey struct {
	run  string
	step int
	of   Range
}

// wake tells all that wait. The caller holds mu.
func (l *Local) wake() {
	if l.changed != nil {
		close(l.changed)
	}
	l.changed = make(chan struct{})
}

// await calls look, with mu held, until it returns true.
func (l *Local) await(ctx context.Context, look func() bool) error {
	for {
		l.mu.Lock()
		if look() {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Put implements Coordinator.
func (l *Local) Put(_ context.Context, jobs []Job) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, j := range jobs {
		l.jobs = append(l.jobs, &localTask{of: l, job: j})
	}
	l.wake()
	return nil
}

// Next implements Coordinator.
func (l *Local) Next(ctx context.Context) (t Task, err error) {
	err = l.await(ctx, func() bool {
		if len(l.jobs) == 0 {
			return false
		}
		next := l.jobs[0]
		l.jobs = l.jobs[1:]
		next.epoch++
		t = next
		return true
	})
	return t, err
}

// Collect implements Coordinator.
func (l *Local) Collect(ctx context.Context, _ string, _ int, each func(Outcome) bool, failed func(Job)) error {
	return l.await(ctx, func() bool {
		for _, j := range l.failed {
			failed(j)
		}
		more := true
		for _, o := range l.outcomes {
			more = each(o)
		}
		if len(l.failed) > 0 && more {
			more = each(Outcome{}) // what is waited for may be less now
		}
		l.outcomes, l.failed = nil, nil
		return !more
	})
}

// Abort implements Coordinator.
func (l *Local) Abort(string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = nil
	l.wake()
}

type localTask struct {
	of    *Local
	job   Job
	epoch int
}

func (t *localTask) Job() Job       { return t.job }
func (t *localTask) Epoch() int     { return t.epoch }
func (t *localTask) Working() error { return nil }

func (t *localTask) Before(context.Context) (*Checkpoint, error) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	return t.of.saved[checkpointKey{t.job.Run, t.job.Step - 1, t.job.Of}], nil
}

func (t *localTask) Report(_ context.Context, results []Outcome) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.outcomes = append(t.of.outcomes, results...)
	t.of.wake()
	return nil
}

func (t *localTask) Save(_ context.Context, c *Checkpoint) error {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.of.saved == nil {
		t.of.saved = make(map[checkpointKey]*Checkpoint)
	}
	delete(t.of.saved, checkpointKey{c.Run, c.Step - 2, c.Of})
	t.of.saved[checkpointKey{c.Run, c.Step, c.Of}] = c
	return nil
}

func (t *localTask) Done(context.Context) error { return nil }

func (t *localTask) Return() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	if t.epoch >= maxDeliver {
		t.of.failed = append(t.of.failed, t.job)
	} else {
		t.of.jobs = append(t.of.jobs, t)
	}
	t.of.wake()
}
