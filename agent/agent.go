// Package agent is a phone's side of Security By Default: it fetches trust lists and a
// configuration from its cluster, trusts them or not, and keeps what it trusts.
//
//	a, err := agent.New(agent.Config{
//		MAC: "64A0E71502CC", Model: "CP-7965G", Servers: []string{"192.0.2.1"},
//		Store: store, Dial: dialer.DialContext, TFTP: fetch.PlainTFTP,
//	})
//	report := a.Cycle(ctx)
//	fmt.Println(report.Reason())
//
// It joins what a phone holds (holdings), its boot cycle (boot), its alarms and its
// registration (register). It makes no system call: network, storage, clock and randomness come in. One Agent runs one
// cycle at a time; its methods are safe for concurrent use.
package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/logger"
	"itlagent/agent/model"
	"itlagent/agent/register"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// Config is what a phone is made of. MAC, Model, Servers, Store and Dial must be
// set.
type Config struct {
	MAC   string // 12 hex digits, with or without separators or "SEP"
	Model string // "CP-7965G"
	// Firmware is the version of what a real phone would run, "9.4.2"; that of the
	// family where "".
	Firmware string
	Servers  []string // TFTP servers in order, "host" or "host:port"
	Address  string   // the phone's own IPv4 address, for alarms; "" takes the connection's
	Store    holdings.Store
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	TFTP     func(ctx context.Context, address, name string, limit int) ([]byte, error) // nil: HTTP only

	// Messages keeps what the phone shows; nil keeps it in Store.
	Messages status.Backend
	// Rand is a source of random bytes; nil neither sends alarms nor registers, which need
	// them.
	Rand io.Reader
	// SetClock is told the time of a call manager that accepted the phone, which is never
	// before that of its newest list. nil: the clock is not set.
	SetClock func(time.Time)

	Policy       trust.Policy
	TVSPerServer time.Duration    // tvs.DefaultPerServer where 0
	TVSTotal     time.Duration    // tvs.DefaultTotal where 0
	PerFile      time.Duration    // fetch.DefaultPerServer where 0: a file from one server
	Now          func() time.Time // time.Now where nil
	Log          logger.Logger
	// Alive is called by Cycle and Run at every step, at least every AliveInterval where
	// none of them hangs: it feeds a watchdog. nil: nobody is told.
	Alive func()
	// Enter is called before each boot cycle, which begins once it returns; leave is called
	// at the cycle's end. It bounds how many phones of a program boot at once. nil: nobody
	// is waited for.
	Enter func(ctx context.Context) (leave func())
}

// AliveInterval is the longest that a working phone takes from one call of Alive to the
// next with the default limits: a file from one server, and the time to store it.
const AliveInterval = fetch.DefaultPerServer + 5*time.Second

// Agent is one phone.
type Agent struct {
	conf     Config
	device   string // "SEP64A0E71502CC"
	model    model.Model
	holdings *holdings.Holdings
	network  *boot.Network
	boot     *boot.Phone
	client   *register.Client // nil: the phone does not register
	last     atomic.Pointer[boot.Report]

	cycle sync.Mutex // held for a whole boot cycle
}

const modelBytes = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-"

// New checks the configuration, loads what the phone holds, and returns a phone that has
// not booted yet.
func New(c Config) (*Agent, error) {
	device, err := boot.Device(c.MAC)
	name, isPhone := strings.CutPrefix(c.Model, "CP-")
	switch {
	case err != nil:
		return nil, err
	case !isPhone || len(name) < 4 || len(name) > 12 || strings.Trim(name, modelBytes) != "":
		return nil, fmt.Errorf("model %q is not like CP-7965G", c.Model)
	case len(c.Servers) == 0:
		return nil, errors.New("no TFTP server given")
	case c.Store == nil || c.Dial == nil:
		return nil, errors.New("a phone needs storage and a network")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Alive == nil {
		c.Alive = func() {}
	}
	a := &Agent{conf: c, device: device, model: model.Find(c.Model, c.Firmware)}
	if text := a.model.Assumed(); text != "" {
		c.Log.Noticef("%s", text)
	}
	a.holdings = holdings.Open(c.Store, holdings.Options{Model: a.model, Log: c.Messages, Logger: c.Log})
	a.network = &boot.Network{Dial: c.Dial, TFTP: c.TFTP, PerFile: c.PerFile, Identity: a.Identity, Log: c.Log}
	a.boot = boot.New(boot.Config{
		Device: a.device, Model: a.model, Servers: c.Servers, Holdings: a.holdings, Transport: a.network,
		Policy: c.Policy, TVSPerServer: c.TVSPerServer, TVSTotal: c.TVSTotal, Now: c.Now, Log: c.Log, Alive: c.Alive,
	})
	a.client = a.newClient()
	return a, nil
}

// Remember adds answers of TVS to those that the phone remembers: it forgets them when
// its program ends.
func (a *Agent) Remember(answers []trust.Answer) { a.boot.Remember(answers) }

// Identity returns the certificate that the phone shows, nil without one.
func (a *Agent) Identity() *tls.Certificate { return a.holdings.State().Identity() }

// State returns what the phone holds now. It waits for nothing.
func (a *Agent) State() *holdings.State { return a.holdings.State() }

// Cycle boots or resets the phone once, keeps the messages of the cycle, and queues an
// alarm where its lists have changed. One that was interrupted leaves no message, and
// Snapshot tells of the one before.
func (a *Agent) Cycle(ctx context.Context) *boot.Report {
	a.cycle.Lock()
	defer a.cycle.Unlock()
	if a.conf.Enter != nil {
		defer a.conf.Enter(ctx)()
	}
	r := a.boot.Cycle(ctx)
	for _, m := range r.Messages {
		a.show(m)
	}
	if r.CTL.Changed || r.ITL.Changed {
		a.queueAlarm()
	}
	if !r.Interrupted {
		a.last.Store(r)
	}
	return r
}

// show shows a message.
func (a *Agent) show(text string) {
	a.conf.Log.Noticef("%s", text)
	if err := a.holdings.Messages().Add(a.conf.Now(), text); err != nil {
		a.conf.Log.Noticef("keep %q: %v", text, err)
	}
}

// Erase deletes trust lists, as the security menu does. The settings stay.
func (a *Agent) Erase(kinds ...trustlist.Kind) error {
	a.cycle.Lock()
	defer a.cycle.Unlock()
	defer a.boot.Forget()
	if err := a.holdings.Erase(kinds...); err != nil {
		return err
	}
	a.show(status.ErasingLists.Text(a.model.Family))
	return nil
}

// FactoryReset deletes all but what the phone was made with, its MIC.
func (a *Agent) FactoryReset() error {
	a.cycle.Lock()
	defer a.cycle.Unlock()
	a.boot.Forget()
	a.last.Store(nil)
	err := a.holdings.FactoryReset()
	if err == nil {
		err = a.holdings.Messages().Clear(a.conf.Now())
	}
	if err == nil {
		a.show(status.FactoryReset.Text(a.model.Family))
	}
	return err
}

// SetNetwork sets the TFTP servers on the phone itself, which is kept.
func (a *Agent) SetNetwork(n holdings.Network) error {
	a.cycle.Lock()
	defer a.cycle.Unlock()
	return a.holdings.SetNetwork(n)
}

// ClearMessages empties the list of status messages.
func (a *Agent) ClearMessages() error { return a.holdings.Messages().Clear(a.conf.Now()) }

// Snapshot is a phone at one moment, for those who look at it. It is never changed.
type Snapshot struct {
	Device string // "SEP64A0E71502CC"
	Model  model.Model
	*holdings.State
	Servers  []string       // TFTP servers that files are asked of, in order
	Last     *boot.Report   // of the last boot cycle, nil before the first
	Messages []status.Entry // status messages, oldest first
	Answers  []trust.Answer // of TVS, that are remembered
	Alarms   []alarm.Info   // that wait for a call manager
	Dropped  int            // alarms that were dropped because too many waited
	Refused  int            // alarms that were dropped because call managers refuse them

	Registration register.State // with call managers
}

// Snapshot returns what the phone is and holds now. It does not wait for a cycle.
func (a *Agent) Snapshot() Snapshot {
	s := Snapshot{
		Device: a.device, Model: a.model, State: a.holdings.State(), Last: a.last.Load(),
		Messages: a.holdings.Messages().Entries(), Answers: a.boot.Answers(),
	}
	s.Servers = s.Network.Of(a.conf.Servers)
	s.Alarms, s.Dropped = a.holdings.Alarms().Waiting()
	s.Refused = a.holdings.Alarms().Refused()
	s.Registration = a.Registration()
	return s
}

// NewReset returns a function that asks for a boot cycle, and the channel for Run. Asked
// again before the cycle has begun, it is still one.
func NewReset() (ask func(), reset <-chan struct{}) {
	c := make(chan struct{}, 1)
	return func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c
}

// Run boots the phone, registers it, and boots it again after each interval, when reset
// says so, or when a call manager does, until the context ends; then it unregisters.
// Alarms go out when it registers, and after each cycle. each, if not nil, is called with
// the report of every cycle that was not interrupted.
func (a *Agent) Run(ctx context.Context, interval time.Duration, reset <-chan struct{}, each func(*boot.Report)) {
	defer a.leave()
	for cause, again := register.Initialized, true; again; cause, again = a.wait(ctx, interval, reset) {
		report := a.Cycle(ctx)
		if ctx.Err() == nil {
			a.register(cause)
		}
		if each != nil && !report.Interrupted {
			each(report)
		}
	}
}

// wait waits until the phone is to boot again, and returns why. again is false after the
// end of the context.
func (a *Agent) wait(ctx context.Context, interval time.Duration, reset <-chan struct{}) (cause register.Cause, again bool) {
	next := time.NewTimer(interval)
	defer next.Stop()
	alive := time.NewTicker(AliveInterval / 4)
	defer alive.Stop()
	for {
		a.conf.Alive()
		select {
		case <-ctx.Done():
			return cause, false
		case <-next.C:
			return register.ResetRestart, true
		case <-reset:
			a.leave()
			return register.PhoneKeypad, true
		case order := <-a.orders():
			if cause, again = a.obey(order); again {
				return cause, true
			}
		case <-alive.C:
		}
	}
}
