// Package boot is one boot cycle of a phone: what it asks its cluster for, what it
// trusts of that, and what it then holds.
//
//	p := boot.New(boot.Config{Device: "SEP64A0E71502CC", Model: m, Servers: servers, Holdings: h, Transport: network})
//	report := p.Cycle(ctx)
//	fmt.Println(report.Reason())
//
// The network is behind Transport, so that a cycle can also be run against a cluster
// that is asked without sockets: the bench predicts phones with this very code. One
// Phone runs one cycle at a time. The order of the files is that of real phones, as
// seen in public traces; what those leave open is in quirks.go.
package boot

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/logger"
	"itlagent/agent/model"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
)

// Transport is how a phone reaches the services of its cluster.
type Transport interface {
	// File gets a file of at most limit bytes from one server, "host" or "host:port". secure is
	// nil where HTTPS is not to be tried; else its Verify decides about the
	// server's certificate. Errors are those of fetch.Client.
	File(ctx context.Context, server, name string, limit int, secure *fetch.Secure) (fetch.File, error)
	// AskTVS returns the answer of one TVS server, "host:port". check decides about the
	// server's certificate, and its error is returned.
	AskTVS(ctx context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error)
}

// Config is what a phone boots with. Policy, TVSPerServer, TVSTotal, Now and Log may be
// zero.
type Config struct {
	Device    string // "SEP64A0E71502CC"
	Model     model.Model
	Servers   []string // TFTP servers of DHCP, in order: "host" or "host:port"
	Holdings  *holdings.Holdings
	Transport Transport

	Policy       trust.Policy
	TVSPerServer time.Duration    // tvs.DefaultPerServer where 0
	TVSTotal     time.Duration    // tvs.DefaultTotal where 0
	Now          func() time.Time // time.Now where nil
	Log          logger.Logger
	// Alive is called at every step of a cycle, of which each is bounded by the time
	// limits of the transport: it feeds a watchdog. nil: nobody is told.
	Alive func()
}

// Phone is a phone that can boot.
type Phone struct {
	Config
	files *fetch.Client
	tvs   *tvs.Client
}

// Device returns the device name, "SEP64A0E71502CC", of a MAC address of 12 hex digits,
// with or without separators or "SEP".
func Device(mac string) (string, error) {
	digits := strings.TrimPrefix(strings.ToUpper(strings.NewReplacer(":", "", "-", "", ".", "").Replace(mac)), "SEP")
	if len(digits) != 12 || strings.Trim(digits, "0123456789ABCDEF") != "" {
		return "", fmt.Errorf("MAC address %q is not 12 hex digits", mac)
	}
	return "SEP" + digits, nil
}

// New returns a phone that has not booted yet, and remembers no answer of TVS.
func New(c Config) *Phone {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Alive == nil {
		c.Alive = func() {}
	}
	t := watched{c.Transport, c.Alive}
	return &Phone{
		Config: c,
		files:  &fetch.Client{From: t.File, Logf: c.Log.Debugf},
		tvs: &tvs.Client{
			Exchange: t.AskTVS, Device: modelInTVS(c.Model.Name) + "-" + c.Device,
			PerServer: c.TVSPerServer, Total: c.TVSTotal, Now: c.Now, Logf: c.Log.Debugf,
			VerifyWhereHungUp: showsSignerToTVS,
		},
	}
}

// Answers returns the answers of TVS that the phone remembers, oldest first.
func (p *Phone) Answers() []trust.Answer { return p.tvs.Cached() }

// Remember adds answers to those that the phone remembers.
func (p *Phone) Remember(answers []trust.Answer) { p.tvs.Remember(answers) }

// Forget drops the answers of TVS that the phone remembers, as when its lists change.
func (p *Phone) Forget() { p.tvs.Flush() }

// Cycle boots or resets the phone once: CTL, ITL, configuration, each fetched, judged,
// stored, read back, and only then in force. It returns within the time limits of the
// transport, whatever the servers do. Where the context ends before the cycle does, the
// report says that it was interrupted, and nothing of why.
func (p *Phone) Cycle(ctx context.Context) *Report {
	r := &Report{Device: p.Device}
	if err := p.Holdings.Retry().Damage(holdings.CTL, holdings.ITL, holdings.Newest, holdings.Config); err != nil {
		p.Log.Noticef("%v", err)
		r.damaged(err)
	} else {
		r.Interrupted = !p.list(ctx, trustlist.CTL, &r.CTL) || !p.list(ctx, trustlist.ITL, &r.ITL) || !p.configuration(ctx, &r.Config)
	}
	held := p.Holdings.State()
	r.HeldCTL, r.HeldITL, r.Settings = held.CTL, held.ITL, held.Settings
	if !r.Interrupted {
		r.describe(p.Model.Family)
	}
	r.Time = p.Now()
	return r
}

// watched is a transport that tells of every step.
type watched struct {
	Transport
	alive func()
}

func (w watched) File(ctx context.Context, server, name string, limit int, secure *fetch.Secure) (fetch.File, error) {
	w.alive()
	return w.Transport.File(ctx, server, name, limit, secure)
}

func (w watched) AskTVS(ctx context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error) {
	w.alive()
	return w.Transport.AskTVS(ctx, server, req, check)
}

// list brings a list up to date. It reports whether that came to an end.
func (p *Phone) list(ctx context.Context, kind trustlist.Kind, out *Outcome) bool {
	held := p.Holdings.State().ITL
	if kind == trustlist.CTL {
		held = p.Holdings.State().CTL
	}
	out.Held = held != nil
	data, ok := p.fetch(ctx, p.files.Get, listNames(kind, p.Device), kind.SizeLimit(), out)
	if ok && len(data) == 0 && !p.holdsList() {
		// Sites without CUCM serve empty files in the place of lists.
		out.Verdict, ok = trust.Verdict{Reason: trust.NotFound, Detail: "the file is empty"}, false
	}
	if !ok {
		return ctx.Err() == nil
	}
	out.Verdict = p.decide(ctx, trust.Candidate{Kind: kind, Name: out.Name, Data: data})
	if !out.Verdict.Accepted && ctx.Err() != nil {
		return false // TVS may have had an answer
	}
	for _, w := range out.Verdict.Warnings {
		p.Log.Noticef("%s: %s", out.Name, w)
	}
	if !out.Verdict.Accepted {
		p.rejected(out)
		return true
	}
	p.Log.Debugf("%s: TL file verified successfully, via %v", out.Name, out.Verdict.Via)
	if held != nil && bytes.Equal(held.Bytes(), data) {
		return true
	}
	if err := p.Holdings.SetList(out.Verdict.File); err != nil {
		p.notStored(out, err)
		return true
	}
	out.Changed = true
	p.tvs.Flush()
	return true
}

// holdsList reports whether the phone holds a list.
func (p *Phone) holdsList() bool {
	held := p.Holdings.State()
	return held.CTL != nil || held.ITL != nil
}

// state is what a decision is made with now.
func (p *Phone) state() trust.State {
	held := p.Holdings.State()
	return trust.State{
		CTL: held.CTL, ITL: held.ITL, LatestCTL: held.Newest.CTL, LatestITL: held.Newest.ITL,
		Servers: len(held.Settings.TVS), Now: p.Now(), Policy: p.Policy,
	}
}

// decide runs the trust decision, and asks TVS where it wants to know. Only an answer
// that vouched is remembered.
func (p *Phone) decide(ctx context.Context, c trust.Candidate) trust.Verdict {
	state := p.state()
	state.Answers = p.tvs.Cached()
	v := trust.Decide(state, c)
	if v.Question != nil {
		held := p.Holdings.State()
		answer := p.tvs.Query(ctx, held.ITL, held.Settings.TVS, *v.Question)
		if v = v.Answered(state, answer); v.Accepted {
			p.tvs.Remember([]trust.Answer{answer})
		}
	}
	return v
}

// TrustServer decides about the certificate of an HTTPS server, given in DER, and asks
// TVS where the lists do not have it.
func (p *Phone) TrustServer(ctx context.Context, der []byte, use trust.Use) trust.Verdict {
	state := p.state()
	v := trust.DecideServer(state, der, use, nil)
	if v.Question != nil {
		held := p.Holdings.State()
		answer := p.tvs.Verify(ctx, held.ITL, held.Settings.TVS, der)
		v = trust.DecideServer(state, der, use, &answer)
	}
	return v
}

type getter func(ctx context.Context, servers []string, name string, limit int) (fetch.File, error)

// fetch gets the first of the named files that the servers have.
func (p *Phone) fetch(ctx context.Context, get getter, names []string, limit int, out *Outcome) ([]byte, bool) {
	servers := p.Holdings.State().Network.Of(p.Servers)
	for _, name := range names {
		out.Name = name
		f, err := get(ctx, servers, name, limit)
		out.Server, out.Transport = f.Server, f.Transport
		switch {
		case err == nil:
			return f.Data, true
		case errors.Is(err, fetch.ErrNotFound) && errors.Is(err, fetch.ErrUnanswered) && p.ownConfig(name):
			// A server that is down may have the phone's own file: the default one of
			// another must not replace that.
			out.Verdict = trust.Verdict{Reason: trust.DownloadFailed, Detail: err.Error()}
			return nil, false
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

// rejected tells of a file that is not trusted.
func (p *Phone) rejected(out *Outcome) {
	p.Log.Noticef("%s: rejected: %v: %s", out.Name, out.Verdict.Reason, out.Verdict.Reason.Text())
}

// notStored turns a verdict round: the storage failed.
func (p *Phone) notStored(out *Outcome, err error) {
	p.Log.Noticef("%s: not stored: %v", out.Name, err)
	out.Verdict.Accepted, out.Verdict.Via = false, trust.ViaNone
	out.Verdict.Reason, out.Verdict.Detail = trust.NotStored, err.Error()
}
