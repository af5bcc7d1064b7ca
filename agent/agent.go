// Package agent is a phone's side of Security By Default: it fetches trust lists
// and a configuration from its cluster, believes them or not, and keeps what it
// believes.
//
//	a, err := agent.New(agent.Config{
//		MAC: "64A0E71502CC", Model: "CP-7965G", Servers: []string{"192.0.2.1"},
//		Store: store, Dial: dialer.DialContext, TFTP: fetch.PlainTFTP,
//	})
//	report := a.Cycle(ctx)
//	fmt.Println(report.Reason())
//
// The agent makes no system call: network, storage, clock and randomness come
// in. One Agent runs one cycle at a time; its methods are safe for concurrent
// use. The order of a cycle is that of real phones, as seen in public traces;
// what they leave open is in quirks.go.
package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/settings"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
)

// Config is what a phone is made of. MAC, Model, Servers, Store and Dial must be
// set.
type Config struct {
	MAC     string   // 12 hex digits, with or without separators or "SEP"
	Model   string   // "CP-7965G"
	Servers []string // TFTP servers in order, "host" or "host:port"
	Store   Store
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	TFTP    func(ctx context.Context, address, name string, limit int) ([]byte, error) // nil: HTTP only

	// Messages keeps what the phone shows, in the order shown; nil keeps nothing.
	Messages interface {
		Append(at time.Time, text string) error
	}

	Policy       trust.Policy
	Certificate  *tls.Certificate // shown to TVS; may be nil
	TVSPerServer time.Duration    // tvs.DefaultPerServer where 0
	TVSTotal     time.Duration    // tvs.DefaultTotal where 0
	PerFile      time.Duration    // fetch.DefaultPerServer where 0: a file from one server
	Now          func() time.Time // time.Now where nil
	Logf         func(format string, args ...any)
}

// Agent is one phone.
type Agent struct {
	conf   Config
	device string // "SEP64A0E71502CC"
	files  *fetch.Client
	tvs    *tvs.Client

	mu       sync.Mutex // held for a whole cycle
	ctl, itl *trustlist.File
	config   []byte
	settings settings.Settings
}

// consistsOf reports whether s has from least to most bytes, each one of set.
func consistsOf(s, set string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, set) == ""
}

const (
	hexDigits  = "0123456789ABCDEF"
	modelBytes = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-"
)

// New checks the configuration and returns a phone that has not booted yet.
func New(c Config) (*Agent, error) {
	mac := strings.ToUpper(strings.NewReplacer(":", "", "-", "", ".", "").Replace(c.MAC))
	mac = strings.TrimPrefix(mac, "SEP")
	switch {
	case !consistsOf(mac, hexDigits, 12, 12):
		return nil, fmt.Errorf("MAC address %q is not 12 hex digits", c.MAC)
	case !strings.HasPrefix(c.Model, "CP-") || !consistsOf(c.Model[len("CP-"):], modelBytes, 4, 12):
		return nil, fmt.Errorf("model %q is not like CP-7965G", c.Model)
	case len(c.Servers) == 0:
		return nil, errors.New("no TFTP server given")
	case c.Store == nil || c.Dial == nil:
		return nil, errors.New("a phone needs storage and a network")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logf == nil {
		c.Logf = func(string, ...any) {}
	}
	a := &Agent{conf: c, device: "SEP" + mac}
	a.files = &fetch.Client{Dial: c.Dial, TFTP: c.TFTP, PerServer: c.PerFile, Logf: c.Logf}
	a.tvs = &tvs.Client{
		Dial: c.Dial, Device: modelInTVS(c.Model) + "-" + a.device, Certificate: c.Certificate,
		PerServer: c.TVSPerServer, Total: c.TVSTotal, Now: c.Now, Logf: c.Logf,
	}
	return a, nil
}

// Device returns the phone's device name, such as "SEP64A0E71502CC".
func (a *Agent) Device() string { return a.device }

// Cycle boots or resets the phone once: CTL, ITL, configuration, each fetched,
// judged, stored, read back, and only then in force. It returns within the time
// limits of the configuration, whatever the servers do.
func (a *Agent) Cycle(ctx context.Context) *Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	report := &Report{Device: a.device}

	defer a.keepMessages(report)
	if err := a.load(); err != nil {
		a.conf.Logf("%v", err)
		report.damaged(err)
		return report
	}
	a.takeList(ctx, trustlist.CTL, &report.CTL)
	a.takeList(ctx, trustlist.ITL, &report.ITL)
	a.takeConfig(ctx, &report.Config)

	report.HeldCTL, report.HeldITL = a.ctl, a.itl
	report.Settings = a.settings
	report.describe()
	return report
}

// keepMessages logs and keeps the messages of a cycle.
func (a *Agent) keepMessages(r *Report) {
	for _, m := range r.Messages {
		a.conf.Logf("%s", m)
		if a.conf.Messages == nil {
			continue
		}
		if err := a.conf.Messages.Append(a.conf.Now(), m); err != nil {
			a.conf.Logf("keep %q: %v", m, err)
		}
	}
}

// Held returns the lists and the settings in force; lists may be nil.
func (a *Agent) Held() (ctl, itl *trustlist.File, s settings.Settings) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ctl, a.itl, a.settings
}

// load puts into force what was stored. A list that cannot be read is an error,
// and not a reason to trust the next one that comes along.
func (a *Agent) load() error {
	var err error
	if a.ctl, err = a.loadList(keyCTL, trustlist.CTL); err != nil {
		return err
	}
	if a.itl, err = a.loadList(keyITL, trustlist.ITL); err != nil {
		return err
	}
	a.settings = settings.Settings{}
	switch a.config, err = a.conf.Store.Get(keyConfig); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read stored configuration: %w", err)
	}
	if a.settings, err = settings.Parse(a.config); err != nil {
		return fmt.Errorf("stored %w", err)
	}
	return nil
}

func (a *Agent) loadList(key string, kind trustlist.Kind) (*trustlist.File, error) {
	data, err := a.conf.Store.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read stored %v: %w", kind, err)
	}
	f, err := trustlist.Parse(kind, data)
	if err != nil {
		return nil, fmt.Errorf("stored %v: %w", kind, err)
	}
	return f, nil
}

// state is what the phone knows now.
func (a *Agent) state() trust.State {
	return trust.State{CTL: a.ctl, ITL: a.itl, Servers: len(a.settings.TVS), Now: a.conf.Now(), Policy: a.conf.Policy}
}

// decide runs the trust decision, and asks TVS where it wants to know.
func (a *Agent) decide(ctx context.Context, c trust.Candidate) trust.Verdict {
	state := a.state()
	v := trust.Decide(state, c)
	if v.Question != nil {
		state.Answers = []trust.Answer{a.tvs.Query(ctx, a.itl, a.settings.TVS, *v.Question)}
		v = trust.Decide(state, c)
	}
	return v
}

// fetch gets the first of the named files that the servers have.
func (a *Agent) fetch(ctx context.Context, names []string, limit int, out *Outcome) ([]byte, bool) {
	for _, name := range names {
		out.Name = name
		f, err := a.files.Get(ctx, a.conf.Servers, name, limit)
		out.Server, out.Transport = f.Server, f.Transport
		switch {
		case err == nil:
			return f.Data, true
		case errors.Is(err, fetch.ErrNotFound):
			out.Verdict = trust.Verdict{Reason: trust.NotFound}
		case errors.Is(err, fetch.ErrTooLarge):
			out.Verdict = trust.Verdict{Reason: trust.TooLarge, Offset: limit, Detail: err.Error()}
			return nil, false
		default:
			out.Verdict = trust.Verdict{Reason: trust.DownloadFailed, Detail: err.Error()}
			return nil, false
		}
	}
	return nil, false
}

// takeList brings a list up to date.
func (a *Agent) takeList(ctx context.Context, kind trustlist.Kind, out *Outcome) {
	key, held := keyITL, &a.itl
	if kind == trustlist.CTL {
		key, held = keyCTL, &a.ctl
	}
	out.Held = *held != nil
	data, ok := a.fetch(ctx, listNames(kind.String(), a.device), kind.SizeLimit(), out)
	if !ok {
		return
	}
	out.Verdict = a.decide(ctx, trust.Candidate{Kind: kind, Name: out.Name, Data: data})
	for _, w := range out.Verdict.Warnings {
		a.conf.Logf("%s: %s", out.Name, w)
	}
	if !out.Verdict.Accepted {
		a.conf.Logf("%s: rejected: %v: %s", out.Name, out.Verdict.Reason, out.Verdict.Reason.Text())
		return
	}
	a.conf.Logf("%s: TL file verified successfully, via %v", out.Name, out.Verdict.Via)
	if *held != nil && bytes.Equal((*held).Bytes(), data) {
		return
	}
	if err := a.persist(key, data); err != nil {
		out.notStored(err)
		return
	}
	*held = out.Verdict.File
	out.Changed = true
	a.tvs.Flush()
}

// takeConfig brings the configuration up to date: the phone's own, or the
// default where the server knows no such phone.
func (a *Agent) takeConfig(ctx context.Context, out *Outcome) {
	suffix, kind := "", trustlist.Kind(0)
	limit := settings.MaxSize
	state := a.state()
	if state.WantsSigned() {
		suffix, kind, limit = ".sgn", trustlist.SGN, trustlist.MaxSignedSize
	}
	out.Held = a.config != nil
	data, ok := a.fetch(ctx, []string{a.device + ".cnf.xml" + suffix, "XMLDefault.cnf.xml" + suffix}, limit, out)
	if !ok {
		return
	}
	content := data
	if kind == trustlist.SGN {
		out.Verdict = a.decide(ctx, trust.Candidate{Kind: kind, Name: out.Name, Data: data})
		if out.Verdict.Accepted {
			content = out.Verdict.File.Content()
		}
	} else {
		out.Verdict = trust.Unsigned(state)
	}
	if !out.Verdict.Accepted {
		a.conf.Logf("%s: rejected: %v: %s", out.Name, out.Verdict.Reason, out.Verdict.Reason.Text())
		return
	}
	parsed, err := settings.Parse(content)
	if err != nil {
		out.Verdict = trust.Verdict{Reason: trust.BadContent, Detail: err.Error()}
		return
	}
	if bytes.Equal(a.config, content) {
		return
	}
	if err := a.persist(keyConfig, content); err != nil {
		out.notStored(err)
		return
	}
	a.config, a.settings = content, parsed
	out.Changed = true
}

// persist stores a value and reads it back. Only what came back equal counts.
func (a *Agent) persist(key string, value []byte) error {
	if err := a.conf.Store.Put(key, value); err != nil {
		return err
	}
	back, err := a.conf.Store.Get(key)
	if err != nil {
		return fmt.Errorf("read back %s: %w", key, err)
	}
	if !bytes.Equal(back, value) {
		return fmt.Errorf("read back %s: %d bytes that differ from the %d stored", key, len(back), len(value))
	}
	return nil
}

// Report is the outcome of a cycle.
type Report struct {
	Device           string
	CTL, ITL, Config Outcome
	HeldCTL, HeldITL *trustlist.File // in force after the cycle; nil where none
	Settings         settings.Settings
	Messages         []string // what the phone shows, in order
}

// Outcome is what came of one file.
type Outcome struct {
	Name      string // the file last asked for
	Server    string // who answered
	Transport string // "HTTP" or "TFTP"; "" where nothing was got
	Held      bool   // one was in force before
	Changed   bool   // what was got is newly in force
	Verdict   trust.Verdict
}

func (o *Outcome) notStored(err error) {
	o.Verdict.Accepted, o.Verdict.Via = false, trust.ViaNone
	o.Verdict.Reason, o.Verdict.Detail = trust.NotStored, err.Error()
}

// Rejected reports whether a file was there and was not taken.
func (o *Outcome) Rejected() bool {
	return !o.Verdict.Accepted && o.Verdict.Reason != trust.NotFound && o.Verdict.Reason != trust.DownloadFailed
}

// Locked reports whether the phone refused what its cluster serves, or cannot
// store it: its old lists and settings stay.
func (r *Report) Locked() bool {
	return r.CTL.Rejected() || r.ITL.Rejected() || r.Config.Rejected()
}

// Reason returns the first reason that matters: of a rejected list, then of a
// rejected configuration, then of a failed download. A phone that took what it
// was served, and one that was served no list, get Accepted and NotFound.
func (r *Report) Reason() trust.Reason {
	for _, o := range []*Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Rejected() {
			return o.Verdict.Reason
		}
	}
	for _, o := range []*Outcome{&r.CTL, &r.ITL, &r.Config} {
		if o.Verdict.Reason == trust.DownloadFailed {
			return trust.DownloadFailed
		}
	}
	if r.HeldCTL == nil && r.HeldITL == nil {
		return trust.NotFound
	}
	return trust.Accepted
}

// ExitCode sums the cycle up for scripts: 0 where the phone's lists are in force,
// 1 where it is locked or holds none, 3 where no server delivered.
func (r *Report) ExitCode() int {
	switch reason := r.Reason(); {
	case reason == trust.Accepted:
		return 0
	case reason == trust.DownloadFailed:
		return 3
	}
	return 1
}

func (r *Report) damaged(err error) {
	v := trust.Verdict{Reason: trust.HeldDamaged, Detail: err.Error()}
	r.CTL.Verdict, r.ITL.Verdict, r.Config.Verdict = v, v, v
	r.Messages = []string{status.TrustListUpdateFailed.String()}
}

// describe writes the status messages of the cycle.
func (r *Report) describe() {
	say := func(m status.Message, more string) { r.Messages = append(r.Messages, m.String()+more) }
	held := r.CTL.Held || r.ITL.Held
	switch {
	case r.CTL.Rejected() || r.ITL.Rejected() || held && r.ITL.Verdict.Reason == trust.DownloadFailed:
		say(status.TrustListUpdateFailed, "")
	case r.CTL.Changed && !r.CTL.Held && r.ITL.Changed && !r.ITL.Held:
		say(status.CTLAndITLInstalled, "")
	case r.CTL.Changed && !r.CTL.Held:
		say(status.CTLInstalled, "")
	case r.ITL.Changed && !r.ITL.Held:
		say(status.ITLInstalled, "")
	case r.CTL.Changed || r.ITL.Changed:
		say(status.TrustListUpdated, "")
	case r.HeldCTL == nil && r.HeldITL == nil:
		say(status.NoTrustListInstalled, "")
	}
	switch {
	case r.Config.Verdict.Accepted:
		r.Messages = append(r.Messages, r.Config.Name+"("+r.Config.Transport+")")
	case r.Config.Verdict.Reason == trust.NotFound:
		say(status.FileNotFound, " : "+r.Config.Name)
	default:
		say(status.TFTPError, " : "+r.Config.Name)
	}
}
