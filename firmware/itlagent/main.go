// Itlagent is the phone as a program for a board: it joins the agent to the
// board's network and storage, and does nothing else.
//
//	itlagent -mac 64A0E71502CC -model CP-7965G -tftp 192.0.2.1 -flash /dev/mtd1
//
// What must survive is kept in a vault on the raw flash partition of -flash, which
// is formatted where it holds none, or in the directory of -state. It runs a
// cycle, and another one after each interval or SIGHUP, until SIGTERM. Messages go
// to standard error, one a line.
package main

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOARCH=arm go list -deps . > packages.txt"

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/vault"
	"itlagent/platform/filestore"
	"itlagent/platform/mtd"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0 after an orderly end, with -once 1 for a locked
// phone; 2 for wrong arguments; 3 where storage or every server is out of reach.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("itlagent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	mac := flags.String("mac", "", "the phone's MAC `address`, 12 hex digits")
	model := flags.String("model", "CP-7965G", "the phone's `model`")
	servers := flags.String("tftp", "", "TFTP `servers`, host[:port], joined by commas")
	partition := flags.String("flash", "", "MTD `partition` that holds the vault")
	state := flags.String("state", "/var/lib/itlagent", "`directory` that survives power cuts, where no -flash is given")
	once := flags.Bool("once", false, "run one cycle and exit")
	interval := flags.Duration("interval", 10*time.Minute, "time between cycles")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	conf := agent.Config{
		MAC: *mac, Model: *model, Servers: strings.FieldsFunc(*servers, func(r rune) bool { return r == ',' }),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP,
		Logf: func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
	}
	if err := keep(&conf, *partition, *state); err != nil {
		fmt.Fprintln(stderr, "itlagent:", err)
		return 3
	}
	phone, err := agent.New(conf)
	if err != nil {
		fmt.Fprintln(stderr, "itlagent:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	for {
		report := phone.Cycle(ctx)
		reason := report.Reason()
		fmt.Fprintf(stdout, "%s %s: %s\n", report.Device, reason, reason.Text())
		if *once {
			return report.ExitCode()
		}
		select {
		case <-ctx.Done():
			return 0
		case <-hangup:
		case <-time.After(*interval):
		}
	}
}

// keep gives the phone what survives power cuts: a vault on flash, else a
// directory.
func keep(conf *agent.Config, partition, state string) error {
	if partition == "" {
		store, err := filestore.Open(state)
		conf.Store = store
		return err
	}
	dev, err := mtd.Open(partition)
	if err != nil {
		return err
	}
	v, err := vault.Open(dev, vault.Options{Rand: rand.Reader, Format: true})
	if err != nil {
		return fmt.Errorf("%s: %w", partition, err)
	}
	if h := v.Health(); len(h.Degraded) > 0 || h.ReadOnly != nil {
		conf.Logf("%s: damaged keys %v, bad blocks %v, read-only: %v", partition, h.Degraded, h.Bad, h.ReadOnly)
	}
	conf.Store, conf.Messages = v, v
	return nil
}
