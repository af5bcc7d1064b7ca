package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trust"
	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/sftpd"
)

// Options are how a story is run.
type Options struct {
	Out io.Writer // for what happens, line by line; nil for nowhere
	Dir string    // for the clusters' states; a temporary one where ""
	// Boot makes the phones; nil has them in this process.
	Boot Boot
	// Ready, if not nil, gets the clusters by their names once they run, before any
	// phone is made.
	Ready func(map[string]*cluster.Cluster)
	// Advertise is the address by which the phones reach this host's loopback; ""
	// for phones in this process.
	Advertise string
}

// Result is what came of a story.
type Result struct {
	Story   *Story
	Checks  int // expectations that held
	Took    time.Duration
	Failed  bool  // an expectation did not hold
	Skipped bool  // the story wants what its phones do not have
	Err     error // why it ended; nil where all is as expected
	Journal string
}

// unmet is an expectation that did not hold.
type unmet string

func (u unmet) Error() string { return string(u) }

// runner is a story that is being told.
type runner struct {
	story    *Story
	out      io.Writer
	clusters map[string]*cluster.Cluster
	phones   []*phone
	sftp     *sftpd.Server
	values   map[string]string // of what stands in braces
	checks   int
	alerts   map[string]int    // seen already, by cluster
	events   map[string]uint64 // the number of the next one, by cluster
	kept     map[string][]byte // lists that were put aside
	opts     Options
}

// phone is one phone of a story.
type phone struct {
	Phone
	set     Handset
	cluster string
	resets  int // of the cluster that it has followed
	off     bool
}

// Run tells a story until its end or the first expectation that does not hold.
func Run(ctx context.Context, s *Story, o Options) (res Result) {
	begin := time.Now()
	var journal bytes.Buffer
	var out io.Writer = &journal
	if o.Out != nil {
		out = io.MultiWriter(&journal, o.Out)
	}
	r := &runner{story: s, out: out, clusters: make(map[string]*cluster.Cluster), alerts: make(map[string]int), events: make(map[string]uint64), kept: make(map[string][]byte), opts: o}
	defer func() {
		res.Story, res.Checks, res.Took, res.Journal = s, r.checks, time.Since(begin), journal.String()
		var u unmet
		res.Failed = errors.As(res.Err, &u)
		res.Skipped = errors.Is(res.Err, ErrNotHere)
	}()
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "itlbench-scenario-"); err != nil {
			res.Err = err
			return res
		}
		defer os.RemoveAll(dir)
	}
	defer r.close()
	if r.opts.Boot == nil {
		r.opts.Boot = func(_ context.Context, p Phone, c *cluster.Cluster, servers []string) (Handset, error) {
			return NewHost(p, c, servers)
		}
	}
	if res.Err = r.setUp(ctx, dir); res.Err != nil {
		return res
	}
	for i := range s.Steps {
		if res.Err = ctx.Err(); res.Err == nil {
			res.Err = r.step(ctx, &s.Steps[i])
		}
		if res.Err != nil {
			res.Err = fmt.Errorf("step %d: %w", i+1, res.Err)
			r.say("NOT SO: %v", res.Err)
			return res
		}
	}
	if r.checks == 0 {
		res.Err = errors.New("the story expects nothing")
	}
	return res
}

func (r *runner) say(format string, args ...any) { fmt.Fprintf(r.out, "   "+format+"\n", args...) }

func (r *runner) setUp(ctx context.Context, dir string) error {
	for _, c := range r.story.Clusters {
		p, err := profile.Builtin(c.Profile)
		if c.Config != "" {
			p, err = profile.Parse([]byte(c.Config))
		}
		if err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		if p.Installed.IsZero() {
			p.Installed = profile.Note().Installed
		}
		p.Advertise = r.opts.Advertise
		run, err := cluster.New(p, cluster.Options{Dir: filepath.Join(dir, c.Name)})
		if err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		r.clusters[c.Name] = run
		if err := run.Start(); err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
	}
	if r.opts.Ready != nil {
		r.opts.Ready(r.clusters)
	}
	files := filepath.Join(dir, "sftp")
	if err := os.MkdirAll(files, 0o700); err != nil {
		return err
	}
	password := rand.Text()
	var err error
	if r.sftp, err = sftpd.Start(sftpd.Options{Dir: files, User: "joe", Password: password}); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(r.sftp.Address())
	r.values = map[string]string{"sftp": r.sftp.Address(), "sftp.host": host, "sftp.port": port, "sftp.user": "joe", "sftp.password": password, "sftp.dir": files}
	for _, spec := range r.story.Phones {
		p := &phone{Phone: spec, cluster: spec.Cluster}
		if p.cluster == "" {
			p.cluster = r.story.Clusters[0].Name
		}
		if p.MAC == "" {
			known := r.clusters[p.cluster].State().Phones
			if len(known) == 0 {
				return fmt.Errorf("cluster %s knows no phone", p.cluster)
			}
			p.MAC, p.Model = known[0].MAC, known[0].Model
		}
		c := r.clusters[p.cluster]
		servers, err := r.servers(c)
		if err == nil {
			p.set, err = r.opts.Boot(ctx, p.Phone, c, servers)
		}
		if err != nil {
			return fmt.Errorf("phone %s: %w", p.Name, err)
		}
		p.resets = c.State().Resets
		r.phones = append(r.phones, p)
	}
	return nil
}

// servers returns the TFTP servers of a cluster as its phones reach them.
func (r *runner) servers(c *cluster.Cluster) (servers []string, err error) {
	for _, name := range c.State().TFTPNodes() {
		n, err := c.Node(name)
		if err != nil {
			return nil, err
		}
		at := n.Address()
		if r.opts.Advertise != "" {
			_, port, _ := net.SplitHostPort(at)
			at = net.JoinHostPort(r.opts.Advertise, port)
		}
		servers = append(servers, at)
	}
	return servers, nil
}

func (r *runner) close() {
	for _, p := range r.phones {
		p.set.Close()
	}
	for _, c := range r.clusters {
		c.Close()
	}
	if r.sftp != nil {
		r.sftp.Close()
	}
}

func (r *runner) phone(name string) *phone {
	if name == "" {
		return r.phones[0]
	}
	return r.phones[slices.IndexFunc(r.phones, func(p *phone) bool { return p.Name == name })] // Parse has checked it
}

// fill puts values in the place of names in braces.
func (r *runner) fill(c *cluster.Cluster, text string) string {
	now := c.State()
	administrator, security := now.AdminPassword, now.SecurityPassword
	pairs := []string{"{admin}", administrator, "{security}", security}
	for name, value := range r.values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func (r *runner) step(ctx context.Context, st *Step) error {
	name := st.Cluster
	if name == "" {
		name = r.story.Clusters[0].Name
	}
	c := r.clusters[name]
	switch {
	case st.Say != "":
		fmt.Fprintf(r.out, "\n%s\n", st.Say)
		return nil
	case st.Admin != "":
		if err := r.admin(c, st); err != nil {
			return err
		}
	case st.Clock != "":
		d, err := operation.ParseDuration(strings.TrimPrefix(st.Clock, "+"))
		if err != nil {
			return err
		}
		r.say("the bench clock moves %s ahead", strings.TrimPrefix(st.Clock, "+"))
		for _, other := range r.clusters { // one time for all
			if err := other.Apply(operation.Advance(d)); err != nil {
				return err
			}
		}
	case st.Set != nil:
		r.say("administrator sets %s to %s", st.Set.Name, st.Set.Value)
		if err := c.Apply(operation.Set(r.phone(st.Set.Phone).MAC, st.Set.Name, st.Set.Value)); err != nil {
			return err
		}
	case st.Fault != nil:
		service, err := profile.FindService(st.Fault.Service)
		if err == nil {
			err = c.Apply(operation.SetFault(st.Fault.Node, service, st.Fault.Kind))
		}
		if err != nil {
			return err
		}
		r.say("%s on %s: fault %s", service, st.Fault.Node, st.Fault.Kind)
	case st.Rebuild != "":
		r.say("the publisher is installed anew")
		if err := c.Apply(operation.Rebuild(r.fill(c, st.Rebuild))); err != nil {
			return err
		}
	case st.Alerts != nil:
		return r.countAlerts(c, name, *st.Alerts)
	case st.Reported != nil:
		return r.reported(ctx, c, name, st.Reported)
	case st.Erase != "":
		r.say("somebody deletes the lists of %s by hand", st.Erase)
		for _, line := range []string{"erase itl", "erase ctl"} {
			if err := r.must(ctx, r.phone(st.Erase), line); err != nil {
				return err
			}
		}
	case st.Unplug != "":
		r.say("%s is unplugged", st.Unplug)
		r.phone(st.Unplug).off = true
	case st.Move != "":
		p := r.phone(st.Move)
		p.cluster = name
		r.say("%s is given the TFTP servers of %s", p.Name, name)
		servers, err := r.servers(c)
		if err == nil {
			err = p.set.Servers(ctx, servers)
		}
		if err != nil {
			return err
		}
		p.resets = c.State().Resets
		return r.reset(ctx, p, st.Expect)
	case st.Plug != "":
		p := r.phone(st.Plug)
		p.off, p.resets = false, c.State().Resets
		return r.reset(ctx, p, st.Expect)
	case st.Reset != "":
		return r.reset(ctx, r.phone(st.Reset), st.Expect)
	case st.Factory != "":
		r.say("%s is reset to factory settings", st.Factory)
		if err := r.must(ctx, r.phone(st.Factory), "factory-reset", "yes"); err != nil {
			return err
		}
	case st.Encrypt != "":
		p := r.phone(st.Encrypt)
		cert, err := p.set.Certificate()
		if err == nil {
			err = c.Apply(operation.Encrypt(p.MAC, cert))
		}
		if err != nil {
			return fmt.Errorf("phone %s: %w", p.Name, err)
		}
		r.say("the configuration of %s is encrypted for its certificate", p.Name)
	case st.Directory != "":
		return r.directory(ctx, r.phone(st.Directory), st)
	case st.Shell != "":
		return r.shell(ctx, r.phone(st.On), st)
	case st.Keep != "":
		r.kept[st.Keep] = c.Publisher().ITL()
		r.say("the list of %s is put aside", c.Publisher().Name())
	case st.Serve != "":
		list, ok := r.kept[st.Serve]
		if !ok {
			return fmt.Errorf("no list was put aside as %q", st.Serve)
		}
		r.say("TFTP serves the list that was put aside as %s", st.Serve)
		if err := c.Apply(operation.ServeITL(list)); err != nil {
			return err
		}
	}
	return r.follow(ctx)
}

// follow resets the phones that their clusters have told to.
func (r *runner) follow(ctx context.Context) error {
	for _, p := range r.phones {
		if now := r.clusters[p.cluster].State().Resets; now != p.resets && !p.off {
			p.resets = now
			if err := r.reset(ctx, p, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runner) check(ok bool, format string, args ...any) error {
	if !ok {
		return unmet(fmt.Sprintf(format, args...))
	}
	r.checks++
	return nil
}

// admin runs a command on a node's command line.
func (r *runner) admin(c *cluster.Cluster, st *Step) error {
	nodes := []*cluster.Node{c.Publisher()}
	if st.On != "" {
		n, err := c.Node(st.On)
		if err != nil {
			return err
		}
		nodes[0] = n
	}
	if st.All {
		nodes = c.Nodes()
	}
	for _, n := range nodes {
		var answers, printed strings.Builder
		for _, a := range st.Answers {
			answers.WriteString(r.fill(c, a) + "\n")
		}
		r.say("%s %s%s", n.Name(), admin.Prompt, st.Admin)
		code := admin.New(n, console.NewPlain(strings.NewReader(answers.String()), &printed)).Run(r.fill(c, st.Admin))
		if st.Fails || code != admin.Done {
			for line := range strings.Lines(strings.TrimSpace(printed.String())) {
				r.say("   %s", strings.TrimRight(line, "\n"))
			}
		}
		if err := r.check((code != admin.Done) == st.Fails, "the command ends with code %d", code); err != nil {
			return err
		}
		if err := r.prints(st, printed.String()); err != nil {
			return err
		}
	}
	return nil
}

// directory opens a phone's directory. Where it must fail the phone shows Host Not
// Found.
func (r *runner) directory(ctx context.Context, p *phone, st *Step) error {
	return r.shell(ctx, p, &Step{Shell: "directory", Prints: st.Prints, Fails: st.Fails})
}

// shell runs a command in a phone's shell.
func (r *runner) shell(ctx context.Context, p *phone, st *Step) error {
	r.say("%s $ %s", p.Name, st.Shell)
	out, ok, err := p.set.Shell(ctx, st.Shell, st.Answers)
	if err != nil {
		return err
	}
	for line := range strings.Lines(strings.TrimSpace(out)) {
		r.say("   %s", strings.TrimRight(line, "\r\n"))
	}
	if err := r.check(ok != st.Fails, "the command prints:\n%s", out); err != nil {
		return err
	}
	return r.prints(st, out)
}

// must runs a command in a phone's shell that has to succeed.
func (r *runner) must(ctx context.Context, p *phone, line string, answers ...string) error {
	out, ok, err := p.set.Shell(ctx, line, answers)
	if err == nil && !ok {
		err = fmt.Errorf("%s: %s", line, out)
	}
	return err
}

// prints checks what something has printed.
func (r *runner) prints(st *Step, text string) error {
	for _, want := range st.Prints {
		if err := r.check(regexp.MustCompile("(?m)"+want).MatchString(text), "it does not print %q but:\n%s", want, text); err != nil {
			return err
		}
	}
	return nil
}

// reportTime is how long a phone may take to report its lists: it does so beside its
// cycles.
const reportTime = 30 * time.Second

// reported waits for the alarms of phones and checks what came of comparing them.
func (r *runner) reported(ctx context.Context, c *cluster.Cluster, name string, want []string) error {
	for deadline := time.Now().Add(reportTime); ; {
		all, next, err := c.Events().Since(r.events[name])
		if err != nil {
			return err
		}
		var got []string
		for _, e := range all {
			if e.Name == "DeviceTLInfo" {
				got = append(got, e.Tag("ITLStatus"))
			}
		}
		if len(got) >= len(want) || time.Now().After(deadline) {
			r.events[name] = next
			r.say("phones have reported their lists: %s", strings.Join(got, ", "))
			return r.check(slices.Equal(got, want), "reported %v, want %v", got, want)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r *runner) countAlerts(c *cluster.Cluster, name string, want int) error {
	all, _, err := c.Events().Since(0)
	if err != nil {
		return err
	}
	count := 0
	for _, e := range all {
		if e.Name == "ITLRecoveryBackup" {
			count++
		}
	}
	got := count - r.alerts[name]
	r.alerts[name] = count
	r.say("%d alerts about the recovery key", got)
	return r.check(got == want, "%d alerts, want %d", got, want)
}

// reset runs one cycle of a phone.
func (r *runner) reset(ctx context.Context, p *phone, e *Expect) error {
	cy, err := p.set.Cycle(ctx)
	if err != nil {
		return fmt.Errorf("phone %s: %w", p.Name, err)
	}
	r.say("%s (%s) resets:", p.Name, cy.Device)
	for _, o := range []*Outcome{&cy.CTL, &cy.ITL, &cy.Config} {
		if o == &cy.CTL && o.Reason == trust.NotFound.String() || o.Name == "" {
			continue // a cluster in non-secure mode
		}
		verdict := o.Reason
		if o.Accepted {
			verdict = "accepted via " + o.Via
		}
		r.say("   %-28s %s", o.Name, verdict)
	}
	for _, m := range cy.Messages {
		r.say("   %s", m)
	}
	if e == nil {
		return nil
	}
	return r.expect(cy, e)
}

func (r *runner) expect(cy *Cycle, e *Expect) error {
	text := func(what, got, want string) error {
		if want == "" {
			return nil
		}
		return r.check(got == want, "%s is %s, want %s", what, got, want)
	}
	flag := func(what string, got bool, want *bool) error {
		if want == nil {
			return nil
		}
		return r.check(got == *want, "%s is %v, want %v", what, got, *want)
	}
	err := errors.Join(
		flag("trusted", cy.Trusted, e.Trusted),
		text("reason", cy.Reason, e.Reason),
		text("ITL", cy.ITL.Reason, e.ITL),
		text("CTL", cy.CTL.Reason, e.CTL),
		text("via", cy.ITL.Via, e.Via),
		text("CTL via", cy.CTL.Via, e.CTLVia),
		flag("unsigned", cy.Config.Accepted && cy.Config.Via == "", e.Unsigned),
		flag("changed", cy.Changed, e.Changed),
		text("transport", cy.Transport, e.Transport),
	)
	if e.Message != "" {
		err = errors.Join(err, r.check(slices.Contains(cy.Messages, e.Message), "it shows %q, not %q", cy.Messages, e.Message))
	}
	for name, want := range e.Settings {
		err = errors.Join(err, text(name, cy.Settings[name], want))
	}
	return err
}
