package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"itlagent/agent/boot"
	"itlagent/platform/linuxinit"
)

// The files that an image has for its board: arguments, one a line, of the program
// and of its start, and modules with the order in which they are loaded.
const (
	argsFile   = "/etc/itlagent/args"
	modulesDir = "/lib/modules/itlagent"
)

// initBoard is the program as the first process of a board: it prepares the system,
// runs the phone, and ends the machine when the phone does. Arguments behind "--" on
// the kernel's command line come after those of the image. Where it fails, or
// panics, the kernel does, and starts the machine again if it was told so with
// panic=SECONDS.
func initBoard() {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "itlagent:", err)
		}
	}
	fail(linuxinit.Mount())
	fmt.Fprintln(os.Stdout, "itlagent: first process, the kernel is up", uptime())
	var args []string
	if file, err := os.ReadFile(argsFile); err == nil {
		args = strings.Fields(string(file))
	} else {
		fail(err)
	}
	args = append(args, os.Args[1:]...)
	fail(linuxinit.Modules(modulesDir))
	iface, address, gateway, rest := network(args)
	fail(linuxinit.Address(iface, address, gateway))
	ctx, stop := context.WithCancel(context.Background())
	go linuxinit.Reap(ctx)
	dog, err := linuxinit.OpenWatchdog("/dev/watchdog", linuxinit.WatchdogTimeout)
	switch {
	case err == nil:
		fmt.Fprintf(os.Stdout, "itlagent: a program that hangs is reset by the watchdog after %v\n", dog.Timeout())
	case !errors.Is(err, os.ErrNotExist):
		fail(err)
	}
	var once sync.Once
	code, restart := run(rest, os.Stdin, os.Stdout, os.Stderr, func() {
		if err := dog.Feed(); err != nil {
			once.Do(func() { fail(err) })
		}
	})
	if restart {
		reexec()
	}
	fmt.Fprintf(os.Stdout, "itlagent: ends with code %d, power off\n", code)
	stop()
	fail(dog.Close())
	fail(linuxinit.PowerOff())
	os.Exit(1) // the kernel knows what to do when its first process ends
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
