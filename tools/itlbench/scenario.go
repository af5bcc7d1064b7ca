package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"itlagent/agent/printable"
	"itlagent/platform/board"
	"itlagent/testbench/scenario"
	"itlagent/tools/qemu"
	"itlagent/tools/rig"
)

func runScenario(e *env, args []string) int {
	f := e.flags("scenario")
	junit := f.String("junit", "", "write a JUnit report to `FILE`")
	tap := f.Bool("tap", false, "print results in the Test Anything Protocol")
	quiet := f.BoolP("quiet", "q", false, "print the results alone")
	on := f.String("on", "host", "where the phones are: host, the `BOARD` that is emulated for each, or the board or target that is at --console")
	dir := f.String("dir", "", "`DIR` of a cluster, or of the copy of a real one: a copy of it takes the place of the first cluster of each scenario")
	s := new(site)
	s.addPhone(f)
	const maxNames = 100
	if code, ok := e.parse(f, args, -maxNames); !ok {
		return code
	}
	switch {
	case f.NArg() == 1 && f.Arg(0) == "list":
		return e.listScenarios()
	case f.NArg() < 2 || f.Arg(0) != "run":
		return e.usage("scenario: list, or run NAME...|FILE.yaml...|all")
	}
	scenarios, code := e.scenarios(f.Args()[1:])
	if code != exitOK {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	opts, clean, code := e.scenarioOptions(ctx, f, s, *on, *dir)
	if code != exitOK {
		return code
	}
	defer clean()
	if !*quiet && !*tap {
		opts.Out = e.stdout
	}
	var tell func(scenario.Result)
	if !*tap {
		tell = func(r scenario.Result) { fmt.Fprintln(e.stdout, summary(r)) }
	}
	results, err := runScenarios(ctx, scenarios, opts, tell)
	if err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	e.boardFailed(ctx, opts.plugged, results)
	if *tap {
		scenario.WriteTAP(e.stdout, results)
	}
	if *junit != "" {
		report, err := scenario.JUnit(results)
		if err == nil {
			err = writeOutput(*junit, report)
		}
		if err != nil {
			return e.fail(exitInfra, "%v", err)
		}
	}
	return worstOf(results)
}

func (e *env) listScenarios() int {
	for _, name := range scenario.Names() {
		s, err := scenario.Load(name)
		if err != nil {
			return e.fail(exitInfra, "%v", err)
		}
		fmt.Fprintf(e.stdout, "%s\n    %s\n", s.Name, s.About)
	}
	return exitOK
}

// runScenarios runs scenarios one behind the other until Ctrl-C, each board in a folder of
// its own. tell hears each result, where it is not nil.
func runScenarios(ctx context.Context, scenarios []*scenario.Scenario, opts scenarioOptions, tell func(scenario.Result)) (results []scenario.Result, err error) {
	for _, s := range scenarios {
		if opts.Out != nil {
			fmt.Fprintf(opts.Out, "\n%s: %s\n\n", s.Name, s.About)
		}
		o := opts
		switch {
		case opts.plugged != nil:
			o.Boot = opts.phone.Boots(o.Found.MAC, o.Found.Model)
		case opts.board != nil:
			dir, err := os.MkdirTemp("", "itlbench-board-")
			if err != nil {
				return results, err
			}
			defer os.RemoveAll(dir)
			o.Boot = qemu.Boots(opts.board, opts.base, dir, 0)
		}
		r := scenario.Run(ctx, s, o.Options)
		results = append(results, r)
		if tell != nil {
			tell(r)
		}
	}
	return results, nil
}

// worstOf returns the exit code of results.
func worstOf(results []scenario.Result) int {
	worst := exitOK
	for _, r := range results {
		switch {
		case r.Failed:
			worst = max(worst, exitNo)
		case r.Skipped:
		case r.Err != nil:
			worst = exitInfra
		}
	}
	return worst
}

// scenarioOptions are how scenarios are run at a place; base is the image of a board, and
// plugged one that is there.
type scenarioOptions struct {
	scenario.Options
	board   *board.Board
	base    string
	plugged *plugged
	phone   *rig.Phone // on that
}

// scenarioOptions says how scenarios are run: their phones on this host or a board, and dir in the
// place of their first cluster where it is not "".
func (e *env) scenarioOptions(ctx context.Context, f *pflag.FlagSet, s *site, on, dir string) (o scenarioOptions, clean func(), code int) {
	clean = func() {}
	if dir != "" {
		if on != "host" {
			return o, clean, e.usage("scenario: --dir goes with phones on this host alone")
		}
		c, code := e.openCluster(dir)
		if c == nil {
			return o, clean, code
		}
		c.Close()
		o.Copy = dir
	}
	if on == "host" {
		for _, flag := range []string{"console", "power", "listen", "advertise"} {
			if f.Changed(flag) {
				return o, clean, e.usage("scenario run: --%s is of a board that is there: --on says which one", flag)
			}
		}
		return o, clean, exitOK
	}
	if code := s.find(e, f, on); code != exitOK {
		return o, clean, code
	}
	if s.console != "" || s.board.QEMU == nil {
		return e.pluggedOptions(ctx, s)
	}
	b := s.board
	if err := qemu.Check(b); err != nil {
		return o, clean, e.fail(exitInfra, "scenario run: %v", err)
	}
	base, err := os.MkdirTemp("", "itlbench-image-")
	if err != nil {
		return o, clean, e.fail(exitInfra, "%v", err)
	}
	if err := ensureImage(b, base); err != nil {
		os.RemoveAll(base)
		return o, clean, e.fail(exitInfra, "scenario run: %v", err)
	}
	o.board, o.base, o.Advertise = b, base, hostForGuest
	return o, func() { os.RemoveAll(base) }, exitOK
}

// pluggedOptions are those of a board that is there. It is booted, to know what phone it
// is.
func (e *env) pluggedOptions(ctx context.Context, s *site) (o scenarioOptions, clean func(), code int) {
	clean = func() {}
	if text := s.wrong(); text != "" {
		return o, clean, e.usage("scenario run: %s", text)
	}
	p, err := s.plug(ctx)
	if err != nil {
		return o, clean, e.siteFailed(ctx, "scenario run", err)
	}
	o.phone = rig.NewPhone(p.Relay, nil)
	o.Found.MAC, o.Found.Model, err = o.phone.Identity(ctx)
	if err != nil {
		defer p.unplug()
		return o, clean, e.siteFailed(ctx, "scenario run", p.explain(err))
	}
	fmt.Fprintf(e.stderr, "%s: SEP%s, a %s; its console is in %s\n", s.name, o.Found.MAC, printable.Text(o.Found.Model), s.log)
	o.board, o.plugged, o.Advertise, o.Listen = s.board, p, s.advertise, s.listen
	return o, p.unplug, exitOK
}

// boardFailed says what helps where a board that is there ended a scenario.
func (e *env) boardFailed(ctx context.Context, p *plugged, results []scenario.Result) {
	for _, r := range results {
		if p != nil && r.Err != nil && !r.Failed && !r.Skipped {
			e.siteFailed(ctx, "scenario run", p.explain(r.Err))
			return
		}
	}
}

func summary(r scenario.Result) string {
	if r.Skipped {
		return fmt.Sprintf("skipped %s: %v", r.Scenario.Name, r.Err)
	}
	if r.Err != nil {
		text, _, _ := strings.Cut(r.Err.Error(), "\n")
		return fmt.Sprintf("FAILED %s: %s", r.Scenario.Name, text)
	}
	return fmt.Sprintf("passed %s: %d checks, %.1f s", r.Scenario.Name, r.Checks, r.Took.Seconds())
}

// scenarios loads scenarios by name or from files.
func (e *env) scenarios(names []string) ([]*scenario.Scenario, int) {
	if len(names) == 1 && names[0] == "all" {
		names = scenario.Names()
	}
	var out []*scenario.Scenario
	for _, name := range names {
		s, err := scenario.Load(name)
		if strings.HasSuffix(name, ".yaml") {
			var data []byte
			if data, err = readYAML(name); err == nil {
				if s, err = scenario.Parse(data); err != nil {
					err = fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		if err != nil {
			return nil, e.usage("scenario run: %v", plainPath(err))
		}
		out = append(out, s)
	}
	return out, exitOK
}
