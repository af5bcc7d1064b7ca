package cluster_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip/siptest"
)

// dial connects a phone with a node.
func dial(t *testing.T, n *cluster.Node, network, device string) *siptest.Phone {
	t.Helper()
	port, conf := "sip", (*tls.Config)(nil)
	if network == "tls" {
		port, conf = "sips", &tls.Config{InsecureSkipVerify: true}
	}
	p, err := siptest.Dial(network, n.Endpoint(port), device, conf)
	if err != nil {
		t.Fatalf("%s: %v", device, err)
	}
	t.Cleanup(p.Close)
	return p
}

// registers wants an answer to a REGISTER.
func registers(t *testing.T, p *siptest.Phone, last string, want int) {
	t.Helper()
	if code, err := p.Register(3600, last); err != nil || code != want {
		t.Fatalf("%s registers: %d, %v; want %d", p.Device, code, err, want)
	}
}

// until waits for something that another goroutine brings.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(siptest.WaitTime); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func registeredWith(t *testing.T, c *cluster.Cluster) (names []string) {
	t.Helper()
	phones, err := c.Phones()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range phones {
		if p.Registered {
			names = append(names, p.Device+" "+p.Node)
		}
	}
	return names
}

const device = "SEP" + mac

// A phone that registers is known in this process and in others, with what it says of
// itself; and it is told to reset by whoever orders it, over its own connection.
func TestRegisterAndReset(t *testing.T) {
	c := startProfile(t, "note")
	other, err := cluster.Open(cluster.Options{Dir: c.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	pub := c.Publisher()
	for _, network := range []string{"tcp", "udp"} {
		p := dial(t, pub, network, device)
		registers(t, p, "initialized", 200)
		if p.Expires != registrar.DefaultExpires || !p.Fresh {
			t.Errorf("%s: granted %d, new %v; want %d, true", network, p.Expires, p.Fresh, registrar.DefaultExpires)
		}
		registers(t, p, "", 200)
		if p.Fresh {
			t.Errorf("%s: a refresh is answered as a new registration", network)
		}
		for _, from := range []*cluster.Cluster{c, other} {
			phones, err := from.Phones()
			if err != nil || len(phones) != 1 {
				t.Fatalf("%s: %+v, %v", network, phones, err)
			}
			got := phones[0]
			if !got.Registered || got.Node != pub.Name() || got.Model != "436" || got.Load != "SIP45.9-3-1.loads" || got.Last != "initialized" || got.Device != device {
				t.Errorf("%s: %+v", network, got)
			}
		}
		for _, order := range []struct {
			name string
			op   operation.Operation
			want string
		}{
			{"all", operation.Reset(state.Order{Action: "reset"}, "test"), "reset"},
			{"this one", operation.Reset(state.Order{Action: "restart", Device: device}, "test"), "restart"},
			{"those of the node", operation.Reset(state.Order{Action: "apply-config", Node: pub.Name()}, "test"), "apply-config"},
			{"not those of the other node", operation.Reset(state.Order{Action: "restart", Node: "test10sub"}, "test"), ""},
			{"after a regeneration", operation.Regenerate("test10sub", profile.TVS), "reset"},
			{"not after one of ITLRecovery", func(s *state.State) error {
				delete(s.Nodes[0].Modified, profile.TVS)
				return operation.Regenerate("test10pub", profile.ITLRecovery)(s)
			}, ""},
		} {
			if err := other.Apply(operation.Advance(operation.HoldTime)); err != nil {
				t.Fatal(err)
			}
			if err := other.Apply(order.op); err != nil {
				t.Fatal(err)
			}
			if order.want == "" {
				continue // the next order shows that there is nothing before it
			}
			if action, err := p.Notified(200); err != nil || action != order.want {
				t.Fatalf("%s, %s: told %q, %v; want %q", network, order.name, action, err, order.want)
			}
		}
		if err := other.Apply(operation.Reset(state.Order{Action: "check-version"}, "test")); err != nil {
			t.Fatal(err)
		}
		if action, err := p.Notified(400); err != nil || action != "check-version" {
			t.Errorf("%s: after orders for others: %q, %v; want check-version", network, action, err)
		}
		until(t, "the refusal is known", func() bool {
			phones, _ := c.Phones()
			return len(phones) == 1 && phones[0].Asked == "refused"
		})
		if code, err := p.Register(0, ""); err != nil || code != 200 || len(registeredWith(t, c)) != 0 {
			t.Errorf("%s: Expires 0: %d, %v, registered %v", network, code, err, registeredWith(t, c))
		}
	}
}

// Who is not known, and who says not who he is, is refused.
func TestRegisterStrangers(t *testing.T) {
	c := startProfile(t, "note")
	registers(t, dial(t, c.Publisher(), "tcp", "SEP000000000001"), "", 404)
	registers(t, dial(t, c.Publisher(), "tcp", "SEP"), "", 404)
	registers(t, dial(t, c.Publisher(), "tcp", ""), "", 400)
	if got := registeredWith(t, c); got != nil {
		t.Errorf("registered: %v", got)
	}
}

// A stopped service takes its phones' connections away: they fail over. One that is
// started again has nobody until they come back.
func TestFailOver(t *testing.T) {
	c := startProfile(t, "note")
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	p := dial(t, pub, "tcp", device)
	registers(t, p, "initialized", 200)
	if err := c.Apply(operation.Service(pub.Name(), profile.CallManagerService, operation.Stop)); err != nil {
		t.Fatal(err)
	}
	if err := p.Closed(); err != nil {
		t.Fatalf("the connection stays: %v", err)
	}
	if _, err := net.Dial("tcp", pub.Endpoint("sip")); err == nil {
		t.Error("the stopped service listens")
	}
	back := dial(t, sub, "tcp", device)
	registers(t, back, "", 200)
	if got := registeredWith(t, c); !slices.Equal(got, []string{device + " test10sub"}) {
		t.Errorf("registered: %v", got)
	}
	if err := c.Apply(operation.Service(sub.Name(), profile.CallManagerService, operation.Restart)); err != nil {
		t.Fatal(err)
	}
	if err := back.Closed(); err != nil {
		t.Fatalf("a restart leaves the connection: %v", err)
	}
	if got := registeredWith(t, c); got != nil {
		t.Errorf("registered after a restart: %v", got)
	}
	registers(t, dial(t, sub, "tcp", device), "", 200)
	c.Stop()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	registers(t, dial(t, sub, "tcp", device), "", 200)
	if got := registeredWith(t, c); !slices.Equal(got, []string{device + " test10sub"}) {
		t.Errorf("registered after the node came back: %v", got)
	}
}

// In mixed mode a secured phone registers by TLS alone. The service shows the certificate
// that CallManager had when it started.
func TestMixedMode(t *testing.T) {
	c := startProfile(t, "note")
	pub := c.Publisher()
	apply := func(op operation.Operation) {
		t.Helper()
		if err := c.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Dial("tcp", pub.Endpoint("sips")); err == nil {
		t.Error("SIP by TLS in non-secure mode")
	}
	apply(operation.Set(mac, state.SecuritySetting, "3"))
	registers(t, dial(t, pub, "tcp", device), "", 200)
	apply(operation.SetMixedMode(true))
	apply(operation.Service(pub.Name(), profile.CallManagerService, operation.Restart))
	registers(t, dial(t, pub, "tcp", device), "", 403)
	registers(t, dial(t, pub, "tls", device), "", 200)
	shows := func(want *x509.Certificate) {
		t.Helper()
		conn, err := tls.Dial("tcp", pub.Endpoint("sips"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(want) {
			t.Errorf("it shows serial %X, want %X", got.SerialNumber, want.SerialNumber)
		}
	}
	old := pub.Identity(profile.CallManager).Certificate
	shows(old)
	apply(operation.Regenerate(pub.Name(), profile.CallManager))
	shows(old)
	apply(operation.Service(pub.Name(), profile.CallManagerService, operation.Restart))
	shows(pub.Identity(profile.CallManager).Certificate)
	apply(operation.Set(mac, state.SecuritySetting, "1"))
	registers(t, dial(t, pub, "tcp", device), "", 200)
}

// withPhones is the note's cluster with so many phones, SEP000000000000 and on.
func withPhones(t *testing.T, phones int) *cluster.Cluster {
	t.Helper()
	p := profile.Note()
	for i := range phones {
		p.Phones = append(p.Phones, profile.PhoneSpec{MAC: fmt.Sprintf("%012d", i), Model: "CP-7965G"})
	}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// However many are silent, or register as strangers do, a phone is served; and a
// registered one keeps its connection.
func TestRegisterCrowd(t *testing.T) {
	const idle, strangers = 1000, 200
	c := withPhones(t, 3)
	pub := c.Publisher()
	first := dial(t, pub, "tcp", "SEP000000000000")
	registers(t, first, "initialized", 200)
	for range idle {
		conn, err := net.Dial("tcp", pub.Endpoint("sip"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	for i := range strangers {
		p := dial(t, pub, "tcp", fmt.Sprintf("SEP1%011d", i))
		registers(t, p, "", 404)
		registers(t, p, "", 404)
	}
	registers(t, dial(t, pub, "tcp", "SEP000000000001"), "initialized", 200)
	registers(t, first, "", 200)
	if first.Fresh {
		t.Error("the first phone's registration is new: it was lost")
	}
	if got := registeredWith(t, c); len(got) != 2 {
		t.Errorf("registered: %v", got)
	}
}
