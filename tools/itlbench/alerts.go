package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"itlagent/testbench/alert"
	"itlagent/testbench/cluster"
)

// alertFlags are who is told of a cluster's alerts.
type alertFlags struct{ hook alert.Hook }

func (x *alertFlags) add(f *pflag.FlagSet) {
	f.StringVar(&x.hook.Command, "alert-command", "", "`COMMAND` of sh that is run for each alert, with its line on standard input and ALERT_NAME, ALERT_TEXT and others in the environment")
	f.StringVar(&x.hook.Server, "mail-server", "", "`ADDR` of an SMTP server that takes a mail for each alert, host:port")
	f.StringArrayVar(&x.hook.To, "mail-to", nil, "`ADDRESS` that mails about alerts go to")
	f.StringVar(&x.hook.From, "mail-from", "", "`ADDRESS` that mails about alerts come from (default itlbench@localhost)")
}

// parse reads the flags of a command without other arguments, and checks those about alerts.
// The code counts only where ok is false.
func (x *alertFlags) parse(e *env, f *pflag.FlagSet, args []string) (code int, ok bool) {
	if code, ok := e.parse(f, args, 0); !ok {
		return code, false
	}
	if err := x.hook.Check(); err != nil {
		return e.usage("%s: %v", f.Name(), err), false
	}
	return exitOK, true
}

// run tells of alerts until the function that it returns is called, which ends the context by
// stop and waits.
func (x *alertFlags) run(ctx context.Context, e *env, c *cluster.Cluster, stop func()) (wait func()) {
	if x.hook.Command == "" && x.hook.Server == "" {
		return func() {}
	}
	x.hook.Logf = func(format string, args ...any) { fmt.Fprintf(e.stderr, "itlbench: "+format+"\n", args...) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := x.hook.Follow(ctx, c.Events()); err != nil {
			fmt.Fprintf(e.stderr, "itlbench: alerts: %v\n", err)
		}
	}()
	return func() { stop(); <-done }
}
