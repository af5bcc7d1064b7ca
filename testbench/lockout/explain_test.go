package lockout_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/shell"
	"itlagent/agent/trust"
	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/lockout"
	"itlagent/testbench/scenario"
)

// live starts copies of the clusters, and a handset that holds what the phone does.
// The copies have other ports; the handset is led there.
func live(t *testing.T, w lockout.World, p lockout.Phone) (lockout.World, *handset, error) {
	running := w.Fork(nil)
	for _, c := range running {
		t.Cleanup(c.Close)
		if err := errors.Join(c.Apply(operation.Unbind()), c.Start()); err != nil {
			return nil, nil, err
		}
	}
	h := &handset{t: t, phone: p, store: new(holdings.MemStore), was: w, now: running}
	for key, value := range p.Stored {
		if err := h.store.Put(key, value); err != nil {
			return nil, nil, err
		}
	}
	return running, h, h.start(p.Servers, p.Answers)
}

// handset is a real one, in memory.
type handset struct {
	t     *testing.T
	phone lockout.Phone
	store *holdings.MemStore
	agent *agent.Agent
	was   lockout.World // whose addresses the phone knows
	now   lockout.World // what runs in its place
}

// lead returns where an address of the clusters as they were is now.
func (h *handset) lead(address string) string {
	for i, c := range h.was {
		if n, port := c.At(address); n != nil {
			now, err := h.now[i].Node(n.Name())
			if err != nil { // renamed since
				now = h.now[i].Nodes()[slices.Index(c.Nodes(), n)]
			}
			return now.Endpoint(port)
		}
	}
	return address
}

func (h *handset) start(servers []string, answers []trust.Answer) (err error) {
	h.agent, err = agent.New(agent.Config{
		MAC: h.phone.MAC, Model: h.phone.Model, Servers: servers, Store: h.store, Policy: h.phone.Policy,
		Now: h.now.Now, PerFile: 12 * time.Second,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, h.lead(address))
		},
		TFTP: func(ctx context.Context, address, name string, limit int) ([]byte, error) {
			return fetch.PlainTFTP(ctx, h.lead(address), name, limit)
		},
	})
	if err == nil {
		h.agent.Remember(answers)
	}
	return err
}

// savedKey returns the recovery key that a scenario has saved, nil before.
func savedKey(dir string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, "sftp", state.P12Name))
	if err != nil {
		return nil
	}
	return data
}

// carryOut types the commands of a remedy, as they are shown, and resets the phone.
func carryOut(t *testing.T, w lockout.World, p lockout.Phone, remedy lockout.Remedy) (*boot.Report, error) {
	running, h, err := live(t, w, p)
	if err != nil {
		return nil, err
	}
	actions := remedy.Actions()
	for i := range actions {
		a := &actions[i]
		for _, cmd := range a.Commands(running) {
			if err := h.do(running, a, cmd); err != nil {
				return nil, fmt.Errorf("%v: %w", cmd, err)
			}
		}
	}
	return h.agent.Cycle(t.Context()), nil
}

func (h *handset) do(w lockout.World, a *lockout.Action, cmd lockout.Command) error {
	c := w[a.Place()]
	words := strings.Fields(cmd.Line)
	switch cmd.Where {
	case "phone":
		var out strings.Builder
		if !shell.New(h.agent, console.NewPlain(strings.NewReader(cmd.Answer+"\n"), &out), shell.Options{}).Run(h.t.Context(), cmd.Line) {
			return errors.New(out.String())
		}
		return nil
	case "dhcp":
		answers := h.agent.Snapshot().Answers
		return h.start(strings.Fields(strings.TrimPrefix(cmd.Line, "DHCP option 150: ")), answers)
	case "bench":
		switch strings.Join(words[:3], " ") {
		case "itlbench cluster fault":
			service, err := profile.FindService(words[4])
			if err == nil {
				err = c.Apply(operation.SetFault(words[3], service, words[5]))
			}
			return err
		case "itlbench cluster encrypt":
			return c.Apply(operation.Encrypt(words[3], nil))
		case "itlbench cluster serve":
			list, err := c.List(words[3])
			if err == nil {
				err = c.Apply(operation.ServeITL(list))
			}
			return err
		}
	case "admin":
		if key := a.Key(); key != nil { // what the command does once the file is fetched
			return c.Apply(operation.ResetITL(key))
		}
		n, err := c.Node(cmd.Node)
		if err != nil {
			return err
		}
		password := c.State().AdminPassword
		input := strings.ReplaceAll(cmd.Answer, "{admin}", password)
		var out strings.Builder
		if code := admin.New(n, console.NewPlain(strings.NewReader(input+"\n"), &out)).Run(cmd.Line); code != admin.Done {
			return errors.New(out.String())
		}
		return nil
	}
	return fmt.Errorf("nobody knows how to do %q", cmd.Line)
}

// watched is a handset of a scenario, of which every reset is predicted and explained.
type watched struct {
	*scenario.Host
	t        *testing.T
	phone    lockout.Phone
	clusters func() lockout.World
	dir      string // of the SFTP server, where the saved key may be
	count    *counts
}

// counts says how much was tested: not nothing.
type counts struct {
	resets, locked, remedies, ineffective int
	// explained by files and text, so many of them with the phone's log; by the log alone; without a
	// list that is served
	evidence, heeded, told, unserved int
	typed, faulty                    int // first remedies that were typed: that worked, that met a fault of TFTP
}

func (h *watched) Servers(ctx context.Context, servers []string) error {
	h.phone.Servers = servers
	return h.Host.Servers(ctx, servers)
}

func (h *watched) Cycle(ctx context.Context) (*scenario.Cycle, error) {
	stored, err := holdings.Read(h.Store())
	if err != nil {
		return nil, err
	}
	p := h.phone
	p.Stored, p.Answers = stored, h.Agent().Snapshot().Answers
	w := h.clusters()
	before := w.Fork(nil) // as it is now
	c, err := h.Host.Cycle(ctx)
	if err != nil {
		return nil, err
	}
	if lossy(before) {
		h.t.Log("datagrams are lost at random: this reset is not predicted")
		return c, nil
	}
	check(h.t, before, p, h.Agent().Snapshot().Last, lockout.Hints{P12: savedKey(h.dir)}, h.count)
	return c, nil
}

// lossy reports whether a TFTP service loses datagrams: what comes of a transfer then
// is up to chance. A stray answer to a request that was repeated may even be taken for
// that to the next one.
func lossy(w lockout.World) bool {
	for _, c := range w {
		for _, n := range c.Nodes() {
			if n.State().Fault(profile.TFTPService).Kind == "lose" {
				return true
			}
		}
	}
	return false
}

// check compares an explanation with what a handset reported, and carries out every remedy
// that it names.
func check(t *testing.T, w lockout.World, p lockout.Phone, got *boot.Report, hints lockout.Hints, n *counts) {
	t.Helper()
	e, err := lockout.Explain(t.Context(), w, p, hints)
	if err != nil {
		t.Error(err)
		return
	}
	n.resets++
	if diff := differ(e.Report, got); diff != "" {
		t.Errorf("predicted otherwise: %s", diff)
	}
	trusts := e.Works || e.CannotRegister // whether the phone registers is not in its report
	if trusts != (got.Reason() == trust.Accepted) || e.Locked != (!trusts && got.HoldsList()) {
		t.Errorf("works %v, locked %v; the handset says %v, and holds a list: %v", e.Works, e.Locked, got.Reason(), got.HoldsList())
	}
	if e.Works {
		return
	}
	n.locked++
	checkEvidence(t, w, p, got, hints, n)
	if len(e.Remedies) == 0 {
		t.Errorf("no remedy from %v", got.Reason())
	}
	type outcome struct {
		report *boot.Report
		err    error
	}
	remedies := slices.Concat(e.Remedies, e.Ineffective)
	outcomes := make([]outcome, len(remedies))
	var all sync.WaitGroup
	for i := range remedies {
		all.Go(func() { outcomes[i].report, outcomes[i].err = carryOut(t, w, p, remedies[i]) })
	}
	all.Wait()
	for i, remedy := range remedies {
		report, err := outcomes[i].report, outcomes[i].err
		works := err == nil && report.Reason() == trust.Accepted
		predicted := remedy.Works
		if e.CannotRegister && remedy.Report != nil {
			predicted = remedy.Report.Reason() == trust.Accepted
		}
		if works != predicted {
			t.Errorf("%s (%s): carried out works %v (%v, %v), predicted %v (%s)", remedy.Name, remedy.What, works, err, reasonOf(report), remedy.Works, remedy.Outcome())
		}
		if (err != nil) != (remedy.Err != nil) {
			t.Errorf("%s: carried out: %v, predicted: %v", remedy.Name, err, remedy.Err)
		}
		if err == nil && remedy.Err == nil {
			report.Config.Changed = remedy.Report.Config.Changed // the ports in it are others
			if diff := differ(remedy.Report, report); diff != "" {
				t.Errorf("%s: predicted otherwise: %s", remedy.Name, diff)
			}
		}
		if remedy.Works {
			n.remedies++
		} else {
			n.ineffective++
		}
	}
}

func reasonOf(r *boot.Report) string {
	if r == nil {
		return "-"
	}
	return r.Reason().String()
}

// differ compares what matters of two reports.
func differ(predicted, got *boot.Report) string {
	var diffs []string
	for _, o := range []struct {
		name string
		a, b *boot.Outcome
	}{{"CTL", &predicted.CTL, &got.CTL}, {"ITL", &predicted.ITL, &got.ITL}, {"configuration", &predicted.Config, &got.Config}} {
		line := func(o *boot.Outcome) string {
			return fmt.Sprintf("%s %v via %q changed %v by %s", o.Name, o.Verdict.Reason, o.Verdict.Via, o.Changed, o.Transport)
		}
		if a, b := line(o.a), line(o.b); a != b {
			diffs = append(diffs, fmt.Sprintf("%s: %s, got %s (%s)", o.name, a, b, o.b.Verdict.Detail))
		}
	}
	if !slices.Equal(predicted.Messages, got.Messages) {
		diffs = append(diffs, fmt.Sprintf("messages %q, got %q", predicted.Messages, got.Messages))
	}
	return strings.Join(diffs, "; ")
}

// Every reset of every phone in the scenarios is predicted; where the phone is locked,
// each remedy is carried out on a live bench and works, and each ineffective one fails.
func TestScenarios(t *testing.T) {
	names := scenario.Names()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			dir, n := t.TempDir(), new(counts)
			var clusters map[string]*cluster.Cluster
			opts := scenario.Options{Dir: dir, Ready: func(c map[string]*cluster.Cluster) { clusters = c }}
			opts.Boot = func(_ context.Context, p scenario.Phone, c *cluster.Cluster, servers []string) (scenario.Handset, error) {
				host, err := scenario.NewHost(p, c, servers)
				return &watched{Host: host, t: t, dir: dir, count: n,
					phone: lockout.Phone{MAC: p.MAC, Model: p.Model, Servers: servers},
					clusters: func() lockout.World {
						w := lockout.World{c}
						for _, name := range slices.Sorted(maps.Keys(clusters)) {
							if clusters[name] != c {
								w = append(w, clusters[name])
							}
						}
						return w
					}}, err
			}
			r := scenario.Run(t.Context(), s, opts)
			if r.Err != nil {
				t.Error(r.Err)
			}
			t.Logf("%s: %d resets predicted, %d locked; %d remedies and %d ineffective ones carried out; by files and text %d, %d of them with the log; by the log alone %d, without a list %d; first remedies typed: %d work, %d meet a fault of TFTP", name, n.resets, n.locked, n.remedies, n.ineffective, n.evidence, n.heeded, n.told, n.unserved, n.typed, n.faulty)
			locked := strings.Contains(r.Journal, "Trust List Update Failed")
			if locked != (n.locked > 0) && !locked {
				t.Logf("locked without that message")
			}
			if locked && n.locked == 0 {
				t.Error("the scenario has a locked phone that was not explained")
			}
		})
	}
}
