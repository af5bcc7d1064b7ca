package natsq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"itlagent/testbench/fleet"
)

// Put implements fleet.Coordinator.
func (q *Queue) Put(ctx context.Context, jobs []fleet.Job) error {
	for i := range jobs {
		j := &jobs[i]
		if err := checkRun(j.Run); err != nil {
			return err
		}
		data, err := j.MarshalMsg(nil)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("%s/%d/%d-%d", j.Run, j.Step, j.Of.From, j.Of.To)
		err = q.retry(ctx, "queue a job", func(ctx context.Context) error {
			_, err := q.js.Publish(ctx, workPrefix+j.Run, data, jetstream.WithMsgID(id))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lookEvery is how often it is looked for new results, and for jobs that nobody will have
// again, where nothing is said of them.
const (
	lookEvery  = 50 * time.Millisecond
	stuckEvery = 2 * time.Second
	stuckLooks = 3
)

// Collect implements fleet.Coordinator. Results are read by their place in the stream, so
// that a server that was restarted makes no difference.
func (q *Queue) Collect(ctx context.Context, run string, step int, each func(fleet.Outcome) bool, failed func(fleet.Job)) error {
	gone := &givenUp{q: q, run: run, seen: make(map[uint64]int)}
	sub, err := q.nc.Subscribe(exhausted, gone.advisory)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	subject, next, looked := fmt.Sprintf("%s%s.%d.*", resultPrefix, run, step), uint64(1), time.Now()
	for ctx.Err() == nil {
		o, at, err := q.result(ctx, subject, next)
		switch {
		case err == nil:
			next = at + 1
			if !each(o) {
				return nil
			}
			continue
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case errors.Is(err, errNoResult):
			q.say("%v", err)
			next = at + 1
			continue
		case permanent(err):
			return err
		default:
			q.say("read results: %v; trying again", err)
		}
		if time.Since(looked) > stuckEvery {
			gone.look(ctx)
			looked = time.Now()
		}
		for _, j := range gone.take() {
			if failed(j); !each(fleet.Outcome{}) {
				return nil
			}
		}
		pause(ctx, lookEvery)
	}
	return ctx.Err()
}

var errNoResult = errors.New("invalid result")

// result returns the first result from a place on.
func (q *Queue) result(ctx context.Context, subject string, from uint64) (o fleet.Outcome, at uint64, err error) {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	s, err := q.results(ctx)
	if err != nil {
		return o, 0, err
	}
	m, err := s.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
	if err != nil {
		return o, 0, err
	}
	if len(m.Data) > maxMessage {
		return o, m.Sequence, errNoResult
	}
	if _, err := o.UnmarshalMsg(m.Data); err != nil {
		return o, m.Sequence, fmt.Errorf("%w: %w", errNoResult, err)
	}
	return o, m.Sequence, nil
}

// results returns the stream of results, which is looked for once.
func (q *Queue) results(ctx context.Context) (jetstream.Stream, error) {
	q.mu.Lock()
	s := q.stream
	q.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := q.js.Stream(ctx, resultStream)
	if err == nil {
		q.mu.Lock()
		q.stream = s
		q.mu.Unlock()
	}
	return s, err
}

// givenUp finds the jobs of a run that were handed out so often that nobody gets them any
// more: they stay in the queue.
type givenUp struct {
	q   *Queue
	run string

	mu   sync.Mutex
	seqs []uint64       // that the server has told of
	jobs []fleet.Job    // that were found
	seen map[uint64]int // how often a message was there while nobody had a job
}

// advisory is what the server tells when it gives a job up.
func (g *givenUp) advisory(m *nats.Msg) {
	var told struct {
		Seq uint64 `json:"stream_seq"`
	}
	if len(m.Data) > maxMessage || json.Unmarshal(m.Data, &told) != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seqs = append(g.seqs, told.Seq)
}

// take returns the jobs that were found, once.
func (g *givenUp) take() []fleet.Job {
	g.mu.Lock()
	seqs := g.seqs
	g.seqs = nil
	g.mu.Unlock()
	ctx, stop := context.WithTimeout(context.Background(), requestTime)
	defer stop()
	for _, seq := range seqs {
		s, err := g.q.js.Stream(ctx, workStream)
		var m *jetstream.RawStreamMsg
		if err == nil {
			m, err = s.GetMsg(ctx, seq)
		}
		if err == nil {
			g.found(ctx, s, m)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	jobs := g.jobs
	g.jobs = nil
	return jobs
}

// found takes a job of this run out of the queue.
func (g *givenUp) found(ctx context.Context, s jetstream.Stream, m *jetstream.RawStreamMsg) {
	var j fleet.Job
	if readJob(m.Data, &j) != nil || j.Run != g.run || s.DeleteMsg(ctx, m.Sequence) != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs = append(g.jobs, j)
}

// look finds jobs that the server has told of while nobody listened: they are in the
// queue, and nobody has one or is to get one.
func (g *givenUp) look(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, requestTime)
	defer stop()
	c, err := g.q.js.Consumer(ctx, workStream, consumerName)
	if err != nil {
		return
	}
	info, err := c.Info(ctx)
	if err != nil || info.NumPending > 0 || info.NumAckPending > 0 {
		clear(g.seen)
		return
	}
	s, err := g.q.js.Stream(ctx, workStream)
	for seq := uint64(1); err == nil; {
		var m *jetstream.RawStreamMsg
		if m, err = s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(workPrefix+g.run)); err == nil {
			if g.seen[m.Sequence]++; g.seen[m.Sequence] >= stuckLooks {
				g.found(ctx, s, m)
			}
			seq = m.Sequence + 1
		}
	}
}

// Beat tells everybody of a worker or a run.
func (q *Queue) Beat(b fleet.Beat) error {
	b.Version, b.Worker, b.Time = Version, q.opts.Name, time.Now()
	data, err := b.MarshalMsg(nil)
	if err != nil {
		return err
	}
	return q.nc.Publish(beats, data)
}

// Beats calls each for every beat, of all versions, until the context ends.
func (q *Queue) Beats(ctx context.Context, each func(fleet.Beat)) error {
	sub, err := q.nc.Subscribe(beats, func(m *nats.Msg) {
		var b fleet.Beat
		if len(m.Data) > maxMessage {
			return
		}
		if _, err := b.UnmarshalMsg(m.Data); err == nil {
			each(b)
		}
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return sub.Unsubscribe()
}
