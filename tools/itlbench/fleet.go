package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"itlagent/platform/limits"
	"itlagent/testbench/fleet"
)

// fleetCommands are the subcommands of fleet.
func fleetCommands() []command {
	return []command{
		{"run", "", "run many handsets, and count what comes of them", fleetRun},
		{"worker", "", "run ranges of the fleets that controllers queue at a NATS server", fleetWorker},
		{"status", "", "list the workers and runs of a NATS server", fleetStatus},
	}
}

func runFleet(e *env, args []string) int { return e.dispatch("fleet", fleetCommands(), args) }

// fleetFlags are what fleet run is told.
type fleetFlags struct {
	spec    fleet.Spec
	cluster string
	tftp    []string
	dir     string
	resets  int
	hold    bool
	until   string
	keep    bool
	asJSON  bool
	csv     string
	junit   string
	expect  []string
	every   time.Duration
	settle  time.Duration
	nats    natsFlags
	ends    *fleet.Expectation // of until
}

const (
	maxResets   = 1_000_000
	longest     = 24 * time.Hour
	settleTime  = 2 * time.Minute
	reportEvery = 5 * time.Second
	rangeSize   = 500
)

func (o *fleetFlags) add(f *pflag.FlagSet) {
	o.nats.add(f)
	o.nats.jobs = rangeSize
	f.Var(limits.Int(&o.nats.jobs, 1, fleet.MaxRange), "range", "`NUMBER` of phones of a job for a worker")
	f.Var(limits.Duration(&o.nats.AckWait, time.Second, time.Hour), "ack-wait", "`TIME` that a worker may be silent until its job is somebody else's")
	o.spec.AtOnce, o.spec.Interval, o.every, o.settle = fleet.AtOnce, longest, reportEvery, settleTime
	f.IntVar(&o.spec.Count, "count", 0, "`NUMBER` of phones")
	f.StringSliceVar(&o.spec.Models, "models", []string{defaultModel}, "`MODELS` that the phones have in turn, joined by commas")
	f.StringVar(&o.spec.First, "first-mac", "001122000000", "MAC `ADDRESS` of the first phone; the others follow")
	f.StringVar(&o.cluster, "cluster", "", "`DIR` of the cluster: its servers are asked, and it is told of the phones")
	f.StringSliceVar(&o.tftp, "tftp", nil, "TFTP servers' `ADDRESSES`, host[:port], joined by commas")
	f.Var(limits.Duration(&o.spec.Ramp, 0, longest), "ramp", "`TIME` within which the phones start, one after the other")
	f.Var(limits.Duration(&o.spec.Jitter, 0, longest), "jitter", "`TIME` by up to which each starts later")
	f.Uint64Var(&o.spec.Seed, "seed", 1, "`NUMBER` that the jitter comes of")
	f.Var(limits.Int(&o.spec.AtOnce, 1, fleet.MaxAtOnce), "at-once", "`NUMBER` of boot cycles at once")
	f.StringVar(&o.spec.Source, "source", "", "`PREFIX` that phones have addresses of, as 127.0.0.0/8: one address has 28,000 connections at most")
	f.IntVar(&o.spec.MICs, "mics", 0, "`NUMBER` of certificates of a maker that the phones have in turn")
	f.BoolVar(&o.spec.Register, "register", true, "phones stay registered with their call managers, and follow resets")
	f.Var(limits.Duration(&o.spec.Interval, time.Second, 366*longest), "interval", "`TIME` between boot cycles that nobody asks for")
	f.StringVar(&o.dir, "dir", "", "`DIR` that keeps what each phone holds; memory where none is given")
	f.Var(limits.Int(&o.resets, 0, maxResets), "resets", "`NUMBER` of boot cycles of all phones after the first")
	f.BoolVar(&o.hold, "hold", false, "keep the phones running until Ctrl-C")
	f.StringVar(&o.until, "until", "", "keep the phones running until this `EXPECTATION` is met, or Ctrl-C")
	f.BoolVar(&o.keep, "keep", false, "leave the phones known to the cluster at the end")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object in the place of the table")
	f.StringVar(&o.csv, "csv", "", "write a line for each phone to `FILE`")
	f.StringVar(&o.junit, "junit", "", "write a JUnit report to `FILE`")
	f.StringArrayVar(&o.expect, "expect", nil, "`EXPECTATION` about the end, as trusted=100% or locked<=3; exit code 1 where it is not met")
	f.Var(limits.Duration(&o.every, time.Second, longest), "every", "`TIME` between lines of progress where standard error is no terminal")
	f.Var(limits.Duration(&o.settle, 0, longest), "settle", "`TIME` that trusted phones have to register")
}

// check reports what is wrong with the flags, before anything is opened.
func (o *fleetFlags) check() (expected []fleet.Expectation, err error) {
	if (o.cluster == "") == (len(o.tftp) == 0) {
		return nil, fmt.Errorf("either --cluster DIR or --tftp ADDR")
	}
	for _, text := range o.expect {
		x, err := fleet.ParseExpectation(text)
		if err != nil {
			return nil, fmt.Errorf("--expect %w", err)
		}
		expected = append(expected, x)
	}
	if o.until != "" {
		x, err := fleet.ParseExpectation(o.until)
		if err != nil {
			return nil, fmt.Errorf("--until %w", err)
		}
		o.hold, o.ends = true, &x
	}
	if o.nats.URL != "" && (o.hold || o.dir != "") {
		return nil, fmt.Errorf("--hold, --until and --dir are for phones of this process, not for those of workers")
	}
	check := o.spec
	check.Servers = []string{"192.0.2.1"} // those of a cluster are not known yet
	if len(o.tftp) > 0 {
		check.Servers = o.tftp
	}
	return expected, check.Check()
}

// sourceOf names the source prefix where a plain address was meant as one.
func sourceOf(text string) string {
	if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
		return text + "/32"
	}
	return text
}

// fleetOutput writes what came of a fleet, and returns the exit code.
func (e *env) fleetOutput(o *fleetFlags, s fleet.Summary, results []fleet.Result, expected []fleet.Expectation) int {
	if o.asJSON {
		printJSON(e.stdout, s)
	} else {
		s.Write(e.stdout)
	}
	if o.csv != "" {
		var b strings.Builder
		err := fleet.WriteCSV(&b, results)
		if err == nil {
			err = writeFile(o.csv, []byte(b.String()), 0o644)
		}
		if err != nil {
			return e.fail(exitInfra, "fleet run: --csv: %v", plainPath(err))
		}
	}
	if o.junit != "" {
		data, err := fleet.JUnit(s, results, expected)
		if err == nil {
			err = writeFile(o.junit, data, 0o644)
		}
		if err != nil {
			return e.fail(exitInfra, "fleet run: --junit: %v", plainPath(err))
		}
	}
	code := exitOK
	if len(s.Faults) > 0 {
		code = exitInfra
	}
	for i := range expected {
		if err := expected[i].Met(&s); err != nil {
			code = e.fail(exitNo, "%v", err)
		}
	}
	return code
}

// progressLine shows lines of progress: on a terminal one that is written over.
type progressLine struct {
	to    io.Writer
	tty   bool
	shown string
}

func (e *env) progressLine() progressLine {
	tty, ok := e.stderr.(*os.File)
	return progressLine{to: e.stderr, tty: ok && isTerminal(tty)}
}

func (p *progressLine) show(line string) {
	if p.tty {
		fmt.Fprintf(p.to, "\r\x1b[K%s", line)
	} else if line != p.shown {
		fmt.Fprintln(p.to, line)
	}
	p.shown = line
}

// end leaves the last line behind.
func (p *progressLine) end() {
	if p.tty && p.shown != "" {
		fmt.Fprintln(p.to)
	}
}
