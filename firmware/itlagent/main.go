// Itlagent is the phone as a program for a board: it joins the agent to the
// board's network, storage and console, and does nothing else.
//
//	itlagent -mac 64A0E71502CC -model CP-7965G -tftp 192.0.2.1 -flash /dev/mtd1
//
// What must survive is kept in a vault on the raw flash partition of -flash, which
// is formatted where it holds none, or in the directory of -state. It runs a
// cycle, and another one after each interval, SIGHUP, or reset in its shell, until
// SIGTERM. Messages go to standard error, one a line.
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
	"itlagent/agent/model"
	"itlagent/agent/shell"
	"itlagent/agent/trust"
	"itlagent/agent/vault"
	"itlagent/agent/web"
	"itlagent/platform/block"
	"itlagent/platform/console"
	"itlagent/platform/filestore"
	"itlagent/platform/flash"
	"itlagent/platform/linuxinit"
	"itlagent/platform/mtd"
)

func main() {
	if linuxinit.First() {
		boot() // which does not return
	}
	code, again := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if again {
		startAnew()
	}
	os.Exit(code)
}

// startAnew runs this program again in its own place. It returns only where that
// fails.
func startAnew() {
	err := syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, "itlagent: start anew:", err)
}

// run returns the exit code: 0 after an orderly end, with -once 1 for a locked
// phone; 2 for wrong arguments; 3 where storage or every server is out of reach.
// again says that the program is to start anew.
func run(args []string, stdin *os.File, stdout, stderr io.Writer) (code int, again bool) {
	flags := flag.NewFlagSet("itlagent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	mac := flags.String("mac", "", "the phone's MAC `address`, 12 hex digits")
	name := flags.String("model", "CP-7965G", "the phone's `model`")
	version := flags.String("firmware", "", "the `version` of a real phone's firmware; that of the family where empty")
	servers := flags.String("tftp", "", "TFTP `servers`, host[:port], joined by commas")
	partition := flags.String("flash", "", "MTD `partition`, or block device, that holds the vault")
	state := flags.String("state", "/var/lib/itlagent", "`directory` that survives power cuts, where no -flash is given")
	pages := flags.String("web", "", "`address` of the phone's pages, host:port; none where empty")
	shellOn := flags.Bool("console", false, "run the debug shell on standard input and output")
	older := flags.String("older", "warn", "a list older than the one in force: `warn` or refuse")
	once := flags.Bool("once", false, "run one cycle and exit")
	interval := flags.Duration("interval", 10*time.Minute, "time between cycles")
	if err := flags.Parse(args); err != nil {
		return 2, false
	}
	if *older != "warn" && *older != "refuse" {
		fmt.Fprintln(stderr, "itlagent: -older: warn or refuse")
		return 2, false
	}
	trace := new(shell.Trace)
	conf := agent.Config{
		MAC: *mac, Model: *name, Firmware: *version, Servers: strings.FieldsFunc(*servers, func(r rune) bool { return r == ',' }),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Rand: rand.Reader, Policy: trust.Policy{RefuseOlder: *older == "refuse"},
		Logf: func(format string, args ...any) {
			trace.Logf(format, args...)
			if !*shellOn { // which shows it on demand
				fmt.Fprintf(stderr, format+"\n", args...)
			}
		},
	}
	keeper, err := keep(&conf, *partition, *state)
	if err != nil {
		fmt.Fprintln(stderr, "itlagent:", err)
		return 3, false
	}
	phone, err := agent.New(conf)
	if err != nil {
		fmt.Fprintln(stderr, "itlagent:", err)
		return 2, false
	}
	m := model.Find(*name, *version)
	trace.Line = func(n int, text string) string { return m.Trace(n, time.Now(), text) }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if *once {
		report := phone.Cycle(ctx)
		phone.DeliverAlarms(ctx)
		say(stdout, report)
		return report.ExitCode(), false
	}
	if *pages != "" {
		l, err := net.Listen("tcp", *pages)
		if err != nil {
			fmt.Fprintln(stderr, "itlagent:", err)
			return 3, false
		}
		go web.Serve(ctx, l, phone)
	}
	ask, reset := agent.NewReset()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for range hangup {
			ask()
		}
	}()
	if *shellOn {
		opts := shell.Options{Reset: ask, Restart: func() { again = true; stop() }, Trace: trace, Flash: keeper, System: system}
		c, leave, err := serveShell(ctx, phone, stdin, stdout, opts)
		if err != nil {
			fmt.Fprintln(stderr, "itlagent:", err)
			return 3, false
		}
		defer leave()
		stdout = c // which keeps the line that is being typed whole
	}
	each := func(r *agent.Report) { keepTime(r, stdout); say(stdout, r) }
	phone.Run(ctx, *interval, reset, each)
	return 0, again
}

func say(w io.Writer, r *agent.Report) {
	reason := r.Reason()
	fmt.Fprintf(w, "%s %s: %s\n", r.Device, reason, reason.Text())
}

// serveShell runs the shell beside the phone, and again after each exit, on a
// console that is returned, with what gives the terminal back.
func serveShell(ctx context.Context, phone *agent.Agent, stdin *os.File, stdout io.Writer, o shell.Options) (console.Console, func(), error) {
	c, tty, leave, err := console.Attach(stdin, stdout, shell.Prompt, shell.Complete)
	if err != nil {
		return nil, nil, err
	}
	go func() {
		for ctx.Err() == nil {
			shell.New(phone, c, o).Loop(ctx)
			if !tty {
				return // the end of what was piped in
			}
			time.Sleep(time.Second) // a line that is gone gives one error after the other
		}
	}()
	return c, leave, nil
}

// keep gives the phone what survives power cuts: a vault on flash, else a
// directory. tell tells of the flash; it is nil without.
func keep(conf *agent.Config, partition, state string) (tell func(io.Writer) error, err error) {
	if partition == "" {
		store, err := filestore.Open(state)
		conf.Store = store
		return nil, err
	}
	dev, err := openFlash(partition)
	if err != nil {
		return nil, err
	}
	v, err := vault.Open(dev, vault.Options{Rand: rand.Reader, Format: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", partition, err)
	}
	if h := v.Health(); len(h.Degraded) > 0 || h.ReadOnly != nil {
		conf.Logf("%s: damaged keys %v, bad blocks %v, read-only: %v", partition, h.Degraded, h.Bad, h.ReadOnly)
	}
	conf.Store, conf.Messages = v, v
	return v.Tell, nil
}

// blockErase is the erase block of a vault on a block device, in bytes.
const blockErase = 64 << 10

// openFlash opens an MTD partition, or a block device for boards without raw flash.
func openFlash(path string) (flash.Flash, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0 {
		return block.Open(path, blockErase)
	}
	return mtd.Open(path)
}
