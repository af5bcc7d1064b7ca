package main

import (
	"context"
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
	"itlagent/agent/trust"
	"itlagent/platform/filestore"
)

func runPhone(e *env, args []string) int {
	f := e.flags("phone")
	mac := f.String("mac", "64A0E71502CC", "MAC `address`, 12 hex digits")
	model := f.String("model", "CP-7965G", "phone `model`")
	servers := f.StringArray("tftp", nil, "`ADDR` of a TFTP server, host[:port], in order")
	state := f.String("state", "", "`DIR` that keeps lists and configuration; memory where neither this nor --flash is given")
	flashFlags := addFlashFlags(f)
	once := f.Bool("once", false, "one cycle only")
	interval := f.Duration("interval", time.Minute, "time between cycles")
	asJSON := f.Bool("json", false, "print one JSON object a cycle")
	verbose := f.BoolP("verbose", "v", false, "log every step to standard error")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	conf := agent.Config{
		MAC: *mac, Model: *model, Servers: *servers, Store: new(agent.MemStore),
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP,
	}
	switch {
	case *state != "" && *flashFlags.path != "":
		return e.usage("phone: --state and --flash are two ways to keep the same")
	case *state != "":
		dir, err := filestore.Open(*state)
		if err != nil {
			return e.fail(exitInfra, "%v", plainPath(err))
		}
		conf.Store = dir
	case *flashFlags.path != "":
		v, close, code := flashFlags.open(e)
		if code != exitOK {
			return code
		}
		defer close()
		conf.Store, conf.Messages = v, v
	}
	if *verbose {
		conf.Logf = func(format string, args ...any) { fmt.Fprintf(e.stderr, format+"\n", args...) }
	}
	phone, err := agent.New(conf)
	if err != nil {
		return e.usage("phone: %v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		report := phone.Cycle(ctx)
		if *asJSON {
			printJSON(e.stdout, reportOf(report))
		} else {
			printReport(e.stdout, report)
		}
		if *once {
			if code := report.ExitCode(); code != exitOK {
				reason := report.Reason()
				return e.fail(code, "%s: %v: %s", report.Device, reason, reason.Text())
			}
			return exitOK
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-hangup: // a reset
		case <-time.After(*interval):
		}
	}
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
