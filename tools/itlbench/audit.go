package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"itlagent/platform/limits"
	"itlagent/testbench/audit"
	"itlagent/testbench/events"
	"itlagent/testbench/evidence"
	"itlagent/testbench/wording"
)

// auditFlags are where reports come from, and what is printed.
type auditFlags struct {
	dirs, logs         []string
	listen             string
	span               time.Duration // of listening; 0 until it is ended
	all, asCSV, asJSON bool
	from               fromFlags
}

func (x *auditFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&x.dirs, "dir", nil, "`DIR` of a cluster: the first is the one whose phones these are, lists are looked up in all (default "+defaultDir+")")
	f.StringArrayVar(&x.logs, "log", nil, "`FILE` of an application log or syslog, - for standard input; the event logs of the clusters where none is given")
	f.StringVar(&x.listen, "listen", "", "`ADDR` to take alarms by SIP, host:port, until Ctrl-C or --for")
	const longest = 366 * 24 * time.Hour
	f.Var(limits.Duration(&x.span, time.Second, longest), "for", "with --listen: `TIME` after which to end")
	f.BoolVar(&x.all, "all", false, "show every phone, not only those that need something")
	f.BoolVar(&x.asCSV, "csv", false, "print every phone as CSV")
	f.BoolVar(&x.asJSON, "json", false, "print one JSON object, and one a phone")
}

// sources returns the logs to read.
func (x *auditFlags) sources() []string {
	if len(x.logs) > 0 || x.listen != "" {
		return x.logs
	}
	var files []string
	for _, dir := range x.dirs {
		files = append(files, events.Files(filepath.Join(dir, evidence.EventLog))...)
	}
	return files
}

func runAudit(e *env, args []string) int {
	f := e.flags("audit")
	var x auditFlags
	x.add(f)
	x.from.add(f)
	f.StringArrayVar(&x.from.paths, "itl", nil, "`LIST` of a real cluster, or its show itl text: the same as --from")
	if code, ok := e.parse(f, args, 0); !ok {
		return code
	}
	switch {
	case x.asCSV && x.asJSON:
		return e.usage("audit: --csv and --json are two forms of one output")
	case x.span != 0 && x.listen == "":
		return e.usage("audit: --for belongs to --listen")
	case x.from.given() && len(x.dirs) > 0:
		return e.usage("audit: --dir and --from are two clusters: whose phones these are is wanted once")
	case x.logsAlone():
		return x.groups(e)
	case len(x.dirs) == 0 && !x.from.given():
		x.dirs = []string{defaultDir}
	}
	w, reports, code := x.world(e)
	if code != exitOK {
		return code
	}
	defer closeWorld(w)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, path := range x.sources() {
		if err := e.readLog(reports, path); err != nil {
			return e.fail(exitInfra, "audit: %v", plainPath(err))
		}
	}
	if x.listen != "" {
		if err := e.collect(ctx, reports, x.listen, x.span); err != nil {
			return e.fail(exitInfra, "audit: %v", err)
		}
		ctx = context.Background() // Ctrl-C ended the listening
	}
	t, err := x.print(e, audit.NewJudge(ctx, w), reports)
	switch {
	case err != nil:
		return e.fail(exitInfra, "audit: %v", err)
	case t.Locked+t.Unserved+t.Mute > 0:
		return exitNo
	}
	return exitOK
}

// print judges the phones and prints them.
func (x *auditFlags) print(e *env, j *audit.Judge, reports *evidence.Reports) (*audit.Tally, error) {
	t, err := j.Tally(reports)
	if err != nil {
		return nil, err
	}
	switch {
	case x.asJSON:
		return t, e.auditJSON(reports, j, t)
	case x.asCSV:
		return t, auditCSV(e.stdout, reports, j)
	}
	return t, j.Print(e.stdout, reports, t, x.all)
}

// readLog reads a log, with a bar that shows how far it is on a terminal.
func (e *env) readLog(reports *evidence.Reports, path string) error {
	if path == "-" {
		return reports.Read(e.stdin, nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s: it is a directory", path)
	}
	progress, done := e.readProgress(filepath.Base(path), info.Size())
	defer done()
	if err := reports.Read(f, progress); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// collect takes alarms by SIP.
func (e *env) collect(ctx context.Context, reports *evidence.Reports, address string, span time.Duration) error {
	l, err := audit.Listen(address)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "alarms: sip:%s\n", l.Addr())
	if span > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, span)
		defer cancel()
	}
	return l.Collect(ctx, reports)
}

// totalsJSON is what `audit --json` prints of all phones.
type totalsJSON struct {
	Phones   int            `json:"phones"`
	Status   map[string]int `json:"totals"`
	Locked   int            `json:"locked"`
	Unserved int            `json:"unserved"` // without lists, and without anything that they can use
	Lines    int            `json:"lines"`
	Reports  int            `json:"reports"`
	Unusable int            `json:"unusable"`
	Long     int            `json:"tooLong"`
	Faults   []string       `json:"faults"`
}

func (e *env) auditJSON(reports *evidence.Reports, j *audit.Judge, t *audit.Tally) error {
	totals := totalsJSON{Phones: t.Phones, Status: make(map[string]int), Locked: t.Locked, Unserved: t.Unserved, Lines: reports.Lines, Reports: reports.Count, Unusable: reports.Unusable, Long: reports.Long,
		Faults: append([]string{}, reports.Faults...)}
	for _, s := range audit.Statuses() {
		totals.Status[string(s)] = t.Status[s]
	}
	printJSON(e.stdout, totals)
	for p, err := range j.Phones(reports) {
		if err != nil {
			return err
		}
		printJSON(e.stdout, wording.AuditedOf(p))
	}
	return nil
}

func auditCSV(w io.Writer, reports *evidence.Reports, j *audit.Judge) error {
	out := csv.NewWriter(w)
	out.Write([]string{"device", "status", "itl", "ctl", "reported", "cluster", "node", "since", "until", "served", "follows", "reason", "remedy", "commands", "note"})
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	for p, err := range j.Phones(reports) {
		if err != nil {
			return err
		}
		o := wording.AuditedOf(p)
		follows := ""
		if o.Follows != nil {
			follows = fmt.Sprint(*o.Follows)
		}
		out.Write([]string{o.Device, o.Status, o.ITL, o.CTL, when(p.Reported), o.Cluster, o.Node, when(p.Since), when(p.Until), o.Served, follows, o.Reason, o.Remedy,
			strings.Join(o.Commands, "; "), o.Note})
	}
	out.Flush()
	return out.Error()
}
