// Package handset puts a phone together from its flags, a storage and the network of the
// machine: the device program and `itlbench phone` are both made of it.
//
//	var o handset.Options
//	o.Flags(flags) // -mac, -model, -tftp and so on
//	h, err := handset.New(o, handset.Storage{Store: store})
//	url, err := h.ServePages(ctx)
//	h.Run(ctx, func(r *boot.Report) { fmt.Println(r.Reason()) })
//
// A Handset is safe for concurrent use.
package handset

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/logger"
	"itlagent/agent/login"
	"itlagent/agent/shell"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/web"
	"itlagent/platform/console"
	"itlagent/platform/limits"
)

// Options are what a phone is made of, as its flags say it.
type Options struct {
	MAC, Model, Firmware string
	Servers              Servers
	Older                string        // a list older than the one in force: "warn" or "refuse"
	Interval             time.Duration // between boot cycles
	Pages                string        // address of the phone's pages; "" serves none
	Console              bool          // the shell on standard input and output
	Once                 bool          // one boot cycle only
	Verbose              bool          // debug lines too

	// Log gets a line, without a line feed; nil discards. Debug lines go there only
	// where Verbose is set; the shell's trace gets all of them.
	Log func(line string)
	// Alive is called, and SetClock told the time, as agent.Config says; nil: nobody is.
	Alive    func()
	SetClock func(time.Time)

	// Dial, TFTP and Rand are those of the machine where nil, as agent.Config has them.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TFTP func(ctx context.Context, address, name string, limit int) ([]byte, error)
	Rand io.Reader
	// Enter bounds how many phones boot at once, as agent.Config says; nil: nothing does.
	Enter func(ctx context.Context) (leave func())
}

// Servers is a flag: servers, joined by commas or given one by one.
type Servers []string

// String implements flag.Value.
func (s *Servers) String() string { return strings.Join(*s, ",") }

// Set implements flag.Value: it adds servers.
func (s *Servers) Set(list string) error {
	for _, server := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		*s = append(*s, server)
	}
	return nil
}

// Type names the value for people.
func (s *Servers) Type() string { return "servers" }

// Flags adds the flags that all handsets have.
func (o *Options) Flags(f *flag.FlagSet) {
	f.StringVar(&o.MAC, "mac", o.MAC, "the phone's MAC `address`, 12 hex digits")
	f.StringVar(&o.Model, "model", "CP-7965G", "the phone's `model`")
	f.StringVar(&o.Firmware, "firmware", "", "the `version` of a real phone's firmware; that of the family where empty")
	f.Var(&o.Servers, "tftp", "TFTP `servers`, host[:port], in order, joined by commas")
	f.StringVar(&o.Older, "older", "warn", "a list older than the one in force: `warn` or refuse")
	f.Var(limits.Duration(&o.Interval, minInterval, maxInterval), "interval", "time between boot cycles")
	f.StringVar(&o.Pages, "web", "", "`address` of the phone's pages, host:port; none where empty")
	f.BoolVar(&o.Console, "console", false, "run the phone's debug shell on standard input and output")
	f.BoolVar(&o.Once, "once", false, "run one boot cycle and exit")
	f.BoolVar(&o.Verbose, "verbose", false, "log every step to standard error")
}

// Bounds of how often a phone boots by itself.
const (
	minInterval = time.Millisecond
	maxInterval = 366 * 24 * time.Hour
)

// check refuses what New cannot use.
func (o *Options) check() error {
	switch {
	case o.Older != "warn" && o.Older != "refuse":
		return fmt.Errorf("older is warn or refuse, not %.40q", o.Older)
	case o.Once && o.Console:
		return errors.New("once and console exclude each other")
	}
	return nil
}

// Storage is what survives a power cut.
type Storage struct {
	Store    holdings.Store
	Messages status.Backend          // nil keeps the messages in Store
	Tell     func(w io.Writer) error // tells of the flash; nil without
}

// Handset is a phone with a network, pages and a shell.
type Handset struct {
	*agent.Agent
	opts    Options
	storage Storage
	trace   *shell.Trace
	ask     func()
	reset   <-chan struct{}
	logins  login.Delay // of the console, whichever shell runs on it
}

// New returns a phone that has not booted yet. The error is one of usage.
func New(o Options, s Storage) (*Handset, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.TFTP == nil {
		o.TFTP = fetch.PlainTFTP
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	h := &Handset{opts: o, storage: s, trace: new(shell.Trace)}
	log := logger.Logger{Notice: h.log, Debug: h.trace.Logf}
	if o.Verbose {
		log.Debug = h.log
	}
	var err error
	h.Agent, err = agent.New(agent.Config{
		MAC: o.MAC, Model: o.Model, Firmware: o.Firmware, Servers: o.Servers, Store: s.Store, Messages: s.Messages,
		Dial: o.Dial, TFTP: o.TFTP, Rand: o.Rand, Enter: o.Enter,
		Policy: trust.Policy{RefuseOlder: o.Older == "refuse"}, Log: log, Alive: o.Alive, SetClock: o.SetClock,
	})
	if err != nil {
		return nil, err
	}
	model := h.Snapshot().Model
	h.trace.Line = func(n int, text string) string { return model.Trace(n, time.Now(), text) }
	h.ask, h.reset = agent.NewReset()
	return h, nil
}

// log writes a line where it belongs, and to the trace.
func (h *Handset) log(format string, args ...any) {
	h.trace.Logf(format, args...)
	if h.opts.Log != nil {
		h.opts.Log(fmt.Sprintf(format, args...))
	}
}

// Reset asks for a boot cycle.
func (h *Handset) Reset() { h.ask() }

// BootOnce runs one boot cycle and tries once to deliver its alarms.
func (h *Handset) BootOnce(ctx context.Context) *boot.Report {
	r := h.Cycle(ctx)
	if _, err := h.DeliverAlarms(ctx); err != nil {
		h.log("alarms: %v", err)
	}
	return r
}

// ServePages serves the phone's pages until the context ends, where the options name an
// address. It returns their address, "" without, once they can be reached.
func (h *Handset) ServePages(ctx context.Context) (url string, err error) {
	if h.opts.Pages == "" {
		return "", nil
	}
	l, err := net.Listen("tcp", h.opts.Pages)
	if err != nil {
		return "", err
	}
	go func() {
		if err := web.Serve(ctx, l, h.Snapshot); err != nil {
			h.log("pages: %v", err)
		}
	}()
	return "http://" + l.Addr().String() + "/", nil
}

// Follow boots the phone and registers it, and boots it again after each interval, each
// reset, and when its call manager says so, until the context ends. each is called with
// every report.
func (h *Handset) Follow(ctx context.Context, each func(*boot.Report)) {
	h.Agent.Run(ctx, h.opts.Interval, h.reset, each)
}

// Run is Follow of a program's only phone: SIGHUP resets it, too.
func (h *Handset) Run(ctx context.Context, each func(*boot.Report)) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go func() {
		for {
			select {
			case <-hangup:
				h.Reset()
			case <-ctx.Done():
				return
			}
		}
	}()
	h.Follow(ctx, each)
}

// Shell returns a shell of the phone on a console. The options' Reset, Flash, Trace and
// Logins are the phone's where they are nil: a wrong login makes the next shell wait too.
func (h *Handset) Shell(c console.Console, o shell.Options) *shell.Shell {
	if o.Reset == nil {
		o.Reset = h.Reset
	}
	if o.Flash == nil {
		o.Flash = h.storage.Tell
	}
	if o.Trace == nil {
		o.Trace = h.trace
	}
	if o.Logins == nil {
		o.Logins = &h.logins
	}
	return shell.New(h.Agent, c, o)
}
