// Itlagent is the phone as a program for a board: a handset with the board's storage
// and console.
//
//	itlagent -mac 64A0E71502CC -model CP-7965G -tftp 192.0.2.1 -flash /dev/mtd1 -console /dev/ttyS1,115200
//
// With -console, or -console tty, its shell is on standard input and output; with a line
// on that, and messages stay where they are.
//
// What must survive is kept in a vault on the raw flash partition of -flash, which
// is formatted where it holds none, or in the directory of -state. It runs a boot
// cycle, registers with a call manager, and runs another cycle after each interval,
// SIGHUP, reset in its shell, or reset by the call manager, until SIGTERM. Messages go to standard error, one a line.
package main

//go:generate sh -c "CGO_ENABLED=0 GOOS=linux GOARCH=arm go list -deps . > packages.txt"

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/printable"
	"itlagent/agent/shell"
	"itlagent/agent/vault"
	"itlagent/firmware/handset"
	"itlagent/platform/block"
	"itlagent/platform/console"
	"itlagent/platform/filestore"
	"itlagent/platform/flash"
	"itlagent/platform/linuxinit"
	"itlagent/platform/mtd"
)

func main() {
	if linuxinit.First() {
		initBoard() // which does not return
	}
	code, restart := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, nil)
	if restart {
		complain(reexec())
	}
	os.Exit(code)
}

// reexec runs this program again in its own place. It returns only where that fails.
func reexec() error {
	return fmt.Errorf("restart: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// run returns the exit code: 0 after an orderly end, with -once 1 for a locked
// phone; 2 for wrong arguments; 3 where storage or every server is out of reach.
// restart says that the program is to run again.
func run(args []string, stdin *os.File, stdout, stderr io.Writer, alive func()) (code int, restart bool) {
	p, bad := prepare(args, stderr, alive)
	if bad == nil {
		defer p.close()
		if code, restart, bad = p.serve(stdin, stdout); bad == nil {
			return code, restart
		}
	}
	if !bad.said {
		fmt.Fprintln(stderr, "itlagent:", printable.Text(bad.err.Error()))
	}
	if bad.hint != "" {
		fmt.Fprintln(stderr, bad.hint)
	}
	return bad.code, false
}

// failure says why a phone cannot run.
type failure struct {
	code int
	err  error
	said bool // on standard error
	hint string
}

// program is the phone that arguments describe.
type program struct {
	opts    handset.Options
	phone   *handset.Handset
	storage storage
	line    string // of the shell; "" for standard input and output
}

// close gives its storage back.
func (p *program) close() {
	if p.storage.Closer != nil {
		p.storage.Close()
	}
}

// prepare opens a phone's storage and puts the phone together. alive, if not nil, is
// called by the phone's loop.
func prepare(args []string, stderr io.Writer, alive func()) (*program, *failure) {
	p := &program{opts: handset.Options{Interval: 10 * time.Minute, Alive: alive}}
	o := &p.opts
	flags := flag.NewFlagSet("itlagent", flag.ContinueOnError)
	flags.SetOutput(harmless{stderr}) // what is wrong with an argument repeats it
	o.Flags(flags)
	partition := flags.String("flash", "", "MTD `partition`, or block device, that holds the vault")
	format := flags.Bool("format", false, "make a vault where -flash holds none that can be read, and destroy what it holds")
	state := flags.String("state", "/var/lib/itlagent", "`directory` that survives power cuts, where no -flash is given")
	args, p.line = consoleLine(args)
	if err := flags.Parse(args); err != nil {
		return nil, &failure{code: 2, err: err, said: true}
	}
	opening := true // what is damaged, or assumed of the model, is told in any case
	o.Log = func(line string) {
		if !o.Console || opening || p.line != "" { // the shell shows the rest on demand
			fmt.Fprintln(stderr, printable.Text(line))
		}
	}
	if linuxinit.First() {
		o.SetClock = func(at time.Time) { setClockTo(at, stderr) }
	}
	var err error
	if p.storage, err = openStorage(*partition, *state, *format, o.Log); err != nil {
		f := &failure{code: 3, err: err}
		if vault.Formattable(err) && !errors.Is(err, vault.ErrGeometry) {
			f.hint = "-format makes a vault there, and destroys what is there"
		}
		return nil, f
	}
	if p.phone, err = handset.New(*o, p.storage.Storage); err != nil {
		p.close()
		return nil, &failure{code: 2, err: err}
	}
	opening = false
	return p, nil
}

// serve runs the phone until it ends, or is asked to.
func (p *program) serve(stdin *os.File, stdout io.Writer) (code int, restart bool, bad *failure) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if p.opts.Once {
		report := p.phone.BootOnce(ctx)
		if report.Interrupted {
			return 0, false, &failure{code: 3, err: errors.New("interrupted")}
		}
		say(stdout, report)
		return report.ExitCode(), false, nil
	}
	if _, err := p.phone.ServePages(ctx); err != nil {
		return 0, false, &failure{code: 3, err: err}
	}
	o := shell.Options{Restart: func() { restart = true; stop() }, System: system}
	switch {
	case p.line != "":
		f, err := openLine(p.line)
		if err != nil {
			return 0, false, &failure{code: 3, err: err}
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			serveLine(ctx, p.phone, p.line, f, o)
		}()
		defer func() { stop(); <-ended }()
	case p.opts.Console:
		c, leave, err := serveShell(ctx, p.phone, stdin, stdout, o)
		if err != nil {
			return 0, false, &failure{code: 3, err: err}
		}
		defer leave()
		stdout = c // which keeps the line that is being typed whole
	}
	p.phone.Run(ctx, func(r *boot.Report) {
		setClock(r, stdout)
		say(stdout, r)
	})
	return 0, restart, nil
}

// say prints the line by which scripts and boards' drivers know the end of a boot cycle.
func say(w io.Writer, r *boot.Report) {
	reason := r.Reason()
	fmt.Fprintf(w, "%s %s: %s\n", r.Device, reason, r.Text())
}

// serveShell runs the shell beside the phone, and again after each exit, on a
// console that is returned, with what gives the terminal back.
func serveShell(ctx context.Context, phone *handset.Handset, stdin *os.File, stdout io.Writer, o shell.Options) (console.Console, func(), error) {
	c, tty, leave, err := console.Attach(ctx, stdin, stdout, shell.Prompt, shell.Complete)
	if err != nil {
		return nil, nil, err
	}
	go func() {
		for ctx.Err() == nil {
			phone.Shell(c, o).Loop(ctx)
			if !tty {
				return // the end of what was piped in
			}
			time.Sleep(time.Second) // a line that is gone gives one error after the other
		}
	}()
	return c, leave, nil
}

// storage is what survives power cuts, and how it is given back.
type storage struct {
	handset.Storage
	io.Closer
}

// openStorage opens a vault on flash, else a directory. Flash that is neither erased nor
// a vault is formatted only where that is asked for.
func openStorage(partition, state string, format bool, log func(string)) (s storage, err error) {
	if partition == "" {
		store, err := filestore.Open(state)
		if err != nil {
			return s, err
		}
		return storage{handset.Storage{Store: store}, store}, nil
	}
	dev, err := openFlash(partition)
	if err != nil {
		return s, err
	}
	options := vault.Options{Rand: rand.Reader, Format: vault.FormatErased}
	if format {
		options.Format = vault.FormatAny
	}
	v, err := vault.Open(dev, options)
	if err != nil {
		dev.Close()
		return s, fmt.Errorf("%s: %w", partition, err)
	}
	if h := v.Health(); len(h.Degraded) > 0 || h.ReadOnly != nil {
		log(fmt.Sprintf("%s: damaged keys %v, bad blocks %v, read-only: %v", partition, h.Degraded, h.Bad, h.ReadOnly))
	}
	return storage{handset.Storage{Store: v, Messages: v, Tell: v.Tell}, dev}, nil
}

// blockErase is the erase block of a vault on a block device, in bytes.
const blockErase = 64 << 10

// openFlash opens an MTD partition, or a block device for boards without raw flash.
func openFlash(path string) (closableFlash, error) {
	info, err := os.Stat(path)
	if err == nil && info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0 {
		return block.Open(path, blockErase)
	}
	return mtd.Open(path)
}

// closableFlash is flash behind a device file.
type closableFlash interface {
	flash.Flash
	io.Closer
}

// harmless writes lines without what would disturb a terminal.
type harmless struct{ w io.Writer }

func (h harmless) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		text, _ := strings.CutSuffix(line, "\n")
		if _, err := io.WriteString(h.w, printable.Text(strings.ReplaceAll(text, "\t", "    "))+line[len(text):]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
