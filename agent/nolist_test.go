package agent_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/pki/pkitest"
)

// What a server without CUCM serves, to a phone without lists and to one with a list:
// what is fine for the one is fine for the other, and only the other can be locked.
func TestPhoneWithoutLists(t *testing.T) {
	for _, c := range []struct {
		name    string
		serve   func(s *site)
		reason  trust.Reason // of the phone without lists
		with    trust.Reason // of the phone with one
		summary string
		locked  bool // the phone with a list is
	}{
		{"no list, a configuration", func(s *site) { s.config("0") }, trust.Accepted, trust.Accepted, "works without trust lists", false},
		{"empty lists, a configuration", func(s *site) {
			s.config("0")
			s.files["ITLSEP"+mac+".tlv"], s.files["CTLSEP"+mac+".tlv"] = []byte{}, []byte{}
		}, trust.Accepted, trust.EmptyFile, "works without trust lists", true},
		{"nothing", func(*site) {}, trust.NotFound, trust.NotFound, "gets nothing", false},
		{"a list of a stranger that is not its own", func(s *site) {
			s.config("0")
			s.list(trustlist.ITL, pkitest.Identity(s.t, "stranger", 0))
		}, trust.UnknownSigner, trust.TVSInvalid, "holds no trust list and does not accept what it is served", true},
		{"a list, no configuration", func(s *site) { s.list(trustlist.ITL, s.call) }, trust.Accepted, trust.Accepted, "trusts its cluster", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "pub")
			w := world{"pub": s}
			s.publish("1")
			with := w.phone(t, new(holdings.MemStore), "pub")
			want(t, "booted", with.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, installed)
			clear(s.files)
			c.serve(s)
			r := w.phone(t, new(holdings.MemStore), "pub").Cycle(t.Context())
			if r.Reason() != c.reason || r.Locked() || (r.ExitCode() == 0) != (c.reason == trust.Accepted) || !strings.Contains(r.Summary(), c.summary) {
				t.Errorf("without a list: %v, exit code %d, locked %v: %s; want %v: %s", r.Reason(), r.ExitCode(), r.Locked(), r.Summary(), c.reason, c.summary)
			}
			if strings.Contains(r.Summary(), "locked") || slices.Contains(r.Messages, failed) && c.reason == trust.Accepted {
				t.Errorf("without a list: %s, %q", r.Summary(), r.Messages)
			}
			if r := with.Cycle(t.Context()); r.Reason() != c.with || r.Locked() != c.locked {
				t.Errorf("with a list: %v, locked %v; want %v, %v", r.Reason(), r.Locked(), c.with, c.locked)
			}
		})
	}
}

// A configuration is the phone's own, or the default one where the server says that
// there is none: not that of another phone, whoever signed it, and not the default one
// under the phone's name.
func TestConfigurationOfAnother(t *testing.T) {
	const other = "SEP000000000001"
	for _, c := range []struct {
		name, xml string
		want      any
	}{
		{"its own", "<device><name>" + strings.ToLower("SEP"+mac) + "</name></device>", trust.ViaITL},
		{"without a name", "<device/>", trust.ViaITL},
		{"a name that is not a phone's", "<device><name>lobby</name></device>", trust.ViaITL},
		{"of another", "<device><name>" + other + "</name><sshUserId>x</sshUserId></device>", trust.WrongFile},
		{"the default one", "<Default><sshUserId>x</sshUserId></Default>", trust.WrongFile},
	} {
		for _, signed := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, " signed ", signed), func(t *testing.T) {
				s := newSite(t, "pub")
				if signed {
					s.list(trustlist.ITL, s.call)
				}
				s.serveConfig(confName, c.xml)
				p := world{"pub": s}.phone(t, new(holdings.MemStore), "pub")
				r := p.Cycle(t.Context())
				v := r.Config.Verdict
				if reason, rejects := c.want.(trust.Reason); rejects && (v.Accepted || v.Reason != reason) || !rejects && !v.Accepted {
					t.Errorf("accepted %v, %v (%s), want %v", v.Accepted, v.Reason, v.Detail, c.want)
				}
				if p.Snapshot().Settings.ShellUser != "" {
					t.Error("its settings are in force")
				}
			})
		}
	}
	// A server that is busy has not said that the phone's own does not exist.
	s := newSite(t, "pub")
	s.publish("1")
	w := world{"pub": s}
	p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}})
	want(t, "booted", p.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, installed)
	s.serveConfig("XMLDefault.cnf.xml", "<Default><sshUserId>x</sshUserId></Default>")
	delete(s.files, confName+".sgn")
	s.busy = confName + ".sgn"
	if r := p.Cycle(t.Context()); r.Config.Verdict.Reason != trust.DownloadFailed || p.Snapshot().Settings.ShellUser != "" {
		t.Errorf("busy: %v, %+v", r.Config.Verdict.Reason, p.Snapshot().Settings)
	}
	s.busy = ""
	if r := p.Cycle(t.Context()); !r.Config.Verdict.Accepted || p.Snapshot().Settings.ShellUser != "x" {
		t.Errorf("not found: %v", r.Config.Verdict.Reason)
	}
}

// A cycle that is ended from outside leaves no message, no verdict and no report, at
// whichever file it is ended.
func TestInterrupted(t *testing.T) {
	for _, at := range []string{"CTLSEP", "ITLSEP", "SEP", "tvs"} {
		t.Run(at, func(t *testing.T) {
			s := newSite(t, "pub")
			s.publish("1")
			w := world{"pub": s}
			store := new(holdings.MemStore)
			p := w.phone(t, store, "pub")
			want(t, "booted", p.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, installed)
			before := p.Snapshot()
			ctx, cancel := context.WithCancel(t.Context())
			s.asked = func(name string) bool {
				if strings.HasPrefix(name, at) {
					cancel()
				}
				return ctx.Err() != nil
			}
			s.regenerate(&s.call)
			s.publish("0")
			if at == "tvs" {
				s.tvsAsked = cancel
			}
			r := p.Cycle(ctx)
			after := p.Snapshot()
			if !r.Interrupted || len(r.Messages) > 0 || after.Last != before.Last || len(after.Messages) != len(before.Messages) || r.ExitCode() != 3 {
				t.Errorf("interrupted %v, messages %q, shown %d and then %d, exit code %d", r.Interrupted, r.Messages, len(before.Messages), len(after.Messages), r.ExitCode())
			}
			s.asked, s.tvsAsked = nil, nil
			message := updated
			if r.ITL.Changed {
				message = confName + ".sgn(HTTP)"
			}
			want(t, "afterwards", p.Cycle(t.Context()), lastVia(r), trust.ViaITL, message)
		})
	}
}

// lastVia is how the next cycle gets at the list: it is in force already where the cycle
// was interrupted behind it.
func lastVia(r *boot.Report) trust.Via {
	if r.ITL.Changed {
		return trust.ViaITL
	}
	return trust.ViaTVS
}

// bounded is a store of small values.
type bounded struct {
	holdings.MemStore
	limit int
}

func (b *bounded) Limit(key string) int {
	if key == holdings.Config {
		return b.limit
	}
	return 1 << 20
}

// A configuration that the storage cannot take is not fetched where its size is known,
// and is too large.
func TestConfigurationLargerThanTheStorage(t *testing.T) {
	for _, signed := range []bool{true, false} {
		s := newSite(t, "pub")
		if signed {
			s.list(trustlist.ITL, s.call)
		}
		s.serveConfig(confName, "<device>"+strings.Repeat(" ", 64<<10)+"</device>")
		r := world{"pub": s}.phone(t, &bounded{limit: 16 << 10}, "pub").Cycle(t.Context())
		if r.Config.Verdict.Reason != trust.TooLarge || r.ExitCode() != 1 {
			t.Errorf("signed %v: %v", signed, r.Config.Verdict.Reason)
		}
		s.mu.Lock()
		if n := s.sent[confName+".sgn"]; n > 32<<10 {
			t.Errorf("%d bytes were fetched", n)
		}
		s.mu.Unlock()
	}
}

// After a factory reset nothing of before is left: no list, no alarm, no message, no
// report.
func TestFactoryResetLeavesNothing(t *testing.T) {
	s := newSite(t, "pub")
	s.publish("1")
	w, store := world{"pub": s}, new(holdings.MemStore)
	p := w.phoneWith(t, agent.Config{Store: store, Servers: []string{"pub"}, Rand: rand.Reader})
	want(t, "booted", p.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, installed)
	if len(p.Snapshot().Alarms) != 1 {
		t.Fatalf("%d alarms wait", len(p.Snapshot().Alarms))
	}
	if err := p.FactoryReset(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*agent.Agent{p, w.phone(t, store, "pub")} {
		now := p.Snapshot()
		if now.ITL != nil || now.Config != nil || len(now.Alarms) != 0 || now.Last != nil || len(now.Messages) != 1 || now.Messages[0].Text != "Reset to factory settings" {
			t.Errorf("left: %+v", now)
		}
	}
}

// The watchdog is fed by the loop: at each step of a cycle and while it waits, and not
// where a step hangs.
func TestAlive(t *testing.T) {
	s := newSite(t, "pub")
	s.publish("1")
	synctest.Test(t, func(t *testing.T) {
		w := world{"pub": s}
		var fed atomic.Int64 // Unix nanoseconds
		last := func() time.Time { return time.Unix(0, fed.Load()) }
		hang := make(chan struct{})
		var hangs atomic.Bool
		p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}, Alive: func() { fed.Store(time.Now().UnixNano()) },
			Dial: func(context.Context, string, string) (net.Conn, error) {
				if hangs.Load() {
					<-hang // it does not look at its context
				}
				return nil, errors.New("connection refused")
			}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		ask, reset := agent.NewReset()
		go func() { defer close(done); p.Run(ctx, time.Hour, reset, nil) }()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if age := time.Since(last()); age > agent.AliveInterval {
			t.Errorf("waiting: fed %v ago", age)
		}
		hangs.Store(true)
		ask()
		time.Sleep(30 * time.Minute)
		if age := time.Since(last()); age < 29*time.Minute {
			t.Errorf("hanging: fed %v ago", age)
		}
		close(hang)
		cancel()
		<-done
	})
}
