package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/lockout"
	"itlagent/testbench/wording"
)

// explainFlags are what is known of a phone and of a cluster.
type explainFlags struct {
	phone       evidence.Source
	eraseSize   string
	dirs, files []string // of the cluster, with phone.Servers for one that runs somewhere
	p12         string
	asJSON, all bool
	from        fromFlags
	logs        []string
	pcap        string
}

func (x *explainFlags) add(f *pflag.FlagSet) {
	x.from.add(f)
	f.StringArrayVar(&x.logs, "log", nil, "`FILE` that a phone has written: a console log, a problem report, pasted status messages; - for standard input")
	f.StringVar(&x.pcap, "pcap", "", "`FILE` with captured packets of phones that boot: pcap or pcapng, also in gzip; - for standard input")
	p := &x.phone
	f.StringArrayVar(&p.Installed, "installed", nil, "`LIST` that the phone holds; at most one ITL and one CTL")
	f.StringVar(&p.Config, "config", "", "`FILE` with the configuration that the phone holds, for its TVS servers; the one that is served where not given")
	f.StringVar(&p.Flash, "flash", "", "`IMAGE` of the phone's flash")
	f.StringVar(&x.eraseSize, "erase-size", "", "`SIZE` of an erase block, where the image does not tell")
	f.StringVar(&p.State, "state", "", "`DIR` that keeps what the phone holds")
	f.StringVar(&p.Page, "phone", "", "`URL` of a running phone's pages")
	f.StringVar(&p.Hash, "hash", "", "`HASH` of the phone's ITL, from its alarm, its page or its display: MD5, SHA-1 or SHA-512")
	f.StringVar(&p.MAC, "mac", "", "MAC `address` of the phone; with nothing else, what it reported last is looked up")
	f.StringVar(&p.Model, "model", "", "phone `model` (default: what is known of it, or CP-7965G)")
	f.StringArrayVar(&x.dirs, "dir", nil, "`DIR` of a cluster; the first is the one that serves the phone")
	f.StringArrayVar(&p.Servers, "tftp", nil, "`ADDR` of a TFTP server that the phone is given")
	f.StringVar(&x.p12, "p12", "", "`FILE`: a saved ITLRecovery.p12")
	f.BoolVar(&x.all, "all", false, "print the remedies that are ineffective, too")
	f.BoolVar(&x.asJSON, "json", false, "print one JSON object")
}

func runExplain(e *env, args []string) int {
	f := e.flags("explain")
	var x explainFlags
	x.add(f)
	const maxFiles = 3
	if code, ok := e.parse(f, args, -maxFiles); !ok {
		return code
	}
	if x.from.release != "" {
		if _, err := profile.FindRelease(x.from.release); err != nil {
			return e.usage("explain: --release: %v", err)
		}
	}
	if x.pcap != "" {
		if len(x.dirs)+len(x.logs)+len(x.phone.Servers)+f.NArg() > 0 || x.from.given() || x.phone.Page+x.phone.Hash != "" {
			return e.usage("explain: --pcap says what the cluster has served: of the phone it goes with --installed, --config, --flash and --state, and with no cluster")
		}
		return x.explainCapture(e, f.Changed("mac"))
	}
	if len(x.logs) > 0 && !x.from.given() {
		if len(x.dirs)+f.NArg() > 0 {
			return e.usage("explain: --log says what a phone has written: it goes with no cluster but one of --from")
		}
		return e.explainLogs(x.logs, x.asJSON)
	}
	x.files, x.phone.Reported = f.Args(), f.Changed("mac") && x.phone.Given() == 0
	if code := x.check(e); code != exitOK {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, code := e.world(x.dirs)
	if code != exitOK {
		return code
	}
	defer closeWorld(w)
	ex, code, err := x.ask(ctx, e, w)
	if code != exitOK {
		return code
	}
	switch {
	case errors.Is(err, evidence.ErrUnknownList), errors.Is(err, evidence.ErrSilent), errors.Is(err, evidence.ErrDisputed):
		return e.fail(exitInfra, "explain: nothing can be said: %v", err)
	case err != nil:
		return e.fail(exitNo, "explain: %v", plainPath(err))
	}
	if x.asJSON {
		printJSON(e.stdout, wording.ExplanationOf(ex))
	} else {
		wording.Explanation(e.stdout, ex, x.all)
	}
	switch reason := ex.Report.Reason(); {
	case reason == trust.DownloadFailed:
		return exitInfra
	case !ex.Works:
		return exitNo
	}
	return exitOK
}

// check reports contradictions.
func (x *explainFlags) check(e *env) int {
	clusters := 0
	if x.from.given() && len(x.dirs)+len(x.phone.Servers) == 0 {
		clusters = 1 // with files beside it
	}
	for _, given := range []bool{len(x.dirs) > 0, len(x.files) > 0, len(x.phone.Servers) > 0 && len(x.dirs) == 0} {
		if given {
			clusters++
		}
	}
	if x.eraseSize != "" {
		var err error
		if x.phone.EraseSize, err = parseSize(x.eraseSize); err != nil {
			return e.usage("explain: %v", err)
		}
	}
	switch {
	case x.phone.Given() > 1:
		return e.usage("explain: --installed, --flash, --state, --phone and --hash are different sources of what the phone holds; give one")
	case clusters != 1 && !x.from.given():
		return e.usage("explain: what the cluster serves is wanted one way: --dir, files, --from or --tftp")
	case len(x.dirs) == 0 && !x.from.given() && !x.textGiven() && (x.phone.Hash != "" || x.phone.Page != "" || x.phone.Reported):
		return e.usage("explain: a hash is looked up among the lists that a cluster has served: give its --dir")
	case x.p12 != "" && len(x.dirs) == 0 && !x.from.given():
		return e.usage("explain: --p12 needs the --dir of the cluster whose key it is")
	}
	return exitOK
}

// ask asks the clusters, or the evidence of a real one. The code counts where it is not exitOK.
func (x *explainFlags) ask(ctx context.Context, e *env, w lockout.World) (*lockout.Explanation, int, error) {
	if x.from.given() || len(w) == 0 && len(x.files) > 0 && x.textGiven() {
		return x.fromEvidence(ctx, e, w)
	}
	ex, err := x.explain(ctx, w)
	return ex, exitOK, err
}

// textGiven reports whether a list is given as the text that show itl prints.
func (x *explainFlags) textGiven() bool {
	items, err := recogniser.Collect(slices.Concat(x.files, x.phone.Installed), nil, recogniser.Limits{})
	return err == nil && slices.ContainsFunc(items, func(it *recogniser.Item) bool { return it.Kind == recogniser.ListText })
}

// explain asks the cluster of directories, of files, or of the network.
func (x *explainFlags) explain(ctx context.Context, w lockout.World) (*lockout.Explanation, error) {
	var around lockout.Surroundings = w
	switch dial := new(net.Dialer).DialContext; {
	case len(w) > 0:
	case len(x.files) == 0:
		around = &lockout.Network{Network: boot.Network{Dial: dial, TFTP: fetch.PlainTFTP}}
	default:
		served, err := evidence.Served(x.files, time.Now())
		if err != nil {
			return nil, err
		}
		served.Dial = dial
		around = served
	}
	p, err := x.phone.Phone(ctx, w, around)
	if err != nil {
		return nil, err
	}
	hints := lockout.Hints{Open: p.Recalled}
	if x.p12 != "" {
		if hints.P12, err = evidence.ReadFile(x.p12); err != nil {
			return nil, err
		}
	}
	if len(w) == 0 && len(x.files) > 0 {
		defer x.copyHints(&p, &hints)()
	}
	ex, err := lockout.Explain(ctx, around, p.Phone, hints)
	if err == nil {
		ex.Notes = append(p.Notes, ex.Notes...)
	}
	return ex, err
}

// world opens the clusters of directories.
func (e *env) world(dirs []string) (lockout.World, int) {
	var w lockout.World
	for _, dir := range dirs {
		c, code := e.openCluster(dir)
		if c == nil {
			closeWorld(w)
			return nil, code
		}
		w = append(w, c)
	}
	return w, exitOK
}

func closeWorld(w lockout.World) {
	for _, c := range w {
		c.Close()
	}
}
