package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/printable"
	"itlagent/agent/shell"
	"itlagent/agent/trustlist"
	"itlagent/firmware/handset"
	"itlagent/platform/console"
	"itlagent/platform/filestore"
	"itlagent/testbench/pki"
	"itlagent/testbench/wording"
)

// addHandsetFlags adds the flags that the device program has, too.
func addHandsetFlags(f *pflag.FlagSet, o *handset.Options) {
	own := flag.NewFlagSet("phone", flag.ContinueOnError)
	o.Flags(own)
	own.VisitAll(func(g *flag.Flag) {
		p := pflag.PFlagFromGoFlag(g)
		if p.Name == "verbose" {
			p.Shorthand = "v"
		}
		f.AddFlag(p)
	})
}

func runPhone(e *env, args []string) int {
	f := e.flags("phone")
	o := handset.Options{MAC: "64A0E71502CC", Interval: time.Minute}
	addHandsetFlags(f, &o)
	state := f.String("state", "", "`DIR` that keeps lists and configuration; memory where neither this nor --flash is given")
	flashFlags := addFlashFlags(f)
	asJSON := f.Bool("json", false, "print one JSON object a cycle")
	mic := f.Bool("mic", false, "make a certificate as its maker would, where the phone has none")
	directory := f.Bool("directory", false, "with --once: open the directory of the configuration too")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	if *directory && !o.Once {
		return e.usage("phone: --directory belongs to --once; the shell has a command for it")
	}
	opening := true // what is damaged, or assumed of the model, is told in any case
	o.Log = func(line string) {
		if o.Verbose || opening {
			fmt.Fprintln(e.stderr, printable.Text(line))
		}
	}
	storage, close, code := e.openStorage(*state, flashFlags)
	if code != exitOK {
		return code
	}
	defer close()
	if *mic {
		if err := makeMIC(storage.Store, o.Model, o.MAC); err != nil {
			return e.fail(exitInfra, "phone: MIC: %v", err)
		}
	}
	phone, err := handset.New(o, storage)
	if err != nil {
		return e.usage("phone: %v", err)
	}
	opening = false
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	show := printReport
	if *asJSON {
		show = func(w io.Writer, r *boot.Report) { printJSON(w, wording.ReportOf(r)) }
	}
	if o.Once {
		return e.phoneOnce(ctx, phone, show, *directory)
	}
	url, err := phone.ServePages(ctx)
	if err != nil {
		return e.fail(exitInfra, "phone: %v", err)
	}
	if url != "" {
		fmt.Fprintf(e.stderr, "pages: %s\n", url)
	}
	if o.Console {
		return e.phoneShell(ctx, stop, phone)
	}
	phone.Run(ctx, func(r *boot.Report) { show(e.stdout, r) })
	return exitOK
}

// openStorage opens what a phone of this machine keeps its state in. The code counts only
// where it is not exitOK.
func (e *env) openStorage(state string, flash flashFlags) (s handset.Storage, close func(), code int) {
	switch {
	case state != "" && *flash.path != "":
		return s, nil, e.usage("phone: --state and --flash are two ways to keep the same")
	case state != "":
		dir, err := filestore.Open(state)
		if err != nil {
			return s, nil, e.fail(exitInfra, "%v", plainPath(err))
		}
		s.Store = dir
		return s, func() { dir.Close() }, exitOK
	case *flash.path != "":
		v, close, code := flash.open(e)
		return handset.Storage{Store: v, Messages: v, Tell: v.Tell}, close, code
	default:
		s.Store = new(holdings.MemStore)
	}
	return s, func() {}, exitOK
}

// phoneOnce runs one boot cycle.
func (e *env) phoneOnce(ctx context.Context, phone *handset.Handset, show func(io.Writer, *boot.Report), directory bool) int {
	report := phone.BootOnce(ctx)
	if report.Interrupted {
		return e.fail(exitInfra, "phone: interrupted")
	}
	show(e.stdout, report)
	if code := report.ExitCode(); code != exitOK {
		reason := report.Reason()
		return e.fail(code, "%s: %v: %s", report.Device, reason, report.Text())
	}
	if directory {
		return e.openDirectory(ctx, phone)
	}
	return exitOK
}

// phoneShell runs the phone with its shell in the foreground, which ends it.
func (e *env) phoneShell(ctx context.Context, stop func(), phone *handset.Handset) int {
	cycled := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		phone.Run(ctx, func(*boot.Report) {
			select {
			case cycled <- struct{}{}:
			default:
			}
		})
	}()
	c, tty, leave, err := console.Attach(ctx, e.stdin, e.stdout, shell.Prompt, shell.Complete)
	if err != nil {
		stop()
		<-done
		return e.fail(exitInfra, "%v", err)
	}
	defer leave()
	var o shell.Options
	if !tty { // what is piped in speaks of a phone that has booted, and that has reset
		booted := func() {
			select {
			case <-cycled:
			case <-ctx.Done():
			}
		}
		booted()
		o.Reset = func() {
			select {
			case <-cycled:
			default:
			}
			phone.Reset()
			booted()
		}
	}
	err = phone.Shell(c, o).Loop(ctx)
	stop()
	<-done
	if errors.Is(err, shell.ErrLogin) {
		return e.fail(exitNo, "phone: %v", err)
	}
	return exitOK
}

// openDirectory prints the directory, or what a phone shows in its place.
func (e *env) openDirectory(ctx context.Context, phone *handset.Handset) int {
	p := phone.Directory(ctx)
	if p.Err != nil {
		fmt.Fprintln(e.stdout, agent.HostNotFound)
		for _, line := range p.Why() {
			fmt.Fprintln(e.stdout, line)
		}
		return e.fail(exitNo, "%s: %v", p.URL, p.Err)
	}
	fmt.Fprintf(e.stdout, "directory: %s, vouched for by %v\n", p.URL, p.Verdict.Via)
	for line := range strings.Lines(string(p.Text)) {
		fmt.Fprintln(e.stdout, trustlist.Printable([]byte(strings.TrimRight(line, "\n"))))
	}
	return exitOK
}

// micBits is the size of a manufacturer's key.
const micBits = 2048

// makeMIC gives a phone the certificate that its maker would have installed.
func makeMIC(store holdings.Store, model, mac string) error {
	if _, err := store.Get(holdings.MIC); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id, err := pki.New(pki.Request{
		Subject: pki.Name{CN: model + "-SEP" + strings.ToUpper(mac), OU: "test", O: "itlagent"}, Bits: micBits, From: time.Now(), Years: 20})
	if err != nil {
		return err
	}
	pem, err := id.PhonePEM()
	if err != nil {
		return err
	}
	return store.Put(holdings.MIC, pem)
}

// printReport prints one line a file, the phone's messages, and the outcome.
func printReport(w io.Writer, r *boot.Report) {
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		fmt.Fprintln(w, wording.OutcomeLine(o))
	}
	for _, m := range r.Messages {
		fmt.Fprintf(w, "status: %s\n", m)
	}
	fmt.Fprintf(w, "reason: %v (%s)\n", r.Reason(), r.Text())
}
