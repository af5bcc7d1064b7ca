package scenario

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/shell"
	"itlagent/agent/trust"
	"itlagent/platform/console"
	"itlagent/testbench/cluster"
	"itlagent/testbench/pki"
)

// Handset is a phone of a scenario, wherever it runs.
type Handset interface {
	// Cycle resets the phone, or boots it the first time, and returns what came of
	// it.
	Cycle(ctx context.Context) (*Cycle, error)
	// Shell runs a command of the phone's shell, with answers to what it asks, and
	// returns what it prints and whether it did what it was to.
	Shell(ctx context.Context, line string, answers []string) (output string, ok bool, err error)
	// Servers gives the phone other TFTP servers; what it keeps stays.
	Servers(ctx context.Context, servers []string) error
	// Certificate is the phone's own, nil without one.
	Certificate() (*x509.Certificate, error)
	Close()
}

// Outcome is what came of one file.
type Outcome struct {
	Name     string // "" where it was not asked for
	Accepted bool
	Reason   string
	Via      string
}

// Cycle is what came of a reset.
type Cycle struct {
	Device           string
	Trusted          bool
	Reason           string
	CTL, ITL, Config Outcome
	Changed          bool // another ITL is in force than before
	Transport        string
	Messages         []string
	Settings         map[string]string
}

// ErrNotHere says that a scenario wants what the phones of a place do not have.
var ErrNotHere = errors.New("phones here do not have what the scenario wants")

// Boot makes the handset of a phone, or gives ErrNotHere. servers are its TFTP servers.
type Boot func(ctx context.Context, p Phone, c *cluster.Cluster, servers []string) (Handset, error)

// Host is a handset of this process.
type Host struct {
	phone   Phone
	cluster *cluster.Cluster
	store   *holdings.MemStore
	agent   *agent.Agent
	running *running // nil for one that boots when it is told to, and does not register
}

// running is a phone that registers, and boots when its call manager says so.
type running struct {
	ask    func()
	cycles chan *boot.Report
	stop   func()
	done   chan struct{}
}

// Agent returns the phone itself. After Servers it is another one.
func (h *Host) Agent() *agent.Agent { return h.agent }

// Store returns what the phone keeps.
func (h *Host) Store() *holdings.MemStore { return h.store }

// NewHost boots nothing yet: it makes a phone of a scenario in this process.
func NewHost(p Phone, c *cluster.Cluster, servers []string) (*Host, error) {
	h := &Host{phone: p, cluster: c, store: new(holdings.MemStore)}
	if p.MIC {
		if err := h.makeMIC(); err != nil {
			return nil, err
		}
	}
	return h, h.start(servers)
}

func (h *Host) start(servers []string) (err error) {
	h.agent, err = agent.New(agent.Config{
		MAC: h.phone.MAC, Model: h.phone.Model, Servers: servers, Store: h.store,
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: h.cluster.Now, Rand: rand.Reader, Address: "127.0.0.1",
	})
	return err
}

// makeMIC gives the phone the certificate of its maker.
func (h *Host) makeMIC() error {
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: h.phone.Model + "-SEP" + h.phone.MAC, O: "maker"}, Bits: 2048, From: h.cluster.Now(), Years: 20})
	if err != nil {
		return err
	}
	pem, err := id.PhonePEM()
	if err != nil {
		return err
	}
	return h.store.Put(holdings.MIC, pem)
}

// Certificate implements Handset.
func (h *Host) Certificate() (*x509.Certificate, error) {
	id := h.agent.Identity()
	if id == nil {
		return nil, errors.New("the phone has no certificate")
	}
	return x509.ParseCertificate(id.Certificate[0])
}

// Servers implements Handset.
func (h *Host) Servers(ctx context.Context, servers []string) error {
	again := h.running != nil
	h.PowerCut()
	if err := h.start(servers); err != nil || !again {
		return err
	}
	return h.Register(ctx)
}

// Register boots the phone and lets it register. It returns once it has booted.
func (h *Host) Register(ctx context.Context) error {
	h.PowerCut()
	run, stop := context.WithCancel(context.Background())
	ask, reset := agent.NewReset()
	h.running = &running{ask: ask, cycles: make(chan *boot.Report, 1), stop: stop, done: make(chan struct{})}
	r, a := h.running, h.agent
	go func() {
		defer close(r.done)
		const seldom = 24 * time.Hour // nobody waits for it
		a.Run(run, seldom, reset, func(report *boot.Report) {
			select {
			case <-r.cycles: // nobody has asked for that one
			default:
			}
			r.cycles <- report
		})
	}()
	_, err := h.cycled(ctx)
	return err
}

// cycled waits for the next boot cycle of a phone that runs.
func (h *Host) cycled(ctx context.Context) (*boot.Report, error) {
	select {
	case report := <-h.running.cycles:
		return report, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// PowerCut ends a phone that registers. What it keeps stays.
func (h *Host) PowerCut() {
	if h.running != nil {
		h.running.stop()
		<-h.running.done
		h.running = nil
	}
}

// Unplug implements Unplugging.
func (h *Host) Unplug(context.Context) error {
	h.PowerCut()
	return nil
}

// Close implements Handset.
func (h *Host) Close() { h.PowerCut() }

// Shell implements Handset.
func (h *Host) Shell(ctx context.Context, line string, answers []string) (string, bool, error) {
	var out strings.Builder
	in := strings.NewReader(strings.Join(append(answers[:len(answers):len(answers)], ""), "\n"))
	ok := shell.New(h.agent, console.NewPlain(in, &out), shell.Options{}).Run(ctx, line)
	return out.String(), ok, nil
}

// boot resets the phone.
func (h *Host) boot(ctx context.Context) (*boot.Report, error) {
	if h.running != nil {
		select {
		case <-h.running.cycles:
		default:
		}
		h.running.ask()
		return h.cycled(ctx)
	}
	r := h.agent.Cycle(ctx)
	h.agent.DeliverAlarms(ctx) // what no server takes waits
	return r, nil
}

// Cycle implements Handset.
func (h *Host) Cycle(ctx context.Context) (*Cycle, error) {
	r, err := h.boot(ctx)
	if err != nil {
		return nil, err
	}
	return cycleOf(r), nil
}

// cycleOf says what came of a boot cycle.
func cycleOf(r *boot.Report) *Cycle {
	outcome := func(o *boot.Outcome) Outcome {
		return Outcome{o.Name, o.Verdict.Accepted, o.Verdict.Reason.String(), o.Verdict.Via.String()}
	}
	return &Cycle{
		Device: r.Device, Trusted: r.Reason() == trust.Accepted, Reason: r.Reason().String(),
		CTL: outcome(&r.CTL), ITL: outcome(&r.ITL), Config: outcome(&r.Config),
		Changed: r.ITL.Changed, Transport: r.Config.Transport, Messages: r.Messages,
		Settings: map[string]string{"webAccess": r.Settings.Web, "sshAccess": r.Settings.SSH, "settingsAccess": r.Settings.Settings, "spanToPCPort": r.Settings.SPANToPCPort},
	}
}
