package cluster_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/sccp"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/sip/siptest"
)

// skinny is a phone by SCCP, as a call manager sees it.
type skinny struct {
	t    *testing.T
	conn net.Conn
}

// dialSCCP connects a phone with a node.
func dialSCCP(t *testing.T, n *cluster.Node, secure bool) *skinny {
	t.Helper()
	port := map[bool]string{false: "sccp", true: "sccps"}[secure]
	conn, err := net.DialTimeout("tcp", n.Endpoint(port), siptest.WaitTime)
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { conn.Close() })
	return &skinny{t, conn}
}

func (s *skinny) send(all ...sccp.Message) {
	s.t.Helper()
	s.conn.SetWriteDeadline(time.Now().Add(siptest.WaitTime))
	for _, m := range all {
		if _, err := s.conn.Write(m.Bytes()); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *skinny) read() (sccp.Message, error) {
	s.conn.SetReadDeadline(time.Now().Add(siptest.WaitTime))
	return sccp.Read(s.conn)
}

// next wants the next message to be one.
func (s *skinny) next(id sccp.ID) sccp.Message {
	s.t.Helper()
	m, err := s.read()
	if err != nil || m.ID != id {
		s.t.Fatalf("%#x %q, %v; want %#x", m.ID, m.Body, err, id)
	}
	return m
}

func registerSCCP(device string) sccp.Message {
	return sccp.Register{Device: device, Type: 436, Address: netip.MustParseAddr("192.0.2.7"), Load: "SCCP45.9-4-2", MAC: strings.TrimPrefix(device, "SEP")}.Message()
}

// A phone that registers by SCCP is known as one by SIP is, is told to reset over its own
// connection, and takes its leave.
func TestRegisterSCCP(t *testing.T) {
	c := startProfile(t, "note")
	other, err := cluster.Open(cluster.Options{Dir: c.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	pub := c.Publisher()
	p := dialSCCP(t, pub, false)
	p.send(sccp.Message{ID: sccp.KeepAlive}) // of a back-up
	p.next(sccp.KeepAliveAck)
	p.send(sccp.Message{ID: sccp.TokenRequest, Body: []byte(device + "\x00")}, sccp.Message{ID: sccp.TokenRequest, Body: []byte("SEP000000000001\x00")})
	p.next(sccp.TokenAck)
	p.next(sccp.TokenReject)
	alarm := `<x-cisco-alarm><Alarm Name="DeviceTLInfo"><ParameterList><String name="DeviceName">` + device + `</String></ParameterList></Alarm></x-cisco-alarm>` + "\x00\x00\x00"
	p.send(sccp.Alarm([]byte(alarm)), sccp.Restarting("23: Name="+device+" Load=SCCP45.9-4-2 Last=Reset-Restart"), registerSCCP(device))
	if ack := p.next(sccp.RegisterAck); ack.KeepAlive() != registrar.KeepAlive*time.Second {
		t.Errorf("granted %v", ack.KeepAlive())
	}
	for _, from := range []*cluster.Cluster{c, other} {
		phones, err := from.Phones()
		if err != nil || len(phones) != 1 {
			t.Fatalf("%+v, %v", phones, err)
		}
		got := phones[0]
		if !got.Registered || got.Node != pub.Name() || got.Model != "436" || got.Load != "SCCP45.9-4-2" || got.Last != "reset-restart" || got.Protocol != "SCCP" || got.Transport != "TCP" || got.Address != p.conn.LocalAddr().String() {
			t.Errorf("%+v", got)
		}
	}
	until(t, "the alarm is an event", func() bool {
		all, _, err := c.Events().Since(0)
		return err == nil && slices.ContainsFunc(all, func(e events.Event) bool { return e.Name == "DeviceTLInfo" && e.Tag("DeviceName") == device })
	})
	for action, want := range map[string]sccp.Action{"reset": sccp.Reset, "restart": sccp.Restart, "apply-config": sccp.ApplyConfig, "check-version": sccp.ApplyConfig} {
		if err := other.Apply(operation.Reset(state.Order{Action: action}, "test")); err != nil {
			t.Fatal(err)
		}
		if got, ok := p.next(sccp.ResetPhone).Reset(); !ok || got != want {
			t.Errorf("%s: told %d, want %d", action, got, want)
		}
		p.send(registerSCCP(device)) // it has come back, over the same connection
		p.next(sccp.RegisterAck)
	}
	p.send(sccp.Message{ID: sccp.UnregisterMe})
	p.next(sccp.UnregisterAck)
	if got := registeredWith(t, c); got != nil {
		t.Errorf("registered after its leave: %v", got)
	}
}

// A stopped service takes its phones' connections away; strangers are told why, and their
// connection ends.
func TestSCCPFailOver(t *testing.T) {
	c := startProfile(t, "note")
	pub, sub := c.Nodes()[0], c.Nodes()[1]
	for name, m := range map[string]sccp.Message{"stranger": registerSCCP("SEP000000000001"), "no name": registerSCCP(""), "half": {ID: sccp.RegisterPhone, Body: []byte(device)}} {
		p := dialSCCP(t, pub, false)
		p.send(m)
		if no := p.next(sccp.RegisterReject); len(no.Body) != 33 || no.Body[0] == 0 {
			t.Errorf("%s: %q", name, no.Body)
		}
		if _, err := p.read(); err != io.EOF {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
	}
	p := dialSCCP(t, pub, false)
	p.send(registerSCCP(device))
	p.next(sccp.RegisterAck)
	if err := c.Apply(operation.Service(pub.Name(), profile.CallManagerService, operation.Stop)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.read(); err == nil {
		t.Fatal("the connection stays")
	}
	back := dialSCCP(t, sub, false)
	back.send(registerSCCP(device))
	back.next(sccp.RegisterAck)
	if got := registeredWith(t, c); !slices.Equal(got, []string{device + " test10sub"}) {
		t.Errorf("registered: %v", got)
	}
	back.conn.Close()
	until(t, "its end is noticed", func() bool { return registeredWith(t, c) == nil })
}

// In mixed mode a secured phone registers by TLS alone, 443 behind the other port, with the
// certificate of the call manager.
func TestSCCPMixedMode(t *testing.T) {
	c := startProfile(t, "note")
	pub := c.Publisher()
	if _, err := net.Dial("tcp", pub.Endpoint("sccps")); err == nil {
		t.Error("SCCP by TLS in non-secure mode")
	}
	for _, op := range []operation.Operation{operation.Set(mac, state.SecuritySetting, "3"), operation.SetMixedMode(true), operation.Service(pub.Name(), profile.CallManagerService, operation.Restart)} {
		if err := c.Apply(op); err != nil {
			t.Fatal(err)
		}
	}
	p := dialSCCP(t, pub, false)
	p.send(registerSCCP(device))
	if no := p.next(sccp.RegisterReject); !bytes.Contains(no.Body, []byte("TLS")) {
		t.Errorf("%q", no.Body)
	}
	secure := dialSCCP(t, pub, true)
	secure.send(registerSCCP(device))
	secure.next(sccp.RegisterAck)
	if phones, err := c.Phones(); err != nil || len(phones) != 1 || phones[0].Transport != "TLS" || !phones[0].Registered {
		t.Errorf("%+v, %v", phones, err)
	}
	if shown := secure.conn.(*tls.Conn).ConnectionState().PeerCertificates[0]; !shown.Equal(pub.Identity(profile.CallManager).Certificate) {
		t.Errorf("it shows serial %X", shown.SerialNumber)
	}
	plain, _ := netip.ParseAddrPort(pub.Endpoint("sccp"))
	by, _ := netip.ParseAddrPort(pub.Endpoint("sccps"))
	if by.Port() != plain.Port()+443 {
		t.Errorf("ports %v and %v", plain, by)
	}
}

// However many are silent, half, absurd, or register as strangers do, a phone is served; and a
// registered one keeps its connection.
func TestSCCPCrowd(t *testing.T) {
	const idle, strangers = 300, 100
	c := withPhones(t, 3)
	pub := c.Publisher()
	first := dialSCCP(t, pub, false)
	first.send(registerSCCP("SEP000000000000"))
	first.next(sccp.RegisterAck)
	whole := registerSCCP("SEP000000000002").Bytes()
	for i := range idle {
		p := dialSCCP(t, pub, false)
		p.conn.Write(whole[:i%len(whole)])
	}
	endless := sccp.Message{ID: 0x9a}.Bytes()
	for _, length := range []uint32{0, 3, sccp.MaxBody + 5, 1 << 31, 1<<32 - 1} {
		p := dialSCCP(t, pub, false)
		binary.LittleEndian.PutUint32(endless, length)
		p.conn.Write(endless)
		if _, err := p.read(); err != io.EOF {
			t.Errorf("a message of %d bytes: %v", length, err)
		}
	}
	for range strangers {
		p := dialSCCP(t, pub, false)
		p.send(registerSCCP("SEP100000000000"))
		p.next(sccp.RegisterReject)
	}
	flood := dialSCCP(t, pub, false)
	go flood.conn.Write(bytes.Repeat(sccp.Alarm([]byte("<no alarm")).Bytes(), 2000))
	p := dialSCCP(t, pub, false)
	p.send(registerSCCP("SEP000000000001"))
	p.next(sccp.RegisterAck)
	first.send(sccp.Message{ID: sccp.KeepAlive})
	first.next(sccp.KeepAliveAck)
	if got := registeredWith(t, c); len(got) != 2 {
		t.Errorf("registered: %v", got)
	}
}
