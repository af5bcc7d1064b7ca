package natsq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"itlagent/testbench/fleet"
)

// Next implements fleet.Coordinator. An invalid job is ended, and said.
func (q *Queue) Next(ctx context.Context) (fleet.Task, error) {
	const patience = 2 * time.Second
	for ctx.Err() == nil {
		c, err := q.js.Consumer(ctx, workStream, consumerName)
		if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			pause(ctx, retryTime) // no controller has ever been here
			continue
		}
		var batch jetstream.MessageBatch
		if err == nil {
			q.ackWait.Store(int64(c.CachedInfo().Config.AckWait))
			batch, err = c.Fetch(1, jetstream.FetchMaxWait(patience))
		}
		if err != nil {
			q.say("ask for a job: %v; trying again", err)
			pause(ctx, retryTime)
			continue
		}
		for m := range batch.Messages() {
			if t, err := q.taskOf(m); err == nil {
				return t, nil
			} else {
				q.say("invalid job: %v", err)
				m.Term()
			}
		}
	}
	return nil, ctx.Err()
}

// WorkEvery is how often a worker is to say that it is still at a job: several times within
// the ack wait that the controller has set.
func (q *Queue) WorkEvery() time.Duration {
	const times = 6
	return max(time.Duration(q.ackWait.Load())/times, retryTime)
}

// taskOf reads a job.
func (q *Queue) taskOf(m jetstream.Msg) (*task, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	t := &task{of: q, m: m, epoch: int(meta.NumDelivered)}
	return t, readJob(m.Data(), &t.job)
}

// readJob reads and checks a job that comes from outside.
func readJob(data []byte, j *fleet.Job) error {
	if len(data) > maxMessage {
		return fmt.Errorf("%d bytes", len(data))
	}
	if _, err := j.UnmarshalMsg(data); err != nil {
		return err
	}
	if err := checkRun(j.Run); err != nil {
		return err
	}
	return j.Check()
}

// checkRun refuses a name that cannot stand in a subject.
func checkRun(run string) error {
	ok := run != "" && len(run) <= 40
	for _, c := range []byte(run) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	}
	if !ok {
		return fmt.Errorf("invalid name of a run %.60q", run)
	}
	return nil
}

// task is a job that this worker has.
type task struct {
	of    *Queue
	m     jetstream.Msg
	job   fleet.Job
	epoch int
}

func (t *task) Job() fleet.Job { return t.job }
func (t *task) Epoch() int     { return t.epoch }
func (t *task) Working() error { return t.m.InProgress() }

// Return hands the job back after a moment: whatever failed here may pass.
func (t *task) Return() { t.m.NakWithDelay(retryTime) }

// Done implements fleet.Task.
func (t *task) Done(ctx context.Context) error {
	return t.of.retry(ctx, "end a job", t.m.DoubleAck)
}

func objectName(run string, step int, of fleet.Range) string {
	return fmt.Sprintf("%s.%d.%d-%d", run, step, of.From, of.To)
}

// Save implements fleet.Task.
func (t *task) Save(ctx context.Context, c *fleet.Checkpoint) error {
	data, err := c.MarshalMsg(nil)
	if err != nil {
		return err
	}
	if len(data) > fleet.MaxCheckpoint {
		return fmt.Errorf("a checkpoint of %d bytes", len(data))
	}
	return t.of.retry(ctx, "store a checkpoint", func(ctx context.Context) error {
		store, err := t.of.js.ObjectStore(ctx, bucket)
		if err == nil {
			_, err = store.PutBytes(ctx, objectName(c.Run, c.Step, c.Of), data)
		}
		return err
	})
}

// Before implements fleet.Task.
func (t *task) Before(ctx context.Context) (*fleet.Checkpoint, error) {
	if t.job.Step == 0 {
		return nil, nil
	}
	var data []byte
	err := t.of.retry(ctx, "read a checkpoint", func(ctx context.Context) error {
		store, err := t.of.js.ObjectStore(ctx, bucket)
		if err != nil {
			return err
		}
		o, err := store.Get(ctx, objectName(t.job.Run, t.job.Step-1, t.job.Of))
		if err != nil {
			return err
		}
		defer o.Close()
		data, err = io.ReadAll(io.LimitReader(o, fleet.MaxCheckpoint+1))
		return err
	})
	if err != nil {
		return nil, err
	}
	c := new(fleet.Checkpoint)
	if len(data) > fleet.MaxCheckpoint {
		return nil, fleet.ErrCheckpoint
	}
	if _, err := c.UnmarshalMsg(data); err != nil {
		return nil, fmt.Errorf("%w: %w", fleet.ErrCheckpoint, err)
	}
	return c, nil
}

// Report implements fleet.Task. Results go out together, up to pending of them; the
// library would give up on more after a moment. Those that are not acknowledged go out
// again, with the same name.
func (t *task) Report(ctx context.Context, results []fleet.Outcome) error {
	for len(results) > 0 {
		n := min(len(results), pending)
		var left []fleet.Outcome
		err := t.of.retry(ctx, "store results", func(ctx context.Context) error {
			if left == nil {
				left = results[:n]
			}
			var err error
			left, err = t.of.publish(ctx, left)
			return err
		})
		if err != nil {
			return err
		}
		results = results[n:]
	}
	return nil
}

// publish returns the results that were not acknowledged.
func (q *Queue) publish(ctx context.Context, results []fleet.Outcome) (left []fleet.Outcome, err error) {
	acks := make([]jetstream.PubAckFuture, len(results))
	for i := range results {
		o := &results[i]
		data, e := o.MarshalMsg(nil)
		if e != nil {
			return results, e
		}
		m := nats.NewMsg(fmt.Sprintf("%s%s.%d.%s", resultPrefix, o.Run, o.Step, o.Result.Device))
		m.Data = data
		acks[i], e = q.js.PublishMsgAsync(m, jetstream.WithMsgID(fmt.Sprintf("%s/%d/%s", o.Run, o.Step, o.Result.Device)))
		if e != nil {
			err = e
		}
	}
	for i, ack := range acks {
		if ack == nil {
			left = append(left, results[i])
			continue
		}
		select {
		case <-ack.Ok():
		case e := <-ack.Err():
			left, err = append(left, results[i]), e
		case <-ctx.Done():
			left, err = append(left, results[i]), ctx.Err()
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return left, err
}
