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
	"slices"
	"strings"
	"time"

	"itlagent/agent/trust"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
	"itlagent/testbench/sftpd"
)

// Options are how a scenario is run.
type Options struct {
	Out io.Writer // for what happens, line by line; nil for nowhere
	Dir string    // for the clusters' states; a temporary one where ""
	// Boot makes the phones; nil has them in this process.
	Boot Boot
	// Ready, if not nil, gets the clusters by their names once they run, before any
	// phone is made.
	Ready func(map[string]*cluster.Cluster)
	// Copy is the directory of a cluster, of which a copy takes the place of the scenario's first
	// one; "" for none. Where that is the copy of a real cluster, which serves nobody, the phones
	// are on paper, begin with what they have reported, and Boot is not used.
	Copy string
	// Advertise is the address by which the phones reach this host's loopback; ""
	// for phones in this process.
	Advertise string
	// Listen is the address of this host that the clusters listen on, for phones of a
	// LAN; loopback where "".
	Listen string
	// Found is the phone that is there, by its MAC address and model: it takes the
	// place of each cluster's first one. The model of a phone that the scenario itself
	// names stays. "" leaves them all.
	Found Found
}

// Found is a phone that was there before the scenario.
type Found struct{ MAC, Model string }

// Result is what came of a scenario.
type Result struct {
	Scenario *Scenario
	Checks   int // expectations that held
	Took     time.Duration
	Failed   bool  // an expectation did not hold
	Skipped  bool  // the scenario wants what its phones do not have
	Err      error // why it ended; nil where all is as expected
	Journal  string
}

// unmet is an expectation that did not hold.
type unmet string

func (u unmet) Error() string { return string(u) }

// runner is a scenario that runs.
type runner struct {
	scenario *Scenario
	out      io.Writer
	clusters map[string]*cluster.Cluster
	phones   []*phone
	sftp     *sftpd.Server
	values   map[string]string // of what stands in braces
	checks   int
	alerts   map[*cluster.Cluster]int    // seen already
	events   map[*cluster.Cluster]uint64 // the number of the next one
	saved    map[string][]byte           // lists
	ca       *pki.Identity               // that signs, below a root; nil before it is needed
	opts     Options
	paper    bool   // the phones are on paper, and no cluster runs
	was      string // MAC address of the phone whose place the found one has; "" for none
}

// phone is one phone of a scenario.
type phone struct {
	Phone
	set     Handset
	cluster *cluster.Cluster
	resets  int // of the cluster that it has followed
	off     bool
	hears   bool // it is registered, and hears itself when it is to reset
}

// Run runs a scenario until its end or the first expectation that does not hold.
func Run(ctx context.Context, s *Scenario, o Options) (res Result) {
	begin := time.Now()
	var journal bytes.Buffer
	var out io.Writer = &journal
	if o.Out != nil {
		out = io.MultiWriter(&journal, o.Out)
	}
	r := &runner{scenario: s, out: out, clusters: make(map[string]*cluster.Cluster), opts: o,
		alerts: make(map[*cluster.Cluster]int), events: make(map[*cluster.Cluster]uint64), saved: make(map[string][]byte)}
	defer func() {
		res.Scenario, res.Checks, res.Took, res.Journal = s, r.checks, time.Since(begin), journal.String()
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
		res.Err = errors.New("the scenario expects nothing")
	}
	return res
}

func (r *runner) say(format string, args ...any) { fmt.Fprintf(r.out, "   "+format+"\n", args...) }

func (r *runner) setUp(ctx context.Context, dir string) error {
	for i, c := range r.scenario.Clusters {
		run, err := r.newCluster(i, &c, filepath.Join(dir, c.Name))
		if err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		r.clusters[c.Name] = run
		if r.paper {
			continue
		}
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
	for _, spec := range r.scenario.Phones {
		p, err := r.newPhone(ctx, spec)
		if err != nil {
			return fmt.Errorf("phone %s: %w", spec.Name, err)
		}
		r.phones = append(r.phones, p)
	}
	return nil
}

// newCluster makes a cluster, the i-th of the scenario, in a directory.
func (r *runner) newCluster(i int, c *Cluster, dir string) (*cluster.Cluster, error) {
	if i == 0 && r.opts.Copy != "" {
		return r.copied(dir)
	}
	p, err := profile.Builtin(c.Profile)
	if c.Config != "" {
		p, err = profile.Parse([]byte(c.Config))
	}
	if err != nil {
		return nil, err
	}
	if p.Installed.IsZero() {
		p.Installed = profile.Note().Installed
	}
	p.Advertise = r.opts.Advertise
	if r.opts.Listen != "" {
		p.Host = r.opts.Listen
	}
	r.place(&p)
	return cluster.New(p, cluster.Options{Dir: dir, Mute: !r.scenario.registers()})
}

// place puts the phone that is there in the place of a cluster's first one.
func (r *runner) place(p *profile.Profile) {
	if r.opts.Found.MAC == "" || len(p.Phones) == 0 {
		return
	}
	p.Phones = slices.Clone(p.Phones)
	r.was = p.Phones[0].MAC
	p.Phones[0].MAC = r.opts.Found.MAC
	if !slices.ContainsFunc(r.scenario.Phones, func(p Phone) bool { return p.Model != "" }) {
		p.Phones[0].Model = r.opts.Found.Model
	}
}

// newPhone makes a phone, which does not boot yet.
func (r *runner) newPhone(ctx context.Context, spec Phone) (*phone, error) {
	if spec.Cluster == "" {
		spec.Cluster = r.scenario.Clusters[0].Name
	}
	c := r.clusters[spec.Cluster]
	if spec.MAC == r.was && r.was != "" {
		spec.MAC = r.opts.Found.MAC
	}
	if spec.MAC == "" {
		known := c.State().Phones
		if len(known) == 0 {
			return nil, fmt.Errorf("cluster %s knows no phone", spec.Cluster)
		}
		spec.MAC, spec.Model = known[0].MAC, known[0].Model
	}
	servers, err := r.servers(c)
	if err != nil {
		return nil, err
	}
	boot := r.opts.Boot
	if r.paper {
		boot = func(_ context.Context, p Phone, c *cluster.Cluster, servers []string) (Handset, error) {
			return r.newPaper(p, c, servers)
		}
	}
	set, err := boot(ctx, spec, c, servers)
	return &phone{Phone: spec, set: set, cluster: c, resets: c.State().Resets}, err
}

// nameOf returns the name that the scenario has for a cluster.
func (r *runner) nameOf(c *cluster.Cluster) string {
	for name, other := range r.clusters {
		if other == c {
			return name
		}
	}
	return ""
}

// servers returns the TFTP servers of a cluster as its phones reach them.
func (r *runner) servers(c *cluster.Cluster) (servers []string, err error) {
	if r.paper {
		return lockout.Servers(c), nil
	}
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
	name := st.cluster
	if name == "" {
		name = r.scenario.Clusters[0].Name
	}
	err := st.run(ctx, r, r.clusters[name])
	if _, ok := st.action.(looks); ok || err != nil {
		return err
	}
	return r.follow(ctx)
}

// follow resets the phones that their clusters have told to.
func (r *runner) follow(ctx context.Context) error {
	for _, p := range r.phones {
		if now := p.cluster.State().Resets; now != p.resets && !p.off && !p.hears {
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

// sayLines repeats what something has printed.
func (r *runner) sayLines(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		r.say("   %s", strings.TrimRight(line, "\r\n"))
	}
}

// shell runs a command in a phone's shell.
func (r *runner) shell(ctx context.Context, p *phone, line string, answers []string, fails bool, prints output) error {
	r.say("%s $ %s", p.Name, line)
	out, ok, err := p.set.Shell(ctx, line, answers)
	if err != nil {
		return err
	}
	r.sayLines(out)
	if err := r.check(ok != fails, "the command prints:\n%s", out); err != nil {
		return err
	}
	return prints.met(r, out)
}

// must runs a command in a phone's shell that has to succeed.
func (r *runner) must(ctx context.Context, p *phone, line string, answers ...string) error {
	out, ok, err := p.set.Shell(ctx, line, answers)
	if err == nil && !ok {
		err = fmt.Errorf("%s: %s", line, out)
	}
	return err
}

// reset runs one boot cycle of a phone.
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
	return e.met(r, cy)
}
