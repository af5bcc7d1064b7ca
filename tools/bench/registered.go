package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/comeback"
)

// registeredPhones is how many handsets of this process are registered at once. Each has a
// connection, with an end at either side.
const registeredPhones = 5000

// Of the registrations that are measured.
const (
	refreshTime = 20               // seconds that are granted
	resetRate   = 500              // phones a second
	bootsAtOnce = 100              // when they are plugged in
	awaited     = 10 * time.Minute // at most, for all of them
)

// registered measures a crowd of registered handsets: what one holds, what refreshes
// cost, how long a reset of all takes, and that none is lost when a call manager ends.
func (b *bench) registered() error {
	p := noteWith(registeredPhones)
	c, err := cluster.New(p, cluster.Options{Expires: refreshTime})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return err
	}
	before := held()
	begin := time.Now()
	stop, err := plugIn(c, p.Phones)
	if err != nil {
		return err
	}
	defer stop()
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	if err := registeredWith(c, ""); err != nil {
		return err
	}
	booted := time.Since(begin)
	each := (held() - before) / registeredPhones
	load := processorTime(refreshTime * time.Second)
	w, err := comeback.Watch(c, nil)
	if err != nil {
		return err
	}
	begin = time.Now()
	if err := c.Apply(operation.Reset(state.Order{Action: "reset", Rate: resetRate}, "measured")); err != nil {
		return err
	}
	missing, err := w.Wait(context.Background(), nil)
	if err != nil {
		return err
	}
	reset := time.Since(begin)
	if err := registeredWith(c, ""); err != nil {
		return err
	}
	begin = time.Now()
	if err := c.Apply(operation.Service(pub.Name(), profile.CallManagerService, operation.Stop)); err != nil {
		return err
	}
	if err := registeredWith(c, sub.Name()); err != nil {
		return err
	}
	over := time.Since(begin)
	mark := ""
	if over > 2*refreshTime*time.Second {
		mark = "  missed"
	}
	fmt.Fprintf(b.out, "\nregistered handsets: %d in one process with their cluster, plugged in and registered in %.1f s, %d KiB of heap and stacks each, both ends of the connection included\n",
		registeredPhones, booted.Seconds(), each>>10)
	fmt.Fprintf(b.out, "  refreshed every %d s: %.0f %% of a core for all of them; a reset of all at %d a second: %.1f s, %d lost\n",
		refreshTime, 100*load, resetRate, reset.Seconds(), len(missing))
	fmt.Fprintf(b.out, "  a call manager ends: all registered with the other after %.1f s, the goal is two refresh times%s\n", over.Seconds(), mark)
	return nil
}

// plugIn runs phones until they are stopped; some boot at once.
func plugIn(c *cluster.Cluster, specs []profile.PhoneSpec) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	stop = func() { cancel(); running.Wait() }
	booting := make(chan struct{}, bootsAtOnce)
	nodes := c.Nodes()
	for i, spec := range specs {
		a, err := agent.New(agent.Config{MAC: spec.MAC, Model: spec.Model, Servers: []string{nodes[i%2].Address(), nodes[1-i%2].Address()},
			Store: new(holdings.MemStore), Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now, Rand: rand.Reader, Address: "127.0.0.1"})
		if err != nil {
			stop()
			return nil, err
		}
		booting <- struct{}{}
		var first sync.Once
		running.Go(func() {
			a.Run(ctx, 24*time.Hour, nil, func(*boot.Report) { first.Do(func() { <-booting }) })
		})
	}
	return stop, nil
}

// registeredWith waits until all phones are registered, with the node of a name where that
// is not "".
func registeredWith(c *cluster.Cluster, node string) error {
	for deadline := time.Now().Add(awaited); ; time.Sleep(time.Second) {
		phones, err := c.Phones()
		if err != nil {
			return err
		}
		n := 0
		for i := range phones {
			if phones[i].Registered && (node == "" || phones[i].Node == node) {
				n++
			}
		}
		if n == registeredPhones {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d phones are registered", n, registeredPhones)
		}
	}
}

// held is what heap and stacks hold, in bytes.
func held() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// processorTime returns which part of a core this process uses for a while.
func processorTime(d time.Duration) float64 {
	used := func() time.Duration {
		var r unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &r)
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	time.Sleep(d)
	return float64(used()-before) / float64(d)
}
