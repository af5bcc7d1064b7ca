package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"itlagent/agent/printable"
	"itlagent/platform/limits"
	"itlagent/testbench/fleet"
	"itlagent/testbench/fleet/natsq"
)

// natsFlags say how a NATS server is reached.
type natsFlags struct {
	natsq.Options
	jobs int // that a worker has at once, or phones of a job
}

func (n *natsFlags) add(f *pflag.FlagSet) {
	f.StringVar(&n.URL, "nats", "", "`URL` of the NATS server that joins controllers and workers, nats://host:port")
	f.StringVar(&n.Creds, "nats-creds", "", "`FILE` of credentials for the NATS server")
	f.StringVar(&n.CA, "tls-ca", "", "PEM `FILE` of the CA of the NATS server")
	n.AckWait = natsq.AckWait
}

// connect connects, for a controller or a worker of a name.
func (e *env) connect(ctx context.Context, n *natsFlags, what string) (*natsq.Queue, int) {
	if n.URL == "" {
		return nil, e.usage("%s: --nats URL", what)
	}
	for _, file := range []string{n.Creds, n.CA} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return nil, e.fail(exitInfra, "%s: %v", what, plainPath(err))
		}
	}
	n.Logf = func(format string, args ...any) {
		fmt.Fprintln(e.stderr, "itlbench: "+printable.Text(fmt.Sprintf(format, args...)))
	}
	q, err := natsq.Connect(ctx, n.Options)
	if err != nil {
		return nil, e.fail(exitInfra, "%s: %v", what, err)
	}
	return q, exitOK
}

// workerName is what a worker is called: the machine and the process.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d", printable.Clip(host, 60), os.Getpid())
}

const beatEvery = time.Second

func fleetWorker(e *env, args []string) int {
	f := e.flags("fleet worker")
	n := natsFlags{jobs: 1}
	n.add(f)
	f.StringVar(&n.Name, "name", workerName(), "`NAME` of this worker")
	f.Var(limits.Int(&n.jobs, 1, 64), "jobs", "`NUMBER` of ranges that it works on at once")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	q, code := e.connect(ctx, &n, "fleet worker")
	if q == nil {
		return code
	}
	defer q.Close()
	fmt.Fprintf(e.stderr, "worker %s\n", printable.Text(n.Name))
	var all sync.WaitGroup
	for range n.jobs {
		all.Go(func() { e.workOn(ctx, q, &n) })
	}
	all.Wait()
	return exitOK
}

// workOn does one job after the other until the context ends.
func (e *env) workOn(ctx context.Context, q *natsq.Queue, n *natsFlags) {
	var now fleet.Beat
	var mu sync.Mutex
	go func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			mu.Lock()
			b := now
			mu.Unlock()
			q.Beat(b) // the next one says the same
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	set := func(b fleet.Beat) { mu.Lock(); now = b; mu.Unlock() }
	for {
		t, err := q.Next(ctx)
		if err != nil {
			return
		}
		j := t.Job()
		set(fleet.Beat{Run: j.Run, Step: j.Step, Of: j.Of, Phones: j.Of.Len()})
		job, end := q.Aborted(ctx, j.Run)
		err = fleet.Do(job, t, n.Name, q.WorkEvery())
		end()
		set(fleet.Beat{})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.Logf("run %s, step %d, phones %d to %d: %v", j.Run, j.Step, j.Of.From, j.Of.To-1, err)
		}
	}
}

// skew is by how much the clock of a worker may differ.
const skew = 5 * time.Second

// watchWorkers says, once each, what is wrong with workers.
func (e *env) watchWorkers(ctx context.Context, q *natsq.Queue, own string) {
	told := make(map[string]bool)
	q.Beats(ctx, func(b fleet.Beat) {
		name := printable.Clip(printable.Text(b.Worker), 80)
		const most = 1000
		if told[name] || b.Worker == own || len(told) >= most {
			return
		}
		if what := unfit(&b, name, time.Now()); what != "" {
			fmt.Fprintf(e.stderr, "itlbench: %s\n", what)
			told[name] = true
		}
	})
}

// unfit says what is wrong with a worker, "" for nothing.
func unfit(b *fleet.Beat, name string, now time.Time) string {
	d := now.Sub(b.Time)
	switch {
	case b.Version != natsq.Version:
		return fmt.Sprintf("worker %s speaks version %d, not %d: it gets none of these jobs", name, b.Version, natsq.Version)
	case d > skew:
		return fmt.Sprintf("the clock of worker %s is %v behind", name, d.Round(time.Second))
	case d < -skew:
		return fmt.Sprintf("the clock of worker %s is %v ahead", name, (-d).Round(time.Second))
	}
	return ""
}

// runMany runs a fleet on the workers of a NATS server.
func (e *env) runMany(ctx context.Context, o *fleetFlags, expected []fleet.Expectation) int {
	run := rand.Text()
	o.nats.Name = "controller-" + run
	q, code := e.connect(ctx, &o.nats, "fleet run")
	if q == nil {
		return code
	}
	defer q.Close()
	_, leave, code := e.fleetCluster(o)
	if code != exitOK {
		return code
	}
	defer leave()
	if err := q.Lead(ctx); err != nil {
		return e.fail(exitInfra, "fleet run: %v", err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go e.watchWorkers(watching, q, o.nats.Name)
	line := e.progressLine()
	every, shown, last := o.every, time.Time{}, fleet.Count{}
	if line.tty {
		every = time.Second
	}
	begin := time.Now()
	ranges := fleet.Ranges(o.spec.Count, o.nats.jobs)
	r, err := fleet.Control(ctx, q, run, o.spec, ranges, o.resets+1, func(step int, c fleet.Count) {
		if time.Since(shown) < every && c.Boots < c.Phones {
			return
		}
		line.show(fmt.Sprintf("step %d: %s", step, c.Line(last)))
		q.Beat(fleet.Beat{Run: run, Step: step, Of: fleet.Range{To: o.spec.Count}, Phones: c.Phones, Done: c.Boots, Trusted: c.State[fleet.Trusted]})
		if shown, last = time.Now(), c; c.Boots == c.Phones {
			last = fleet.Count{}
		}
	})
	line.end()
	if errors.Is(err, context.Canceled) {
		return e.fail(exitInfra, "fleet run: interrupted")
	}
	if err != nil {
		return e.fail(exitInfra, "fleet run: %v", err)
	}
	s := fleet.Summarize(o.spec.Count, r.Results, r.Boots, time.Since(begin))
	for _, j := range r.Failed {
		s.Faults = append(s.Faults, fmt.Sprintf("step %d, phones %d to %d: handed out so often that it was given up", j.Step, j.Of.From, j.Of.To-1))
	}
	if err := q.Forget(ctx, run, ranges, o.resets+1); err != nil {
		return e.fail(exitInfra, "fleet run: %v", err)
	}
	return e.fleetOutput(o, s, r.Results, expected)
}

func fleetStatus(e *env, args []string) int {
	f := e.flags("fleet status")
	var n natsFlags
	n.add(f)
	wait := 3 * beatEvery
	f.Var(limits.Duration(&wait, beatEvery, longest), "wait", "`TIME` to listen")
	asJSON := f.Bool("json", false, "print one JSON object a worker or run")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n.Name = "status"
	q, code := e.connect(ctx, &n, "fleet status")
	if q == nil {
		return code
	}
	defer q.Close()
	ctx, end := context.WithTimeout(ctx, wait)
	defer end()
	var mu sync.Mutex
	last := make(map[string]fleet.Beat)
	if err := q.Beats(ctx, func(b fleet.Beat) {
		mu.Lock()
		defer mu.Unlock()
		const most = 10_000
		if len(last) < most {
			last[b.Worker] = b
		}
	}); err != nil {
		return e.fail(exitInfra, "fleet status: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return e.printBeats(last, *asJSON)
}

func (e *env) printBeats(last map[string]fleet.Beat, asJSON bool) int {
	var names []string
	for name := range last {
		names = append(names, name)
	}
	sort.Strings(names)
	tab := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	workers := 0
	for _, name := range names {
		b := last[name]
		controller := strings.HasPrefix(name, "controller-")
		if !controller {
			workers++
		}
		if asJSON {
			printJSON(e.stdout, map[string]any{"name": name, "controller": controller, "version": b.Version, "run": b.Run, "step": b.Step,
				"from": b.Of.From, "to": b.Of.To, "phones": b.Phones, "done": b.Done, "trusted": b.Trusted})
			continue
		}
		doing := "idle"
		switch {
		case controller:
			doing = fmt.Sprintf("run %s, step %d: %d of %d phones, %d trusted", printable.Text(b.Run), b.Step, b.Done, b.Phones, b.Trusted)
		case b.Run != "":
			doing = fmt.Sprintf("run %s, step %d: phones %d to %d", printable.Text(b.Run), b.Step, b.Of.From, b.Of.To-1)
		}
		fmt.Fprintf(tab, "%s\t%s\n", printable.Text(name), doing)
	}
	tab.Flush()
	if !asJSON {
		fmt.Fprintf(e.stdout, "workers: %d\n", workers)
	}
	if workers == 0 {
		return exitNo
	}
	return exitOK
}
