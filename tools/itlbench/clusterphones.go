package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"itlagent/agent/printable"
	"itlagent/platform/limits"
	"itlagent/testbench/cluster"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/wording"
)

func clusterPhones(e *env, args []string) int {
	f := e.flags("cluster phones")
	asJSON := f.Bool("json", false, "print one JSON object a phone")
	want := 0
	f.Var(limits.Int(&want, 1, 1_000_000), "wait", "wait until this `NUMBER` of phones is registered")
	c, code := e.clusterCommand(f, args, 0)
	if c == nil {
		return code
	}
	defer c.Close()
	if err := waitRegistered(c, want); err != nil {
		return e.fail(exitInfra, "cluster phones: %v", err)
	}
	reports, err := evidence.EventLogs(lockout.World{c})
	if err != nil {
		return e.fail(exitInfra, "cluster phones: %v", err)
	}
	phones, err := evidence.Registrations(c, reports)
	if err != nil {
		return e.fail(exitInfra, "cluster phones: %v", err)
	}
	registered := 0
	tab := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	for i := range phones {
		p := &phones[i]
		if p.Registered {
			registered++
		}
		if *asJSON {
			printJSON(e.stdout, p)
			continue
		}
		if i == 0 {
			fmt.Fprintln(tab, "DEVICE\tNODE\tREGISTERED\tADDRESS\tLAST RESET\tITL STATUS")
		}
		at, address := "-", "-"
		if p.Registered {
			at, address = p.Since.UTC().Format(time.DateTime), p.Transport+" "+p.Address
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Device, dash(p.Node), at, address, dash(printable.Text(p.Last)), p.ITLStatus)
	}
	tab.Flush()
	if !*asJSON {
		fmt.Fprintf(e.stdout, "%d of %s registered\n", registered, evidence.Count(len(phones)))
	}
	return exitOK
}

// waitRegistered waits until so many phones are registered, or Ctrl-C.
func waitRegistered(c *cluster.Cluster, want int) error {
	if want == 0 {
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for {
		if n := len(wording.Registered(c)); n >= want {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// progress returns what shows in a terminal how many phones have come back, on one line
// that is written over; nil where nobody looks.
func (e *env) progress() func(back, of int) {
	tty, ok := e.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		return nil
	}
	return func(back, of int) {
		fmt.Fprintf(tty, "\r%d of %d back", back, of)
		if back == of {
			fmt.Fprint(tty, "\r\x1b[K")
		}
	}
}

// dash stands for what is not there.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
