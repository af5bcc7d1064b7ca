package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/fleet"
)

func fleetRun(e *env, args []string) int {
	f := e.flags("fleet run")
	var o fleetFlags
	o.add(f)
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	o.spec.Source = sourceOf(o.spec.Source)
	expected, err := o.check()
	if err != nil {
		return e.usage("fleet run: %v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.nats.URL != "" {
		return e.runMany(ctx, &o, expected)
	}
	c, leave, code := e.fleetCluster(&o)
	if code != exitOK {
		return code
	}
	defer leave()
	before := fleet.Resident()
	phones, err := fleet.New(o.spec, fleet.Whole, fleet.Options{Dir: o.dir})
	switch {
	case errors.Is(err, fleet.ErrFiles):
		return e.fail(exitInfra, "fleet run: %v", err)
	case err != nil:
		return e.fail(exitInfra, "fleet run: %v", plainPath(err))
	}
	defer phones.Close()
	w := &watcher{env: e, opts: &o, phones: phones, line: e.progressLine()}
	summary, results, err := w.run(ctx, c, before)
	if err != nil {
		return e.fail(exitInfra, "fleet run: %v", err)
	}
	code = e.fleetOutput(&o, summary, results, expected)
	if ctx.Err() != nil && !o.hold && code == exitOK {
		return e.fail(exitInfra, "fleet run: interrupted")
	}
	return code
}

// fleetCluster opens the cluster that the flags name, if they do, tells it of the phones,
// and takes its servers. leave makes it forget those that it did not know before.
func (e *env) fleetCluster(o *fleetFlags) (c *cluster.Cluster, leave func(), code int) {
	o.spec.Servers = o.tftp
	if o.cluster == "" {
		return nil, func() {}, exitOK
	}
	c, code = e.openCluster(o.cluster)
	if c == nil {
		return nil, nil, code
	}
	s := c.State()
	known := make(map[string]bool, len(s.Phones))
	for i := range s.Phones {
		known[s.Phones[i].MAC] = true
	}
	all := o.spec.Phones()
	if err := c.Apply(operation.AddPhones(all)); err != nil {
		c.Close()
		return nil, nil, e.operationFailed("fleet run", err)
	}
	o.spec.Servers = nil
	for _, n := range c.Nodes() {
		for _, name := range s.TFTPNodes() {
			if n.Name() == name {
				o.spec.Servers = append(o.spec.Servers, n.Address())
			}
		}
	}
	return c, func() {
		defer c.Close()
		var added []string
		for i := range all {
			if !known[all[i].MAC] {
				added = append(added, all[i].MAC)
			}
		}
		if o.keep || len(added) == 0 {
			return
		}
		if err := c.Apply(operation.RemovePhones(added)); err != nil {
			e.fail(exitInfra, "fleet run: the phones stay known to the cluster: %v", err)
		}
	}, exitOK
}

// watcher runs a fleet of this process, and shows how it does.
type watcher struct {
	env    *env
	opts   *fleetFlags
	phones *fleet.Fleet
	line   progressLine
	last   fleet.Count
}

// run runs the fleet until its end, and sums it up. c is nil where the cluster is known by
// its address alone.
func (w *watcher) run(ctx context.Context, c *cluster.Cluster, before int) (s fleet.Summary, results []fleet.Result, err error) {
	running, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.work(running)
	}()
	w.wait(ctx, done)
	count := w.phones.Count()
	results = w.phones.Results()
	resident := fleet.Resident()
	took := w.phones.Busy()
	s = fleet.Summarize(count.Phones, results, count.Boots, took)
	if before > 0 && resident > before {
		s.Resident = (resident - before) / count.Phones
	}
	if c != nil {
		err = w.compare(ctx, c, &s, results)
	}
	stop()
	<-done
	w.line.end()
	return s, results, err
}

// work boots the phones; registered ones stay so until the context ends.
func (w *watcher) work(ctx context.Context) {
	if w.opts.spec.Register {
		w.phones.Run(ctx)
		return
	}
	for range w.opts.resets + 1 {
		if w.phones.Boot(ctx) != nil {
			return
		}
	}
}

// wait shows progress until the fleet is through, or the context ends.
func (w *watcher) wait(ctx context.Context, done <-chan struct{}) {
	every := w.opts.every
	if w.line.tty {
		every = time.Second
	}
	const look = 50 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	resets, shown, settled := 0, time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			w.show()
			if !w.opts.hold {
				return
			}
			done = nil
		case <-tick.C:
		}
		if time.Since(shown) >= every {
			w.show()
			shown = time.Now()
		}
		if w.opts.ends != nil && w.ended() {
			w.show()
			return
		}
		if !w.opts.spec.Register || w.opts.hold && resets == w.opts.resets {
			continue
		}
		if !w.phones.Through(resets + 1) {
			continue
		}
		if resets < w.opts.resets {
			resets++
			w.phones.Reset()
			continue
		}
		if settled.IsZero() {
			settled = time.Now()
		}
		if c := w.phones.Count(); c.Registered >= c.State[fleet.Trusted] || time.Since(settled) > w.opts.settle {
			w.show()
			return
		}
	}
}

// ended reports whether every phone has booted, those that trust are registered again, and
// the fleet is as it was to become.
func (w *watcher) ended() bool {
	c := w.phones.Count()
	s := c.Summary()
	if w.opts.spec.Register && c.Registered < c.State[fleet.Trusted] {
		return false
	}
	return c.Settled() && w.opts.ends.Met(&s) == nil
}

func (w *watcher) show() {
	c := w.phones.Count()
	w.line.show(c.Line(w.last))
	w.last = c
}

// compare resets every phone once more on paper, and counts those that differ.
func (w *watcher) compare(ctx context.Context, c *cluster.Cluster, s *fleet.Summary, results []fleet.Result) error {
	paper, err := w.phones.Paper()
	if err != nil {
		return err
	}
	compared, err := paper.Compare(context.WithoutCancel(ctx), c, results)
	if err != nil {
		return err
	}
	s.Compared, s.Wrong, s.Unexplained = true, compared.Wrong, compared.Unexplained
	for _, line := range compared.Examples {
		w.line.end()
		w.env.fail(exitNo, "fleet run: %s", line)
	}
	return nil
}
