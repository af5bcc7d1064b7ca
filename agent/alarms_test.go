package agent_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"

	"itlagent/agent"
	"itlagent/agent/holdings"
	"itlagent/agent/trustlist"
)

// A phone whose configuration says UDP sends its alarms by UDP, with its own address.
// One that the call manager refuses for good does not hold up the next.
func TestAlarmsByUDP(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	requests := make(chan string, 10)
	go func() {
		buf := make([]byte, 8192)
		for n := 0; ; {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if !strings.HasPrefix(string(buf[:size]), "REFER ") {
				continue // another program's, for whoever had the port before
			}
			_, rest, _ := strings.Cut(string(buf[:size]), "Call-ID: ")
			id, _, _ := strings.Cut(rest, "\r\n")
			status := "202 Accepted"
			if n++; n == 1 {
				status = "400 Bad Request"
			}
			requests <- string(buf[:size])
			fmt.Fprintf(packet{conn, from}, "SIP/2.0 %s\r\nCall-ID: %s\r\n\r\n", status, id)
		}
	}()
	s := newSite(t, "pub")
	s.list(trustlist.ITL, s.call)
	host, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	configure := func(transport, mode string) {
		s.serveConfig("SEP"+mac+".cnf.xml", fmt.Sprintf(`<device><callManagerGroup><members><member priority="0"><callManager><ports><sipPort>%s</sipPort><securedSipPort>1</securedSipPort></ports>`+
			`<processNodeName>%s</processNodeName></callManager></member></members></callManagerGroup><transportLayerProtocol>%s</transportLayerProtocol><deviceSecurityMode>%s</deviceSecurityMode></device>`,
			port, host, transport, mode))
	}
	configure("2", "0")
	w := world{"pub": s}
	p := w.phoneWith(t, agent.Config{Store: new(holdings.MemStore), Servers: []string{"pub"}, Rand: rand.Reader, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "udp" && address == conn.LocalAddr().String() {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return w.dial(ctx, network, address)
	}})
	p.Cycle(t.Context())
	if err := p.Erase(trustlist.ITL); err != nil {
		t.Fatal(err)
	}
	p.Cycle(t.Context()) // the list is new again: a second alarm
	if n := len(p.Snapshot().Alarms); n != 2 {
		t.Fatalf("%d alarms wait", n)
	}
	sent, err := p.DeliverAlarms(t.Context())
	if now := p.Snapshot(); sent != 1 || err != nil || len(now.Alarms) != 0 || now.Refused != 1 || now.Dropped != 0 {
		t.Errorf("%d sent, %v, %d wait, %d refused, %d dropped", sent, err, len(now.Alarms), now.Refused, now.Dropped)
	}
	for range 2 {
		if req := <-requests; !strings.Contains(req, "Via: SIP/2.0/UDP "+host+":") || !strings.Contains(req, `<String name="IPv4Address">`+host+`</String>`) {
			t.Errorf("sent\n%s", req)
		}
	}
}

// packet writes to one address.
type packet struct {
	net.PacketConn
	to net.Addr
}

func (p packet) Write(b []byte) (int, error) { return p.WriteTo(b, p.to) }
