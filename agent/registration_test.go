package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/holdings"
	"itlagent/agent/register"
	"itlagent/agent/register/registertest"
	"itlagent/agent/sccp"
	"itlagent/agent/sip"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// registered is a phone that runs beside a cluster whose call managers are in memory.
type registered struct {
	*bench
	manager *registertest.Manager // the publisher's
	backup  *registertest.Manager
	reports chan *boot.Report
	end     func()
}

func newRegistered(t *testing.T) *registered {
	b := &registered{bench: newBench(t, "note", "CP-7965G", ""), manager: registertest.New(t), backup: registertest.New(t), reports: make(chan *boot.Report, 64)}
	nodes := b.cluster.Nodes()
	b.conf.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		switch address {
		case nodes[0].Endpoint("sip"):
			return b.manager.Dial(ctx, network, address)
		case nodes[1].Endpoint("sip"):
			return b.backup.Dial(ctx, network, address)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return b
}

// run runs the phone until the test ends it, or ends.
func (b *registered) run(reset <-chan struct{}) {
	b.restart()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	phone := b.phone
	go func() {
		defer close(done)
		phone.Run(ctx, time.Hour, reset, func(r *boot.Report) { b.reports <- r })
	}()
	b.end = func() { cancel(); <-done }
	b.t.Cleanup(b.end)
}

// order sends an order to the registration that began with a REGISTER.
func (b *registered) order(first *sip.Message, action, more string) {
	b.t.Helper()
	if a := b.manager.Notify("action=" + action + "\r\nRegisterCallId={" + first.Get("call-id") + "}\r\n" + more); a == nil || a.Code != 200 {
		b.t.Fatalf("%s: %+v", action, a)
	}
}

// until waits for something that another goroutine of the phone does.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that within a minute")
		}
	}
}

// restarts returns how often the phone has shown the message of a restart.
func restarts(p *agent.Agent) (n int) {
	for _, e := range p.Snapshot().Messages {
		if e.Text == "Restart requested by Cisco Unified Communications Manager" {
			n += e.Count
		}
	}
	return n
}

// A reset makes a phone unregister, boot again with what the cluster serves then, and
// register with the reason; its alarm goes first.
func TestReset(t *testing.T) {
	b := newRegistered(t)
	keypad := make(chan struct{})
	b.run(keypad)
	<-b.reports
	first := b.manager.Next("REGISTER")
	for _, test := range []struct{ action, last string }{{"reset", "22 .* Last=reset-reset"}, {"restart", "23 .* Last=reset-restart"}} {
		b.must(b.cluster.Apply(operation.Advance(time.Second)))
		b.must(b.cluster.Apply(operation.RestartTFTP("test10pub")))
		b.order(first, test.action, "")
		if r := <-b.reports; !r.ITL.Changed {
			t.Errorf("%s: the phone has no new list: %v", test.action, r.Reason())
		}
		if end := b.manager.Next("REGISTER"); end.Get("expires") != "0" || end.Get("call-id") != first.Get("call-id") {
			t.Errorf("%s: the phone did not unregister: %v", test.action, end.Fields)
		}
		alarm := b.manager.Next("REFER")
		again := b.manager.Next("REGISTER")
		number, last, _ := strings.Cut(test.last, " .* ")
		if reason := again.Get("reason"); again.Get("call-id") == first.Get("call-id") || !strings.Contains(reason, "cisco-alarm:"+number+" ") || !strings.HasSuffix(reason, last+`"`) || !bytes.Contains(alarm.Body, []byte("DeviceTLInfo")) {
			t.Errorf("%s: then %v", test.action, again.Fields)
		}
		first = again
	}
	if n := restarts(b.phone); n != 2 {
		t.Errorf("%d messages of a restart: %+v", n, b.phone.Snapshot().Messages)
	}
	keypad <- struct{}{}
	<-b.reports
	b.manager.Next("REGISTER")
	if again := b.manager.Next("REGISTER"); !strings.Contains(again.Get("reason"), "cisco-alarm:20 ") || restarts(b.phone) != 2 {
		t.Errorf("by hand: %v", again.Fields)
	}
	if s := b.phone.Snapshot().Registration; s.Cause.String() != "Phone-Keypad" {
		t.Errorf("%+v", s)
	}
	b.end()
	if last := b.manager.Next("REGISTER"); last.Get("expires") != "0" {
		t.Errorf("at its end the phone did not unregister: %v", last.Fields)
	}
}

// Less than a reset leaves the phone registered: apply-config fetches again, check-version
// only where the stamp differs.
func TestLesserOrders(t *testing.T) {
	b := newRegistered(t)
	manager := b.cluster.Publisher().Endpoint("sip")
	host, port, _ := net.SplitHostPort(manager)
	b.must(b.store.Put(holdings.Config, []byte("<device><versionStamp>{5ec8b9c4-0001}</versionStamp><devicePool><callManagerGroup><members><member priority=\"0\"><callManager><ports><sipPort>"+
		port+"</sipPort></ports><processNodeName>"+host+"</processNodeName></callManager></member></members></callManagerGroup></devicePool></device>")))
	b.conf.TFTP = nil
	b.conf.Servers = []string{"127.0.0.1:1"} // nothing is served: the stored configuration stays
	b.run(nil)
	<-b.reports
	first := b.manager.Next("REGISTER")
	b.order(first, "apply-config", "")
	<-b.reports
	b.order(first, "check-version", "ConfigVersionStamp={5EC8B9C4-0001}\r\n") // the one that it has
	b.order(first, "check-version", "ConfigVersionStamp={0000000000000000}\r\n")
	<-b.reports
	b.order(first, "check-version", "ConfigVersionStamp={5ec8b9c4-0002}\r\n")
	<-b.reports
	if n := restarts(b.phone); n != 0 || b.manager.Waiting() != 0 || len(b.reports) != 0 {
		t.Errorf("%d restarts, %v, %d boot cycles more", n, b.manager.Methods(), len(b.reports))
	}
	b.end()
}

// A locked phone stays with its old configuration, and registers with it.
func TestLockedPhoneRegisters(t *testing.T) {
	b := newRegistered(t)
	b.run(nil)
	<-b.reports
	first := b.manager.Next("REGISTER")
	for _, unit := range []profile.Unit{profile.CallManager, profile.TVS} {
		b.must(b.cluster.Apply(operation.Advance(time.Hour)))
		for _, n := range b.cluster.Nodes() {
			b.must(b.cluster.Apply(operation.Regenerate(n.Name(), unit)))
		}
	}
	for _, n := range b.cluster.Nodes() {
		b.must(b.cluster.Apply(operation.Service(n.Name(), profile.TVSService, operation.Restart)))
		b.must(b.cluster.Apply(operation.Service(n.Name(), profile.TFTPService, operation.Restart)))
	}
	b.order(first, "reset", "")
	if r := <-b.reports; !r.Locked() {
		t.Fatalf("the phone is not locked: %v", r.Reason())
	}
	b.manager.Next("REGISTER")
	again := b.manager.Next("REGISTER")
	until(t, func() bool { return b.phone.Snapshot().Registration.Server != "" })
	if again.Get("expires") != "3600" {
		t.Errorf("%v", again.Fields)
	}
}

// The clock is set by the call manager's Date, never to before the newest list.
func TestClock(t *testing.T) {
	b := newRegistered(t)
	date := ""
	b.manager.Answer = func(m *sip.Message) []byte {
		return bytes.Replace(registertest.Accept(m, 120), []byte("Sat, 09 Mar 2019 18:32:45 GMT"), []byte(date), 1)
	}
	set := make(chan time.Time, 8)
	b.conf.SetClock = func(at time.Time) { set <- at }
	for _, test := range []struct {
		date string
		want bool
	}{{"Sat, 09 Mar 1999 18:32:45 GMT", false}, {"nonsense", false}, {"", false}, {"Sat, 09 Mar 2041 18:32:45 GMT", true}} {
		date = test.date
		b.run(nil)
		<-b.reports
		b.manager.Next("REGISTER")
		until(t, func() bool { return b.phone.Snapshot().Registration.Server != "" })
		b.end()
		b.manager.Next("REGISTER") // the last
		if got := len(set) == 1; got != test.want {
			t.Errorf("%q: the clock was set: %v", test.date, got)
		}
		for len(set) > 0 {
			<-set
		}
	}
}

// A secure phone registers by TLS alone, with a call manager whose certificate its lists
// have for that. After the certificate has changed and the lists have not, the phone trusts
// its cluster and cannot register, which it says, until the lists follow.
func TestSecuredPhone(t *testing.T) {
	for _, mode := range []string{"2", "3"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t, "pub")
			id := pkitest.Identity(t, "manager", pki.Service)
			lists := func(id *pki.Identity) {
				s.list(trustlist.ITL, s.call, append(s.records(), trustlist.RecordSpec{Role: trustlist.CCM, Certificate: id.Certificate})...)
			}
			lists(id)
			s.serveConfig("SEP"+mac+".cnf.xml", `<device><devicePool><callManagerGroup><members><member priority="0"><callManager><ports><sipPort>5060</sipPort>`+
				`<securedSipPort>5061</securedSipPort></ports><processNodeName>manager</processNodeName></callManager></member></members></callManagerGroup></devicePool>`+
				`<deviceSecurityMode>`+mode+`</deviceSecurityMode></device>`)
			w, manager := world{"pub": s}, registertest.New(t)
			var mu sync.Mutex
			dialled := map[string]int{}
			p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}, Rand: rand.Reader,
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if !strings.HasPrefix(address, "manager:") {
						return w.dial(ctx, network, address)
					}
					mu.Lock()
					defer mu.Unlock()
					dialled[network+" "+address]++
					here, there := net.Pipe()
					go manager.Serve(tls.Server(there, &tls.Config{Certificates: []tls.Certificate{id.TLS()}, SessionTicketsDisabled: true}))
					return here, nil
				}})
			ctx, cancel := context.WithCancel(t.Context())
			reset, reports, done := make(chan struct{}), make(chan *boot.Report, 8), make(chan struct{})
			go func() {
				defer close(done)
				p.Run(ctx, time.Hour, reset, func(r *boot.Report) { reports <- r })
			}()
			defer func() { cancel(); <-done }()
			<-reports
			first := manager.Next("REGISTER")
			if !strings.Contains(first.Get("via"), "SIP/2.0/TLS ") || !strings.Contains(first.Get("contact"), ";transport=tls>") {
				t.Errorf("%v", first.Fields)
			}
			until(t, func() bool { return p.Snapshot().Registration.Server != "" })
			if now := p.Snapshot(); now.Registered() != "registered with manager:5061 by tls, Last=Initialized" || now.CannotRegister() {
				t.Errorf("%s, %v", now.Registered(), now.CannotRegister())
			}
			mu.Lock()
			id = pkitest.Identity(t, "manager", pki.Service)
			next := id
			mu.Unlock()
			reset <- struct{}{}
			if r := <-reports; r.Reason() != trust.Accepted {
				t.Errorf("%v", r.Reason())
			}
			until(t, func() bool { return p.Snapshot().CannotRegister() })
			if text := p.Snapshot().Registered(); !strings.HasPrefix(text, "trusted, but cannot register: manager:5061: ") || !strings.Contains(text, boot.ErrUntrustedServer.Error()) {
				t.Error(text)
			}
			manager.Next("REGISTER") // with which it left
			lists(next)
			reset <- struct{}{}
			<-reports
			manager.Next("REGISTER")
			mu.Lock()
			defer mu.Unlock()
			if len(dialled) != 1 || dialled["tcp manager:5061"] < 3 {
				t.Errorf("dialled %v", dialled)
			}
		})
	}
}

// A phone whose firmware speaks SCCP registers by that, its alarm in front, and a reset
// makes it boot; a secure one does it by TLS on another port.
func TestPhoneBySCCP(t *testing.T) {
	for _, mode := range []string{"1", "3"} {
		t.Run(mode, func(t *testing.T) {
			s := newSite(t, "pub")
			id := pkitest.Identity(t, "manager", pki.Service)
			s.list(trustlist.ITL, s.call, append(s.records(), trustlist.RecordSpec{Role: trustlist.CCM, Certificate: id.Certificate})...)
			s.serveConfig("SEP"+mac+".cnf.xml", `<device><deviceProtocol>SCCP</deviceProtocol><devicePool><callManagerGroup><members><member priority="0"><callManager>`+
				`<ports><ethernetPhonePort>2100</ethernetPhonePort></ports><processNodeName>manager</processNodeName></callManager></member></members></callManagerGroup></devicePool>`+
				`<loadInformation>SCCP45.9-4-2</loadInformation><deviceSecurityMode>`+mode+`</deviceSecurityMode></device>`)
			w := world{"pub": s}
			got, conns := make(chan sccp.Message, 16), make(chan net.Conn, 4)
			want := map[string]string{"1": "manager:2100", "3": "manager:2543"}[mode]
			p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}, Rand: rand.Reader,
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if !strings.HasPrefix(address, "manager:") {
						return w.dial(ctx, network, address)
					}
					if address != want {
						t.Errorf("dialled %s, want %s", address, want)
					}
					here, there := net.Pipe()
					if mode == "3" {
						there = tls.Server(there, &tls.Config{Certificates: []tls.Certificate{id.TLS()}, SessionTicketsDisabled: true})
					}
					go skinnyManager(there, got)
					conns <- there
					return here, nil
				}})
			ctx, cancel := context.WithCancel(t.Context())
			reports, done := make(chan *boot.Report, 8), make(chan struct{})
			go func() {
				defer close(done)
				p.Run(ctx, time.Hour, nil, func(r *boot.Report) { reports <- r })
			}()
			defer func() { cancel(); <-done }()
			<-reports
			if alarm := <-got; alarm.ID != sccp.XMLAlarm || !bytes.Contains(alarm.Body, []byte("DeviceTLInfo")) {
				t.Errorf("first %#x %q", alarm.ID, alarm.Body)
			}
			if r, ok := (<-got).Restarted(); !ok || r.Last != "Initialized" {
				t.Errorf("how it has reset: %+v, %v", r, ok)
			}
			if m := <-got; m.ID != sccp.RegisterPhone || binary.LittleEndian.Uint32(m.Body[28:]) != 436 || !bytes.Contains(m.Body, []byte("SCCP45.9-4-2\x00")) {
				t.Errorf("then %#x %q", m.ID, m.Body)
			}
			(<-conns).Write(sccp.Message{ID: sccp.ResetPhone, Body: []byte{1, 0, 0, 0}}.Bytes())
			if r := <-reports; r.Reason() != trust.Accepted || restarts(p) != 1 {
				t.Errorf("%v, %d restarts", r.Reason(), restarts(p))
			}
			for _, want := range []sccp.ID{sccp.UnregisterMe, sccp.TextAlarm, sccp.RegisterPhone} {
				if m := <-got; m.ID != want {
					t.Errorf("%#x, want %#x", m.ID, want)
				}
			}
			if now := p.Snapshot(); len(now.Alarms) != 0 || now.Registration.Cause != register.ResetReset {
				t.Errorf("%d alarms wait, %+v", len(now.Alarms), now.Registration)
			}
		})
	}
}

// skinnyManager accepts what registers.
func skinnyManager(conn net.Conn, got chan<- sccp.Message) {
	defer conn.Close()
	for {
		m, err := sccp.Read(conn)
		if err != nil {
			return
		}
		if id, ok := map[sccp.ID]sccp.ID{sccp.RegisterPhone: sccp.RegisterAck, sccp.KeepAlive: sccp.KeepAliveAck, sccp.UnregisterMe: sccp.UnregisterAck}[m.ID]; ok {
			conn.Write(sccp.Message{ID: id, Body: make([]byte, 4)}.Bytes()) // before a reset that the test sends once it has the message
		}
		got <- m
	}
}
