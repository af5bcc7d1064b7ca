package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/alarm"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// bench is a whole phone joined to a cluster on loopback.
type bench struct {
	t       *testing.T
	cluster *cluster.Cluster
	phone   *agent.Agent
	store   *holdings.MemStore
	conf    agent.Config
}

func newBench(t *testing.T, release, model, firmware string) *bench {
	t.Helper()
	p, err := profile.Builtin(release)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(p, cluster.Options{Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, cluster: c, store: new(holdings.MemStore)}
	b.conf = agent.Config{
		MAC: mac, Model: model, Firmware: firmware, Servers: []string{c.Publisher().Address()}, Address: "127.0.0.1", Store: b.store,
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now, Rand: rand.Reader,
	}
	b.restart()
	return b
}

// restart is what a power cut is to the phone.
func (b *bench) restart() {
	b.t.Helper()
	var err error
	if b.phone, err = agent.New(b.conf); err != nil {
		b.t.Fatal(err)
	}
}

// servers returns the TFTP servers of a phone, and whether they were set on it.
func servers(p *agent.Agent) ([]string, bool) {
	s := p.Snapshot()
	return s.Servers, s.Network.Alternate
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// received returns the alarms in the cluster's event log.
func (b *bench) received() (statuses, hashes []string) {
	b.t.Helper()
	all, _, err := b.cluster.Events().Since(0)
	b.must(err)
	for _, e := range all {
		if e.Name == "DeviceTLInfo" {
			statuses = append(statuses, e.Tag("ITLStatus"))
			hashes = append(hashes, e.Tag("ITL_Signature"))
		}
	}
	return statuses, hashes
}

// One alarm for each change of the lists reaches the cluster; it waits while no
// server takes it, also across a restart, and does not hold up the boot.
func TestAlarms(t *testing.T) {
	b := newBench(t, "note", "CP-7965G", "")
	deliver := func() (int, error) { return b.phone.DeliverAlarms(t.Context()) }
	if n, err := deliver(); n != 0 || err != nil {
		t.Errorf("before the first cycle: %d, %v", n, err)
	}
	b.phone.Cycle(t.Context())
	if n, err := deliver(); n != 1 || err != nil {
		t.Errorf("after the first list: %d, %v", n, err)
	}
	b.phone.Cycle(t.Context())
	if n, err := deliver(); n != 0 || err != nil {
		t.Errorf("without a change: %d, %v", n, err)
	}
	statuses, hashes := b.received()
	sum := sha1.Sum(b.cluster.Publisher().ITL())
	if fmt.Sprint(statuses) != "[Match]" || hashes[0] != strings.TrimSpace(alarm.Signature(sum[:])) {
		t.Errorf("received %v, %v", statuses, hashes)
	}

	// The cluster's SIP is down while the list changes, twice.
	for _, n := range b.cluster.Nodes() {
		b.must(b.cluster.Apply(operation.Service(n.Name(), profile.CallManagerService, operation.Stop)))
	}
	for range 2 {
		b.must(b.cluster.Apply(operation.Advance(time.Second))) // a list with another time
		b.must(b.cluster.Apply(operation.RestartTFTP("test10pub")))
		begin := time.Now()
		if r := b.phone.Cycle(t.Context()); !r.ITL.Changed || time.Since(begin) > 10*time.Second {
			t.Errorf("changed %v after %v", r.ITL.Changed, time.Since(begin))
		}
		if n, err := deliver(); n != 0 || err == nil {
			t.Errorf("while SIP is down: %d, %v", n, err)
		}
	}
	b.restart()
	if waiting := b.phone.Snapshot().Alarms; len(waiting) != 2 {
		t.Fatalf("%d wait after a restart", len(waiting))
	}
	// The subscriber alone comes back: the phone fails over to it.
	b.must(b.cluster.Apply(operation.Service("test10sub", profile.CallManagerService, operation.Start)))
	b.phone.Cycle(t.Context())
	if n, err := deliver(); n != 2 || err != nil {
		t.Errorf("by fail-over: %d, %v", n, err)
	}
	if statuses, _ := b.received(); fmt.Sprint(statuses) != "[Match MisMatch Match]" {
		t.Errorf("received %v", statuses)
	}
	// Deleting the list and taking it again is a change too.
	b.must(b.phone.Erase(trustlist.CTL, trustlist.ITL))
	b.phone.Cycle(t.Context())
	if n, err := deliver(); n != 1 || err != nil {
		t.Errorf("after deletion: %d, %v", n, err)
	}

	old := newBench(t, "note", "CP-7965G", "9.3.1")
	old.phone.Cycle(t.Context())
	if waiting := old.phone.Snapshot().Alarms; len(waiting) != 0 {
		t.Errorf("firmware 9.3(1) queues %d alarms", len(waiting))
	}
}

// Run boots the phone, follows resets, and delivers alarms beside the cycles.
func TestRun(t *testing.T) {
	b := newBench(t, "note", "CP-7965G", "")
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan *boot.Report)
	reset := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.phone.Run(ctx, time.Hour, reset, func(r *boot.Report) { reports <- r })
	}()
	if r := <-reports; r.Reason() != trust.Accepted {
		t.Errorf("first cycle: %v", r.Reason())
	}
	reset <- struct{}{}
	if r := <-reports; r.ITL.Changed {
		t.Error("the second cycle changed the list")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if statuses, _ := b.received(); len(statuses) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the alarm did not arrive")
		}
	}
	cancel()
	<-done
}

// A factory reset leaves the MIC; the other ways to set a phone by hand survive a
// restart.
func TestByHand(t *testing.T) {
	b := newBench(t, "note", "CP-7965G", "")
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: "CP-7965G-SEP" + mac}, Bits: 2048, From: pkitest.Time})
	b.must(err)
	pem, err := id.PhonePEM()
	b.must(err)
	b.must(b.store.Put("mic", pem))
	b.restart()
	b.phone.Cycle(t.Context())
	b.must(b.phone.SetNetwork(holdings.Network{TFTP1: "192.0.2.1", TFTP2: "192.0.2.2:6970", Alternate: true}))
	b.restart()
	if servers, alternate := servers(b.phone); !alternate || fmt.Sprint(servers) != "[192.0.2.1 192.0.2.2:6970]" {
		t.Errorf("after a restart: %v, %v", servers, alternate)
	}
	for _, bad := range []string{"a b", "a\nalternate=1", strings.Repeat("x", 200)} {
		if err := b.phone.SetNetwork(holdings.Network{TFTP1: bad, TFTP2: "", Alternate: true}); err == nil {
			t.Errorf("server %q", bad)
		}
	}
	if err := b.phone.SetNetwork(holdings.Network{TFTP1: "", TFTP2: "", Alternate: true}); err == nil {
		t.Error("alternate servers without any")
	}
	b.must(b.phone.FactoryReset())
	if servers, alternate := servers(b.phone); alternate || len(servers) != 1 {
		t.Errorf("after a factory reset: %v, %v", servers, alternate)
	}
	if b.phone.Identity() == nil || !bytes.Equal(b.phone.Identity().Certificate[0], id.Certificate.Raw) {
		t.Error("the MIC is gone")
	}
	now := b.phone.Snapshot()
	if now.CTL != nil || now.ITL != nil || now.Settings.Web != "" {
		t.Errorf("still held: %v, %v, %+v", now.CTL, now.ITL, now.Settings)
	}
	if shown := b.phone.Snapshot().Messages; len(shown) != 1 || shown[0].Text != "Reset to factory settings" {
		t.Errorf("shown: %+v", shown)
	}
	if r := b.phone.Cycle(t.Context()); r.ITL.Verdict.Via != trust.ViaFirstUse {
		t.Errorf("the next list: via %v", r.ITL.Verdict.Via)
	}
	// A certificate that cannot be read is as none.
	for name, bad := range map[string][]byte{"rubbish": []byte("rubbish"), "no key": pem[:bytes.Index(pem, []byte("-----BEGIN RSA"))], "cut": pem[:len(pem)/2]} {
		b.must(b.store.Put("mic", bad))
		b.restart()
		if b.phone.Identity() != nil {
			t.Errorf("%s: taken", name)
		}
	}
	other, err := pki.New(pki.Request{Subject: pki.Name{CN: "x"}, Bits: 2048, From: pkitest.Time})
	b.must(err)
	otherPEM, err := other.PhonePEM()
	b.must(err)
	mixed := append(bytes.Clone(pem[:bytes.Index(pem, []byte("-----BEGIN RSA"))]), otherPEM[bytes.Index(otherPEM, []byte("-----BEGIN RSA")):]...)
	b.must(b.store.Put("mic", mixed))
	b.restart()
	if b.phone.Identity() != nil {
		t.Error("a key that does not fit: taken")
	}
}

// TVS sees the phone's certificate.
func TestClientCertificate(t *testing.T) {
	p, err := profile.Builtin("note")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var logged strings.Builder
	c, err := cluster.New(p, cluster.Options{Logf: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&logged, format+"\n", args...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &bench{t: t, cluster: c, store: new(holdings.MemStore)}
	b.must(c.Start())
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: "CP-7965G-SEP" + mac}, Bits: 2048, From: pkitest.Time})
	b.must(err)
	pem, err := id.PhonePEM()
	b.must(err)
	b.must(b.store.Put("mic", pem))
	b.conf = agent.Config{MAC: mac, Model: "CP-7965G", Servers: []string{c.Publisher().Address()}, Store: b.store,
		Dial: new(net.Dialer).DialContext, TFTP: fetch.PlainTFTP, Now: c.Now}
	b.restart()
	b.phone.Cycle(t.Context())
	if p := b.phone.Directory(t.Context()); p.Err != nil { // which asks TVS
		t.Error(p.Err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(logged.String(), "client certificate CP-7965G-SEP"+mac) {
		t.Errorf("TVS saw no certificate:\n%s", &logged)
	}
}

// A secure phone sends its alarms by TLS, to a call manager whose certificate its
// lists have for that.
func TestSecureAlarm(t *testing.T) {
	for name, test := range map[string]struct {
		role trustlist.Role
		want int
	}{"listed": {trustlist.CCMTFTP, 1}, "listed for something else": {trustlist.CAPF, 0}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "pub")
			manager := pkitest.Identity(t, "manager", pki.Service)
			s.list(trustlist.ITL, s.call, append(s.records(), trustlist.RecordSpec{Role: test.role, Certificate: manager.Certificate})...)
			s.serveConfig("SEP"+mac+".cnf.xml", `<device><devicePool><callManagerGroup><members><member priority="0"><callManager><ports><sipPort>5060</sipPort>`+
				`<securedSipPort>5061</securedSipPort></ports><processNodeName>manager</processNodeName></callManager></member></members></callManagerGroup></devicePool>`+
				`<deviceSecurityMode>3</deviceSecurityMode></device>`)
			w := world{"pub": s}
			asked := make(chan string, 8)
			p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}, Rand: rand.Reader,
				Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if !strings.HasPrefix(address, "manager:") {
						return w.dial(ctx, network, address)
					}
					asked <- network + " " + address
					here, there := net.Pipe()
					go func() {
						conn := tls.Server(there, &tls.Config{Certificates: []tls.Certificate{manager.TLS()}, SessionTicketsDisabled: true})
						defer conn.Close()
						var req []byte
						for buf := make([]byte, 8192); !bytes.HasSuffix(req, []byte("</x-cisco-alarm>")); {
							n, err := conn.Read(buf)
							if err != nil {
								return
							}
							req = append(req, buf[:n]...)
						}
						_, rest, _ := strings.Cut(string(req), "Call-ID: ")
						id, _, _ := strings.Cut(rest, "\r\n")
						fmt.Fprintf(conn, "SIP/2.0 202 Accepted\r\nCall-ID: %s\r\nContent-Length: 0\r\n\r\n", id)
					}()
					return here, nil
				}})
			want(t, "booted", p.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, "ITL installed")
			if n, err := p.DeliverAlarms(t.Context()); n != test.want || (err == nil) != (test.want == 1) {
				t.Errorf("%d sent, %v", n, err)
			}
			if got := <-asked; got != "tcp manager:5061" {
				t.Errorf("dialled %s", got)
			}
		})
	}
}

// The directory needs a configuration that names one.
func TestDirectory(t *testing.T) {
	b := newBench(t, "note", "CP-7965G", "")
	if p := b.phone.Directory(t.Context()); p.Err == nil || len(p.Why()) != 0 {
		t.Errorf("a directory before the first cycle: %v, %q", p.Err, p.Why())
	}
	b.phone.Cycle(t.Context())
	p := b.phone.Directory(t.Context())
	if p.Err != nil || !p.Verdict.Accepted || p.Verdict.Via != trust.ViaTVS || !strings.Contains(string(p.Text), "<Title>Directories</Title>") {
		t.Errorf("%+v", p)
	}
	// TVS is not there: the phone shows Host Not Found.
	for _, n := range b.cluster.Nodes() {
		b.must(b.cluster.Apply(operation.Service(n.Name(), profile.TVSService, operation.Stop)))
	}
	if p := b.phone.Directory(t.Context()); p.Err == nil || p.Verdict.Reason != trust.TVSUnreachable || len(p.Text) > 0 {
		t.Errorf("without TVS: %+v", p)
	}
}

// What is rejected of a configuration leaves the old settings in force.
func TestBadConfigurations(t *testing.T) {
	s := newSite(t, "pub")
	s.publish("1")
	w := world{"pub": s}
	p := w.phone(t, new(holdings.MemStore), "pub")
	want(t, "booted", p.Cycle(t.Context()), trust.ViaFirstUse, trust.ViaITL, "ITL installed")
	for name, xml := range map[string]string{
		"broken":       "<device><vendorConfig><webAccess>0</webAccess>",
		"empty":        "",
		"entities":     `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><device><vendorConfig><webAccess>&b;</webAccess></vendorConfig></device>`,
		"deep":         strings.Repeat("<device>", 1000) + strings.Repeat("</device>", 1000),
		"another root": "<phone/>",
	} {
		s.serveConfig("SEP"+mac+".cnf.xml", xml)
		r := p.Cycle(t.Context())
		if r.Config.Verdict.Reason != trust.BadContent || r.Settings.Web != "1" || !r.Locked() {
			t.Errorf("%s: %v (%s), webAccess %q", name, r.Config.Verdict.Reason, r.Config.Verdict.Detail, r.Settings.Web)
		}
	}
	s.files["SEP"+mac+".cnf.xml.sgn"] = make([]byte, 5<<20)
	if r := p.Cycle(t.Context()); r.Config.Verdict.Reason != trust.TooLarge || r.Settings.Web != "1" {
		t.Errorf("5 MiB: %v, webAccess %q", r.Config.Verdict.Reason, r.Settings.Web)
	}
	s.serveConfig("SEP"+mac+".cnf.xml", "<device><unknown><x y='z'/></unknown><vendorConfig><webAccess>0</webAccess><new>1</new></vendorConfig></device>")
	if r := p.Cycle(t.Context()); !r.Config.Verdict.Accepted || r.Settings.Web != "0" {
		t.Errorf("unknown elements: %v, webAccess %q", r.Config.Verdict.Reason, r.Settings.Web)
	}
}
