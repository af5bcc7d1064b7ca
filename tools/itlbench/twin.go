package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"itlagent/agent/printable"
	"itlagent/testbench/evidence"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/lockout"
	"itlagent/testbench/twin"
)

// fromFlags are what is known of a real cluster.
type fromFlags struct {
	paths   []string
	release string
	held    []*recogniser.Item // what a phone holds, where that is known by files
}

func (x *fromFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&x.paths, "from", nil, "`EVIDENCE` of a real cluster: lists, show itl text, certificates, logs, exports of phones; a file, a folder or an archive of them")
	f.StringVar(&x.release, "release", "", "`RELEASE` of the real cluster, such as 12.5; guessed from its lists where not given")
}

// given reports whether there is evidence of a real cluster.
func (x *fromFlags) given() bool { return len(x.paths) > 0 }

// twin makes the copy of the real cluster, in memory or in a directory. The code counts only
// where there is none.
func (x *fromFlags) twin(e *env, command, dir string, more ...string) (*twin.Twin, int) {
	items, err := recogniser.Collect(append(append([]string{}, x.paths...), more...), e.stdin, recogniser.Limits{})
	if err != nil {
		return nil, e.fail(exitNo, "%s: %v", command, err)
	}
	for _, it := range items {
		for _, l := range it.Lists {
			warnText(e, it.Name, l)
		}
		if it.Err != nil {
			fmt.Fprintf(e.stderr, "itlbench: warning: %s is left out: %s\n", printable.Text(it.Name), it.About)
		}
	}
	t, err := twin.New(items, twin.Options{Release: x.release, Dir: dir, Held: x.held})
	switch {
	case errors.Is(err, twin.ErrRelease):
		return nil, e.usage("%s: --release: %v", command, err)
	case errors.Is(err, twin.ErrNoList):
		return nil, e.fail(exitNo, "%s: what the cluster serves is not known: %v", command, err)
	case errors.Is(err, os.ErrExist):
		return nil, e.usage("%s: %s has a cluster already", command, dir)
	case err != nil:
		return nil, e.fail(exitNo, "%s: %v", command, plainPath(err))
	}
	return t, exitOK
}

func runImport(e *env, args []string) int {
	f := e.flags("import")
	output := f.StringP("output", "o", "", "`DIR` of the copy; it must not have a cluster yet")
	release := f.String("release", "", "`RELEASE` of the real cluster, such as 12.5; guessed from its lists where not given")
	const maxFiles = 10_000
	if code, ok := e.parse(f, args, -maxFiles); !ok {
		return code
	}
	switch {
	case *output == "":
		return e.usage("import: no -o DIR given")
	case f.NArg() == 0:
		return e.usage("import: no evidence given: lists, show itl text, certificates, logs, exports of phones, or an archive of them")
	}
	x := fromFlags{paths: f.Args(), release: *release}
	t, code := x.twin(e, "import", *output)
	if t == nil {
		return code
	}
	defer t.Cluster.Close()
	if err := t.WriteReports(filepath.Join(*output, evidence.EventLog)); err != nil {
		return e.fail(exitInfra, "import: %v", plainPath(err))
	}
	if err := writeFile(filepath.Join(*output, "README"), []byte(readmeOf(t)), 0o600); err != nil {
		return e.fail(exitInfra, "import: %v", err)
	}
	s := t.Cluster.State()
	fmt.Fprintf(e.stdout, "%s: a copy of %s, release %s, %d nodes, %s, %d lists\n", *output, s.Profile.Name, s.Profile.Release, len(s.Nodes), evidence.Count(len(s.Phones)), len(s.Lists()))
	for _, n := range t.Notes {
		fmt.Fprintf(e.stdout, "  %s\n", printable.Text(n))
	}
	return exitOK
}

// readmeOf is the text that stands in the directory of a copy.
func readmeOf(t *twin.Twin) string {
	var b strings.Builder
	s := t.Cluster.State()
	fmt.Fprintf(&b, "The copy of a real cluster, %s, made on %s.\n\n", s.Profile.Name, time.Now().UTC().Format(time.DateTime))
	b.WriteString("Its certificates are the real ones as far as they are known, and its lists have the\nhashes of the real ones. It has no private key of the real cluster: stand-ins sign in\ntheir place, and no real phone accepts that. It serves no phones.\n\nWhat was guessed, and what is not known:\n")
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "- %s\n", printable.Text(n))
	}
	return b.String()
}

// fromEvidence explains a phone by evidence of a real cluster, and of others that it may come from.
func (x *explainFlags) fromEvidence(ctx context.Context, e *env, others lockout.World) (*lockout.Explanation, int, error) {
	more := x.files
	if x.phone.Config != "" {
		more = append(append([]string{}, more...), x.phone.Config) // its addresses are the cluster's
	}
	clean, code := x.from.fetch(e, "explain", x.phone.Servers)
	defer clean()
	if code != exitOK {
		return nil, code, nil
	}
	if !slices.Contains(x.phone.Installed, recogniser.Stdin) { // what cannot be read is said later
		x.from.held, _ = recogniser.Collect(slices.DeleteFunc(append(slices.Clone(x.phone.Installed), x.phone.State), func(p string) bool { return p == "" }), nil, recogniser.Limits{})
	}
	t, code := x.from.twin(e, "explain", "", more...)
	if t == nil {
		return nil, code, nil
	}
	defer t.Cluster.Close()
	w := append(lockout.World{t.Cluster}, others...)
	p, notes, err := t.Phone(ctx, x.phone, e.stdin, others...)
	if err != nil {
		return nil, exitOK, err
	}
	if len(x.logs) > 0 {
		log, code := e.phoneLog(x.logs)
		if code != exitOK {
			return nil, code, nil
		}
		note, err := twin.Heed(ctx, w, p, log)
		if err != nil {
			return nil, exitOK, err
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	hints := lockout.Hints{Open: true}
	if x.p12 != "" {
		if hints.P12, err = evidence.ReadFile(x.p12); err != nil {
			return nil, exitOK, err
		}
	}
	ex, err := lockout.Explain(ctx, w, p, hints)
	if err == nil {
		ex.Notes = append(append(append([]string{}, t.Notes...), notes...), ex.Notes...)
	}
	return ex, exitOK, err
}

// fetch adds the lists that TFTP servers serve to the evidence. clean removes what was fetched,
// once it is read.
func (x *fromFlags) fetch(e *env, command string, servers []string) (clean func(), code int) {
	clean = func() {}
	if len(servers) == 0 {
		return clean, exitOK
	}
	dir, err := os.MkdirTemp("", "itlbench-fetched-")
	if err != nil {
		return clean, e.fail(exitInfra, "%s: %v", command, err)
	}
	clean = func() { os.RemoveAll(dir) }
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, addr := range servers {
		if err := fetchLists(ctx, addr, dir); err != nil {
			return clean, e.fail(exitInfra, "%s: %s: %v", command, addr, err)
		}
	}
	x.paths = append(x.paths, dir)
	return clean, exitOK
}

// copyHints gives an explanation from files the copy of the cluster to try remedies in.
func (x *explainFlags) copyHints(p *evidence.Phone, h *lockout.Hints) (closeCopy func()) {
	items, err := recogniser.Collect(x.files, nil, recogniser.Limits{})
	if err != nil {
		return func() {}
	}
	installed, err := recogniser.Collect(x.phone.Installed, nil, recogniser.Limits{})
	if err != nil {
		return func() {}
	}
	return x.copyOf(items, installed, p, h)
}

// copyOf makes the copy of a cluster that serves some files, for a phone that holds others.
func (x *explainFlags) copyOf(served, installed []*recogniser.Item, p *evidence.Phone, h *lockout.Hints) (closeCopy func()) {
	closeCopy = func() {}
	t, err := twin.New(served, twin.Options{Release: x.from.release, Held: installed})
	if err != nil {
		return
	}
	closeCopy = t.Cluster.Close
	w := lockout.World{t.Cluster}
	if err := t.AddPhone(p.MAC, p.Model); err != nil {
		return
	}
	held := p.Phone
	held.Servers = lockout.Servers(t.Cluster)
	stored, err := t.Held(installed)
	if err != nil || len(stored) == 0 {
		return
	}
	held.Stored = stored
	if _, err := evidence.Presume(&held, t.Cluster); err != nil {
		return
	}
	h.Copy, h.Held = w, held
	return
}
