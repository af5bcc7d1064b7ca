// Package natsq is a fleet.Coordinator over a NATS server with JetStream: a controller and
// workers on any number of machines.
//
//	q, err := natsq.Connect(ctx, natsq.Options{URL: "nats://192.0.2.1:4222"})
//	defer q.Close()
//	err = q.Lead(ctx) // a controller, before it queues jobs
//	task, err := q.Next(ctx) // a worker
//
// Jobs are messages of a work queue: a worker that falls silent for the ack wait loses its
// job to another one, at most five times. Results are messages with a subject for each
// phone and step, so that a double is known as such after the server's window of
// de-duplication too, and with the epoch of the job, so that of two the later one counts.
// Checkpoints are objects. A task ends, by an acknowledgement that is acknowledged, only
// once all of that is stored. Whatever fails is tried again until the context ends: a
// server that is restarted, or whose disk is full, loses nothing. A Queue is safe for
// concurrent use. Messages are bounded by maxMessage and by the limits of package fleet.
//
// The names of streams have the version of the messages: workers of another version see
// none of these jobs.
package natsq

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"itlagent/agent/printable"
	"itlagent/testbench/fleet"
)

// Version is that of the messages.
const Version = 1

// Names on the server.
const (
	workStream   = "FLEET1_WORK"
	resultStream = "FLEET1_RESULTS"
	bucket       = "FLEET1_STATE"
	consumerName = "workers"
	workPrefix   = "fleet1.work."
	resultPrefix = "fleet1.result."
	commands     = "fleet1.command"
	beats        = "fleet.beat" // of workers of all versions
	exhausted    = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + workStream + "." + consumerName
)

// Limits and times.
const (
	// AckWait is how long a worker may be silent until its job is somebody else's.
	AckWait     = 30 * time.Second
	maxDeliver  = 5
	maxMessage  = 64 << 10 // bytes of a job, a result, a beat
	perSubject  = 2 * maxDeliver
	keepResults = 7 * 24 * time.Hour
	window      = 2 * time.Minute // of de-duplication
	pending     = 256             // results that wait for their acknowledgement at once
	requestTime = 5 * time.Second
	retryTime   = 200 * time.Millisecond
)

// Options are how a server is reached.
type Options struct {
	URL   string
	Creds string // file of credentials; "" without
	CA    string // PEM file of the server's CA; "" takes the machine's
	Name  string // of this worker or controller
	// AckWait is that of the jobs which this controller queues; AckWait where 0.
	AckWait time.Duration
	Logf    func(format string, args ...any) // nil discards
}

// Queue is a connection with a server.
type Queue struct {
	opts Options
	nc   *nats.Conn
	js   jetstream.JetStream

	ackWait atomic.Int64 // of the jobs, as their consumer has it

	mu      sync.Mutex
	aborted map[string]bool // runs
	abort   chan struct{}   // closed at the next abort
	last    string          // that was logged
	stream  jetstream.Stream
}

// Connect connects to a server. What it cannot reach or may not use is an error at once; a
// connection that is lost later is made again.
func Connect(ctx context.Context, o Options) (*Queue, error) {
	if o.AckWait == 0 {
		o.AckWait = AckWait
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	q := &Queue{opts: o, aborted: make(map[string]bool), abort: make(chan struct{})}
	opts := []nats.Option{nats.Name("itlbench fleet " + o.Name), nats.MaxReconnects(-1), nats.ReconnectWait(retryTime), nats.Timeout(requestTime),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				q.say("the NATS server is lost: %v", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { q.say("the NATS server is back") })}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.CA != "" {
		opts = append(opts, nats.RootCAs(o.CA))
	}
	var err error
	if q.nc, err = nats.Connect(o.URL, opts...); err != nil {
		return nil, fmt.Errorf("%s: %w", redacted(o.URL), err)
	}
	if q.js, err = jetstream.New(q.nc, jetstream.WithPublishAsyncMaxPending(pending)); err == nil {
		first, stop := context.WithTimeout(ctx, requestTime)
		defer stop()
		_, err = q.js.AccountInfo(first)
	}
	if err == nil {
		_, err = q.nc.Subscribe(commands, q.command)
	}
	if err != nil {
		q.nc.Close()
		return nil, fmt.Errorf("%s: JetStream: %w", redacted(o.URL), err)
	}
	return q, nil
}

// redacted leaves the password out of a URL.
func redacted(text string) string {
	if u, err := url.Parse(text); err == nil {
		return printable.Clip(u.Redacted(), 200)
	}
	return "the NATS server"
}

// Close ends the connection.
func (q *Queue) Close() { q.nc.Close() }

// say logs a line, once where the same is said again and again.
func (q *Queue) say(format string, args ...any) {
	text := printable.Text(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; "))
	q.mu.Lock()
	same := text == q.last
	q.last = text
	q.mu.Unlock()
	if !same {
		q.opts.Logf("%s", text)
	}
}

// Lead makes the streams and the bucket, where there are none, and sets the ack wait.
func (q *Queue) Lead(ctx context.Context) error {
	return q.retry(ctx, "set up", func(ctx context.Context) error {
		_, err := q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: workStream, Subjects: []string{workPrefix + "*"},
			Retention: jetstream.WorkQueuePolicy, MaxMsgSize: maxMessage, Duplicates: window})
		if err == nil {
			_, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: resultStream, Subjects: []string{resultPrefix + "*.*.*"},
				MaxMsgsPerSubject: perSubject, MaxAge: keepResults, MaxMsgSize: maxMessage, Duplicates: window, AllowDirect: true})
		}
		if err == nil {
			_, err = q.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, TTL: keepResults})
		}
		if err == nil {
			_, err = q.js.CreateOrUpdateConsumer(ctx, workStream, jetstream.ConsumerConfig{Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy,
				AckWait: q.opts.AckWait, MaxDeliver: maxDeliver, MaxAckPending: -1})
		}
		return err
	})
}

// retry does something until it succeeds or the context ends; what is said of it is what
// it is for.
func (q *Queue) retry(ctx context.Context, what string, do func(ctx context.Context) error) error {
	for {
		once, stop := context.WithTimeout(ctx, requestTime)
		err := do(once)
		stop()
		if err == nil || permanent(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		q.say("%s: %v; trying again", what, err)
		pause(ctx, retryTime)
	}
}

// permanent reports what no further try can change.
func permanent(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrMaxPayload)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Abort implements fleet.Coordinator: what is queued of the run goes, what is in work ends.
func (q *Queue) Abort(run string) {
	data, err := (&fleet.Command{Run: run, Kind: "abort"}).MarshalMsg(nil)
	if err == nil {
		err = q.nc.Publish(commands, data)
	}
	ctx, stop := context.WithTimeout(context.Background(), requestTime)
	defer stop()
	if err == nil {
		err = q.clear(ctx, workStream, workPrefix+run)
	}
	if err != nil {
		q.say("abort: %v", err)
	}
}

// clear removes the messages of a subject.
func (q *Queue) clear(ctx context.Context, stream, subject string) error {
	s, err := q.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	return s.Purge(ctx, jetstream.WithPurgeSubject(subject))
}

// Forget removes the results and checkpoints of a run.
func (q *Queue) Forget(ctx context.Context, run string, ranges []fleet.Range, steps int) error {
	return q.retry(ctx, "forget the run", func(ctx context.Context) error {
		if err := q.clear(ctx, resultStream, resultPrefix+run+".>"); err != nil {
			return err
		}
		store, err := q.js.ObjectStore(ctx, bucket)
		if err != nil {
			return err
		}
		for step := range steps {
			for _, of := range ranges {
				if err := store.Delete(ctx, objectName(run, step, of)); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
					return err
				}
			}
		}
		return nil
	})
}

// command does what a controller tells.
func (q *Queue) command(m *nats.Msg) {
	var c fleet.Command
	if len(m.Data) > maxMessage {
		return
	}
	if _, err := c.UnmarshalMsg(m.Data); err != nil || c.Kind != "abort" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	const maxAborted = 1024
	if len(q.aborted) >= maxAborted {
		clear(q.aborted)
	}
	q.aborted[c.Run] = true
	close(q.abort)
	q.abort = make(chan struct{})
}

// Aborted returns a context that ends when a run is aborted.
func (q *Queue) Aborted(ctx context.Context, run string) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		for {
			q.mu.Lock()
			gone, next := q.aborted[run], q.abort
			q.mu.Unlock()
			if gone {
				stop()
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-next:
			}
		}
	}()
	return ctx, stop
}
