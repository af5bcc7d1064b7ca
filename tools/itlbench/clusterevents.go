package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"itlagent/testbench/events"
)

// followEvery is how often new events are looked for.
const followEvery = 100 * time.Millisecond

func clusterEvents(e *env, args []string) int {
	f := e.flags("cluster events")
	follow := f.Bool("follow", false, "go on until Ctrl-C")
	asJSON := f.Bool("json", false, "print one JSON object an event")
	since := f.Uint64("since", 0, "first `NUMBER`")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for next, last := *since, !*follow; ; {
		var list []events.Event
		var err error
		if list, next, err = c.Events().Since(next); err != nil {
			return e.fail(exitInfra, "%v", err)
		}
		for _, event := range list {
			if *asJSON {
				printJSON(e.stdout, event)
			} else {
				fmt.Fprintln(e.stdout, event)
			}
		}
		if last {
			return exitOK
		}
		select {
		case <-ctx.Done():
			last = true
		case <-time.After(followEvery):
		}
	}
}
