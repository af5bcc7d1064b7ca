package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"itlagent/agent"
	"itlagent/agent/fetch"
	"itlagent/agent/shell"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/web"
	"itlagent/platform/console"
	"itlagent/platform/filestore"
	"itlagent/testbench/pki"
)

func runPhone(e *env, args []string) int {
	f := e.flags("phone")
	mac := f.String("mac", "64A0E71502CC", "MAC `address`, 12 hex digits")
	model := f.String("model", "CP-7965G", "phone `model`")
	firmware := f.String("firmware", "", "`VERSION` of a real phone's firmware; that of the family where none is given")
	servers := f.StringArray("tftp", nil, "`ADDR` of a TFTP server, host[:port], in order")
	state := f.String("state", "", "`DIR` that keeps lists and configuration; memory where neither this nor --flash is given")
	flashFlags := addFlashFlags(f)
	older := f.String("older", "warn", "a list older than the one in force: `warn` or refuse")
	once := f.Bool("once", false, "one cycle only")
	interval := f.Duration("interval", time.Minute, "time between cycles")
	asJSON := f.Bool("json", false, "print one JSON object a cycle")
	mic := f.Bool("mic", false, "make a certificate as its maker would, where the phone has none")
	pages := f.String("web", "", "`ADDR` of the phone's pages, host:port")
	shellOn := f.Bool("console", false, "run the phone's debug shell on standard input and output")
	directory := f.Bool("directory", false, "with --once: open the directory of the configuration too")
	verbose := f.BoolP("verbose", "v", false, "log every step to standard error")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	if *older != "warn" && *older != "refuse" {
		return e.usage("phone: --older warn, or --older refuse")
	}
	trace := new(shell.Trace)
	conf := agent.Config{
		MAC: *mac, Model: *model, Firmware: *firmware, Servers: *servers, Store: new(agent.MemStore),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Rand: rand.Reader, Logf: trace.Logf, Policy: trust.Policy{RefuseOlder: *older == "refuse"},
	}
	opts := shell.Options{Trace: trace}
	switch {
	case *state != "" && *flashFlags.path != "":
		return e.usage("phone: --state and --flash are two ways to keep the same")
	case *directory && !*once:
		return e.usage("phone: --directory belongs to --once; the shell has a command for it")
	case *state != "":
		dir, err := filestore.Open(*state)
		if err != nil {
			return e.fail(exitInfra, "%v", plainPath(err))
		}
		defer dir.Close()
		conf.Store = dir
	case *flashFlags.path != "":
		v, close, code := flashFlags.open(e)
		if code != exitOK {
			return code
		}
		defer close()
		conf.Store, conf.Messages, opts.Flash = v, v, v.Tell
	}
	if *verbose {
		conf.Logf = func(format string, args ...any) {
			fmt.Fprintf(e.stderr, format+"\n", args...)
			trace.Logf(format, args...)
		}
	}
	if *mic {
		if err := makeMIC(conf.Store, *model, *mac); err != nil {
			return e.fail(exitInfra, "phone: MIC: %v", err)
		}
	}
	phone, err := agent.New(conf)
	if err != nil {
		return e.usage("phone: %v", err)
	}
	trace.Line = func(n int, text string) string { return phone.Model().Trace(n, time.Now(), text) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	print := func(r *agent.Report) {
		if *asJSON {
			printJSON(e.stdout, reportOf(r))
		} else {
			printReport(e.stdout, r)
		}
	}
	if *once {
		report := phone.Cycle(ctx)
		print(report)
		if _, err := phone.DeliverAlarms(ctx); err != nil {
			conf.Logf("alarms: %v", err)
		}
		if code := report.ExitCode(); code != exitOK {
			reason := report.Reason()
			return e.fail(code, "%s: %v: %s", report.Device, reason, reason.Text())
		}
		if *directory {
			return e.openDirectory(ctx, phone)
		}
		return exitOK
	}
	if *pages != "" {
		l, err := net.Listen("tcp", *pages)
		if err != nil {
			return e.fail(exitInfra, "phone: %v", err)
		}
		defer l.Close()
		fmt.Fprintf(e.stderr, "pages: http://%s/\n", l.Addr())
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
		opts.Reset = ask
		return e.phoneShell(ctx, stop, phone, opts, *interval, reset)
	}
	phone.Run(ctx, *interval, reset, print)
	return exitOK
}

// phoneShell runs the phone with its shell in the foreground, which ends it.
func (e *env) phoneShell(ctx context.Context, stop func(), phone *agent.Agent, o shell.Options, interval time.Duration, reset <-chan struct{}) int {
	cycled := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		phone.Run(ctx, interval, reset, func(*agent.Report) {
			select {
			case cycled <- struct{}{}:
			default:
			}
		})
	}()
	c, tty, leave, err := console.Attach(e.stdin, e.stdout, shell.Prompt, shell.Complete)
	if err != nil {
		stop()
		<-done
		return e.fail(exitInfra, "%v", err)
	}
	defer leave()
	if !tty {
		<-cycled // what is piped in speaks of a phone that has booted
		ask := o.Reset
		o.Reset = func() { // and that has reset
			select {
			case <-cycled:
			default:
			}
			ask()
			<-cycled
		}
	}
	shell.New(phone, c, o).Loop(ctx)
	stop()
	<-done
	return exitOK
}

// openDirectory prints the directory, or what a phone shows in its place.
func (e *env) openDirectory(ctx context.Context, phone *agent.Agent) int {
	p := phone.Directory(ctx)
	if p.Err != nil {
		fmt.Fprintln(e.stdout, agent.HostNotFound)
		for _, line := range p.Verdict.Describe(p.URL) {
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
func makeMIC(store agent.Store, model, mac string) error {
	if _, err := store.Get("mic"); !errors.Is(err, fs.ErrNotExist) {
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
	return store.Put("mic", pem)
}

// outcomeJSON and reportJSON are the object that `phone --json` prints.
type outcomeJSON struct {
	Name      string `json:"name"`
	Server    string `json:"server"`
	Transport string `json:"transport"`
	Accepted  bool   `json:"accepted"`
	Reason    string `json:"reason"`
	Via       string `json:"via"`
	Changed   bool   `json:"changed"`
}

type reportJSON struct {
	Device   string      `json:"device"`
	Trusted  bool        `json:"trusted"`
	Reason   string      `json:"reason"`
	CTL      outcomeJSON `json:"ctl"`
	ITL      outcomeJSON `json:"itl"`
	Config   outcomeJSON `json:"config"`
	Messages []string    `json:"messages"`
}

func reportOf(r *agent.Report) reportJSON {
	outcome := func(o *agent.Outcome) outcomeJSON {
		return outcomeJSON{o.Name, o.Server, o.Transport, o.Verdict.Accepted, o.Verdict.Reason.String(), o.Verdict.Via.String(), o.Changed}
	}
	return reportJSON{
		Device: r.Device, Trusted: r.Reason() == trust.Accepted, Reason: r.Reason().String(),
		CTL: outcome(&r.CTL), ITL: outcome(&r.ITL), Config: outcome(&r.Config), Messages: r.Messages,
	}
}

// printReport prints one line a file, the phone's messages, and the outcome.
func printReport(w io.Writer, r *agent.Report) {
	for _, o := range []*agent.Outcome{&r.CTL, &r.ITL, &r.Config} {
		fmt.Fprintln(w, outcomeLine(o))
	}
	for _, m := range r.Messages {
		fmt.Fprintf(w, "status: %s\n", m)
	}
	fmt.Fprintf(w, "reason: %v (%s)\n", r.Reason(), r.Reason().Text())
}

func outcomeLine(o *agent.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", o.Name)
	switch {
	case !o.Verdict.Accepted:
		fmt.Fprintf(&b, "%v", o.Verdict.Reason)
		if o.Verdict.Detail != "" {
			fmt.Fprintf(&b, " (%s)", strings.ReplaceAll(o.Verdict.Detail, "\n", "; "))
		}
	case o.Verdict.Via == trust.ViaNone:
		b.WriteString("accepted unsigned")
	default:
		fmt.Fprintf(&b, "accepted via %v", o.Verdict.Via)
	}
	if o.Verdict.Accepted {
		what := "unchanged"
		if o.Changed {
			what = "stored"
		}
		fmt.Fprintf(&b, ", %s", what)
	}
	if o.Transport != "" {
		fmt.Fprintf(&b, " [%s %s]", o.Transport, o.Server)
	}
	return b.String()
}
