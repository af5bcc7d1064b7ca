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
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/fetch"
	"itlagent/agent/model"
	"itlagent/agent/settings"
	"itlagent/agent/status"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
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
	Store    Store
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	TFTP     func(ctx context.Context, address, name string, limit int) ([]byte, error) // nil: HTTP only

	// From and Exchange stand for the network where they are not nil, as those of
	// fetch.Client and tvs.Client do: what becomes of a phone is then known beforehand.
	From     func(ctx context.Context, server, name string, limit int, secure *tls.Config) (fetch.File, error)
	Exchange func(ctx context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error)
	Answers  []trust.Answer // of TVS, that the phone remembers from before

	// Messages keeps what the phone shows; nil keeps it in Store.
	Messages status.Backend
	// Rand is a source of random bytes; nil sends no alarms, which need them.
	Rand io.Reader

	Policy       trust.Policy
	TVSPerServer time.Duration    // tvs.DefaultPerServer where 0
	TVSTotal     time.Duration    // tvs.DefaultTotal where 0
	PerFile      time.Duration    // fetch.DefaultPerServer where 0: a file from one server
	Now          func() time.Time // time.Now where nil
	Logf         func(format string, args ...any)
}

// Agent is one phone.
type Agent struct {
	conf     Config
	device   string // "SEP64A0E71502CC"
	model    model.Model
	files    *fetch.Client
	tvs      *tvs.Client
	messages *status.Log
	alarms   *alarm.Queue

	mu       sync.Mutex // held for a whole cycle
	ctl, itl *trustlist.File
	config   []byte
	settings settings.Settings
	network  network

	seen     sync.Mutex // guards what others look at while a cycle runs
	last     *Report
	identity *tls.Certificate // LSC, else MIC; nil without
	view     view
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
	a := &Agent{conf: c, device: "SEP" + mac, model: model.Find(c.Model, c.Firmware)}
	a.files = &fetch.Client{Dial: c.Dial, TFTP: c.TFTP, PerServer: c.PerFile, Logf: c.Logf, From: c.From}
	a.tvs = &tvs.Client{
		Dial: c.Dial, Device: modelInTVS(c.Model) + "-" + a.device,
		PerServer: c.TVSPerServer, Total: c.TVSTotal, Now: c.Now, Logf: c.Logf, Exchange: c.Exchange,
	}
	a.tvs.Remember(c.Answers)
	backend := c.Messages
	if backend == nil {
		kept, err := status.NewKept(c.Store)
		if err != nil {
			c.Logf("messages: %v", err)
		}
		backend = kept
	}
	a.messages = status.NewLog(backend, a.model)
	var err error
	if a.alarms, err = alarm.Open(c.Store); err != nil {
		c.Logf("%v", err)
	}
	a.loadOutside()
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

	defer a.finish(report)
	if err := a.load(); err != nil {
		a.conf.Logf("%v", err)
		report.damaged(err, a.model.Family)
		return report
	}
	a.takeList(ctx, trustlist.CTL, &report.CTL)
	a.takeList(ctx, trustlist.ITL, &report.ITL)
	a.takeConfig(ctx, &report.Config)

	report.HeldCTL, report.HeldITL = a.ctl, a.itl
	report.Settings = a.settings
	report.describe(a.model.Family)
	if report.CTL.Changed || report.ITL.Changed {
		a.queueAlarm()
	}
	return report
}

// finish logs and keeps the messages of a cycle, and lets others see its report.
func (a *Agent) finish(r *Report) {
	r.Time = a.conf.Now()
	for _, m := range r.Messages {
		a.show(m)
	}
	a.seen.Lock()
	defer a.seen.Unlock()
	a.last = r
}

// show shows a message.
func (a *Agent) show(text string) {
	a.conf.Logf("%s", text)
	if err := a.messages.Add(a.conf.Now(), text); err != nil {
		a.conf.Logf("keep %q: %v", text, err)
	}
}

// view is what is in force, for others to look at.
type view struct {
	ctl, itl *trustlist.File
	settings settings.Settings
	network  network
}

// publish lets others see what is in force now. The caller holds mu.
func (a *Agent) publish() {
	a.seen.Lock()
	defer a.seen.Unlock()
	a.view = view{a.ctl, a.itl, a.settings, a.network}
}

func (a *Agent) look() view {
	a.seen.Lock()
	defer a.seen.Unlock()
	return a.view
}

// Held returns the lists and the settings in force; lists may be nil. It does not
// wait for a cycle to end.
func (a *Agent) Held() (ctl, itl *trustlist.File, s settings.Settings) {
	v := a.look()
	return v.ctl, v.itl, v.settings
}

// load puts into force what was stored. A list that cannot be read is an error,
// and not a reason to trust the next one that comes along.
func (a *Agent) load() error {
	defer a.publish()
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
	return a.fetchBy(ctx, a.files.Get, names, limit, out)
}

type getter func(ctx context.Context, servers []string, name string, limit int) (fetch.File, error)

func (a *Agent) fetchBy(ctx context.Context, get getter, names []string, limit int, out *Outcome) ([]byte, bool) {
	for _, name := range names {
		out.Name = name
		f, err := get(ctx, a.servers(), name, limit)
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
	a.publish()
}

// takeConfig brings the configuration up to date: the phone's own, or the
// default where the server knows no such phone. Where that says so the whole of
// it is fetched encrypted.
func (a *Agent) takeConfig(ctx context.Context, out *Outcome) {
	out.Held = a.config != nil
	suffix := ""
	if s := a.state(); s.WantsSigned() {
		suffix = ".sgn"
	}
	content, parsed, ok := a.configuration(ctx, []string{a.device + ".cnf.xml" + suffix, "XMLDefault.cnf.xml" + suffix}, out)
	if ok && parsed.Reduced && parsed.Encrypt {
		content, parsed, ok = a.encrypted(ctx, parsed, out)
	}
	if !ok || bytes.Equal(a.config, content) {
		return
	}
	if err := a.persist(keyConfig, content); err != nil {
		out.notStored(err)
		return
	}
	a.config, a.settings = content, parsed
	out.Changed = true
	a.publish()
}

// configuration gets one configuration and judges it.
func (a *Agent) configuration(ctx context.Context, names []string, out *Outcome) (content []byte, parsed settings.Settings, ok bool) {
	state := a.state()
	signed, limit := state.WantsSigned(), settings.MaxSize
	if signed {
		limit = trustlist.MaxSignedSize
	}
	get, verdict := a.secureGetter(ctx)
	data, ok := a.fetchBy(ctx, get, names, limit, out)
	if !ok {
		return nil, parsed, false
	}
	content = data
	switch {
	case out.Transport == "HTTPS":
		out.Verdict = *verdict
	case signed:
		out.Verdict = a.decide(ctx, trust.Candidate{Kind: trustlist.SGN, Name: out.Name, Data: data})
		if out.Verdict.Accepted {
			content = out.Verdict.File.Content()
		}
	default:
		out.Verdict = trust.Unsigned(state)
	}
	parsed, ok = a.judged(content, out)
	return content, parsed, ok
}

// judged logs a rejection, and reads the configuration that was not rejected.
func (a *Agent) judged(content []byte, out *Outcome) (settings.Settings, bool) {
	if !out.Verdict.Accepted {
		a.conf.Logf("%s: rejected: %v: %s", out.Name, out.Verdict.Reason, out.Verdict.Reason.Text())
		return settings.Settings{}, false
	}
	parsed, err := settings.Parse(content)
	if err != nil {
		out.Verdict = trust.Verdict{Reason: trust.BadContent, Detail: err.Error()}
		return parsed, false
	}
	for _, w := range parsed.Warnings {
		a.conf.Logf("%s: %s", out.Name, w)
	}
	return parsed, true
}

// encrypted gets the whole configuration, encrypted for the phone's own key.
func (a *Agent) encrypted(ctx context.Context, reduced settings.Settings, out *Outcome) (content []byte, parsed settings.Settings, ok bool) {
	data, ok := a.fetch(ctx, []string{a.device + ".cnf.xml.enc.sgn"}, trustlist.MaxSignedSize, out)
	if !ok {
		return nil, parsed, false
	}
	out.Verdict = a.decide(ctx, trust.Candidate{Kind: trustlist.ENC, Name: out.Name, Data: data})
	if out.Verdict.Accepted {
		var err error
		if content, err = a.decrypt(out.Verdict.File, reduced.CertHash); err != nil {
			out.Verdict = trust.Verdict{Reason: trust.NotForThisPhone, Detail: err.Error()}
		}
	}
	parsed, ok = a.judged(content, out)
	return content, parsed, ok
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
