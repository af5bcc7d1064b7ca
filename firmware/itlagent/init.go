package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/printable"
	"itlagent/firmware/repair"
	"itlagent/platform/console"
	"itlagent/platform/linuxinit"
)

// The files that an image has for its board: arguments, one a line, of the program
// and of its start, and modules with the order in which they are loaded.
const (
	argsFile   = "/etc/itlagent/args"
	modulesDir = "/lib/modules/itlagent"
)

// argsEnv has all arguments when the program starts again in its own place: what was
// set in the repair shell goes on.
const argsEnv = "ITLAGENT_ARGS"

// initBoard is the program as the first process of a board: it prepares the system,
// runs the phone, and turns the power off when the phone was told to end. Arguments
// behind "--" on the kernel's command line come after those of the image. Where flash,
// network or arguments are missing, it stays, says so, and offers a shell. Where it
// panics, the kernel does, and starts the machine again if it was told so with
// panic=SECONDS.
func initBoard() {
	complain(linuxinit.Mount())
	fmt.Fprintln(os.Stdout, "itlagent: first process, the kernel is up", uptime())
	complain(linuxinit.Modules(modulesDir))
	ctx, stop := context.WithCancel(context.Background())
	go linuxinit.Reap(ctx)
	dog, err := linuxinit.OpenWatchdog("/dev/watchdog", linuxinit.WatchdogTimeout)
	switch {
	case err == nil:
		fmt.Fprintf(os.Stdout, "itlagent: a program that hangs is reset by the watchdog after %v\n", dog.Timeout())
	case !errors.Is(err, os.ErrNotExist):
		complain(err)
	}
	var once sync.Once
	code := stay(ctx, boardArgs(), func() {
		if err := dog.Feed(); err != nil {
			once.Do(func() { complain(err) })
		}
	})
	fmt.Fprintf(os.Stdout, "itlagent: ends with code %d, power off\n", code)
	stop()
	complain(dog.Close())
	complain(linuxinit.PowerOff())
	os.Exit(1) // the kernel knows what to do when its first process ends
}

// complain prints an error, if it is one.
func complain(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "itlagent:", printable.Text(err.Error()))
	}
}

// boardArgs returns the arguments of the image, and behind them those of the kernel's
// command line.
func boardArgs() []string {
	if args, ok := os.LookupEnv(argsEnv); ok {
		return strings.Fields(args)
	}
	file, err := os.ReadFile(argsFile)
	complain(err)
	return append(strings.Fields(string(file)), os.Args[1:]...)
}

// stay runs the phone, and the repair shell where it cannot run, until the power is to
// be turned off. It returns the phone's exit code.
func stay(ctx context.Context, args []string, alive func()) int {
	attach := func(ctx context.Context, prompt string, complete console.Completer) (console.Console, func(), error) {
		c, _, leave, err := console.Attach(ctx, os.Stdin, os.Stdout, prompt, complete)
		return c, leave, err
	}
	for next := (repair.Result{Args: args}); ; {
		code, problems := start(next, alive)
		if len(problems) == 0 {
			return code
		}
		var err error
		next, err = repair.Run(ctx, attach, os.Stdout, repair.Options{Problems: problems, Args: next.Args, Machine: machine, Alive: alive})
		if complain(err); err == nil && next.PowerOff {
			return 0
		}
	}
}

// start runs the phone until it is told to end, or returns what keeps it from running.
func start(next repair.Result, alive func()) (code int, problems []repair.Problem) {
	iface, address, gateway, rest := network(next.Args)
	err := linuxinit.Address(iface, address, gateway)
	if err != nil && !next.Anyway {
		problems = append(problems, networkProblem(iface, err))
	}
	if p, ok := missing(rest); ok {
		problems = append(problems, p)
	}
	if next.Format {
		rest = append(rest, "-format")
	}
	partition := repair.Value(rest, "-flash")
	if err := linuxinit.WaitFile(partition); err != nil {
		return 0, append(problems, flashProblem(partition, err, ""))
	}
	p, bad := prepare(rest, os.Stderr, alive)
	if bad == nil {
		defer p.close()
		if len(problems) > 0 {
			return 0, problems
		}
		var restart bool
		if code, restart, bad = p.serve(os.Stdin, os.Stdout); restart {
			os.Setenv(argsEnv, strings.Join(next.Args, " "))
			bad = &failure{code: 3, err: reexec()}
		}
	}
	switch {
	case bad == nil:
		return code, nil
	case bad.code != 2:
		problems = append(problems, flashProblem(partition, bad.err, bad.hint))
	case len(problems) == 0 || bad.said: // else what is missing has been found already
		problems = append(problems, repair.Problem{Text: "arguments: " + bad.err.Error(), Hint: argsHint})
	}
	return 0, problems
}

const argsHint = "set mac and set tftp set them here; the boot loader's bootargs have them behind --"

// missing tells which arguments are not there without which no phone runs.
func missing(args []string) (repair.Problem, bool) {
	var without []string
	if repair.Value(args, "-mac") == "" {
		without = append(without, "no MAC address (-mac)")
	}
	if repair.Value(args, "-tftp") == "" {
		without = append(without, "no TFTP server (-tftp)")
	}
	return repair.Problem{Text: "arguments: " + strings.Join(without, ", "), Hint: argsHint}, len(without) > 0
}

// networkProblem is an interface that has no address. One that appears, with a driver
// that was late or a plug that was out, is tried again.
func networkProblem(iface string, err error) repair.Problem {
	p := repair.Problem{Text: "network: " + err.Error(), Hint: "show lists the interfaces; set interface takes another one; start runs the phone without"}
	if _, lost := net.InterfaceByName(iface); lost != nil {
		p.Gone = func() bool { _, err := net.InterfaceByName(iface); return err == nil }
	}
	return p
}

// flashProblem is what is wrong with the storage of a phone.
func flashProblem(partition string, err error, hint string) repair.Problem {
	p := repair.Problem{Text: "flash: " + err.Error(), Hint: "show lists the partitions that the kernel knows; mtdparts= names the flash as the kernel does"}
	if hint != "" {
		p.Hint = "format makes a vault there, and destroys what is there"
	}
	if errors.Is(err, os.ErrNotExist) && partition != "" {
		p.Gone = func() bool { _, err := os.Stat(partition); return err == nil }
	}
	return p
}

// maxLines bounds how much of a file is shown.
const maxLines = 64

// machine tells what the board has: its interfaces, its flash, and how it was started.
func machine() (lines []string) {
	if list, err := net.Interfaces(); err == nil {
		for _, i := range list {
			lines = append(lines, fmt.Sprintf("has interface %s %s", i.Name, i.HardwareAddr))
		}
	}
	for _, file := range []string{"/proc/mtd", "/proc/partitions", "/proc/cmdline"} {
		data, err := os.ReadFile(file)
		if err != nil {
			lines = append(lines, fmt.Sprintf("has no %s", file))
			continue
		}
		n := 0
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && n < maxLines {
				lines = append(lines, file+": "+strings.ReplaceAll(line, "\t", " "))
				n++
			}
		}
	}
	return append(lines, system()...)
}

// network takes interface=, address= and gateway= out of the arguments.
func network(args []string) (iface, address, gateway string, rest []string) {
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "interface":
			iface = value
		case "address":
			address = value
		case "gateway":
			gateway = value
		default:
			rest = append(rest, arg)
		}
	}
	return iface, address, gateway, rest
}

// uptime is how long the kernel has been up, for people.
func uptime() string {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "for an unknown time"
	}
	return strings.Fields(string(data))[0] + " s"
}

// system tells of the machine and of this program.
func system() []string {
	lines := []string{"up " + uptime()}
	for file, names := range map[string][]string{"/proc/self/status": {"VmRSS", "VmHWM"}, "/proc/meminfo": {"MemTotal", "MemAvailable"}} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			name, value, _ := strings.Cut(line, ":")
			if slices.Contains(names, name) {
				lines = append(lines, name+" "+strings.TrimSpace(value))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// setClock sets the clock of a board without an RTC by what a trusted list says: it
// is not earlier than when its newest list was signed. No decision depends on the
// clock but how long an answer of TVS is remembered; the validity of certificates
// is not looked at, so that a clock at 1970 locks nobody out.
func setClock(r *boot.Report, w io.Writer) {
	if !linuxinit.First() || r.HeldITL == nil {
		return
	}
	if at := r.HeldITL.Time(); !at.IsZero() {
		if set, err := linuxinit.Clock(at); err != nil {
			fmt.Fprintln(w, "itlagent: clock:", err)
		} else if set {
			fmt.Fprintln(w, "itlagent: clock set to", at.UTC().Format(time.RFC3339))
		}
	}
}

// clockSlack is how far the clock may be from that of a call manager: its Date has whole
// seconds, and is late by the way that it took.
const clockSlack = 3 * time.Second

// setClockTo sets the clock to the Date of a call manager that accepted the phone, where
// it is off.
func setClockTo(at time.Time, w io.Writer) {
	if off := linuxinit.Now().Sub(at); off.Abs() < clockSlack {
		return
	}
	if _, err := linuxinit.SetClock(at); err != nil {
		fmt.Fprintln(w, "itlagent: clock:", err)
		return
	}
	fmt.Fprintln(w, "itlagent: clock set to", at.UTC().Format(time.RFC3339), "by its call manager")
}
