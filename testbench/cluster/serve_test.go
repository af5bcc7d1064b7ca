package cluster_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

func startProfile(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	p, err := profile.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(p, cluster.Options{Dir: t.TempDir(), Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// verify asks a TVS whether it vouches for a certificate, as phones do for the
// servers that they reach by HTTPS.
func verify(t *testing.T, n *cluster.Node, der []byte) *tvs.Message {
	t.Helper()
	conn, err := tls.Dial("tcp", n.TVSAddress(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	b, err := (&tvs.Message{Type: tvs.CertVerificationReq, Session: 1001, Device: "CP-8861-SEP" + mac, Certificate: der}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	res, err := tvs.Read(conn)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// presented returns the certificate of an HTTPS server.
func presented(t *testing.T, address string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// HTTPS on its own port has only configurations, unsigned, under an EC
// certificate that the list has as TFTP's and that TVS vouches for.
func TestHTTPS(t *testing.T) {
	c := startProfile(t, "11.5")
	pub := c.Publisher()
	cert := presented(t, pub.Endpoint("https"))
	if !cert.Equal(pub.Identity(profile.CallManagerEC).Certificate) {
		t.Errorf("the server presents %v", cert.Subject)
	}
	found := false
	for _, r := range itl(t, pub).Records {
		found = found || r.Role() == trustlist.TFTP && r.Is([]byte(trustlist.FormatName(cert.Issuer)), cert.SerialNumber.Bytes())
	}
	if !found {
		t.Error("the list does not have the certificate with role TFTP")
	}
	if res := verify(t, pub, cert.Raw); res.Status != 0 || fmt.Sprint(res.Roles) != fmt.Sprint([]trustlist.Role{trustlist.TFTP}) {
		t.Errorf("TVS says %+v", res)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for name, want := range map[string]int{
		"SEP" + mac + ".cnf.xml.sgn": 200, "SEP" + mac + ".cnf.xml": 200, "ITLSEP" + mac + ".tlv": 404, "ITLFile.tlv": 404, "XMLDefault.cnf.xml.sgn": 404,
	} {
		res, err := client.Get("https://" + pub.Endpoint("https") + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 200 && !bytes.HasPrefix(body, []byte("<?xml")) {
			t.Errorf("%s: %d, %.20q", name, res.StatusCode, body)
		}
	}
}

// TVS vouches for the application server of a node, unless that has a
// certificate from elsewhere.
func TestApplicationServer(t *testing.T) {
	c := startProfile(t, "note")
	pub := c.Publisher()
	if res := verify(t, c.Nodes()[1], presented(t, pub.Endpoint("tomcat")).Raw); res.Status != 0 || fmt.Sprint(res.Roles) != fmt.Sprint([]trustlist.Role{trustlist.AppServer}) {
		t.Errorf("TVS says %+v", res)
	}
	if err := c.Apply(operation.SetFault(pub.Name(), profile.TomcatService, "foreign")); err != nil {
		t.Fatal(err)
	}
	foreign := presented(t, pub.Endpoint("tomcat"))
	if res := verify(t, pub, foreign.Raw); res.Status != 1 || res.Roles != nil {
		t.Errorf("TVS says %+v of a foreign certificate", res)
	}
	if err := c.Apply(operation.Import(profile.TomcatTrust, foreign)); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(operation.RestartTVS(pub.Name())); err != nil {
		t.Fatal(err)
	}
	if res := verify(t, pub, foreign.Raw); res.Status != 0 {
		t.Errorf("TVS says %+v of an imported certificate", res)
	}
}

func refer(body string) string {
	return fmt.Sprintf("REFER sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:51778;branch=z9hG4bK20eb83bf\r\nFrom: \"2222\" <sip:2222@127.0.0.1>;tag=c80084aa\r\n"+
		"To: <sip:127.0.0.1>\r\nCall-ID: 1@127.0.0.1\r\nCSeq: 1000 REFER\r\nContent-Type: application/x-cisco-alarm+xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func alarm(hash string) string {
	return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n<String name=\"DeviceName\">SEP" + mac +
		"</String>\n<String name=\"ITL_Signature\">" + hash + " </String>\n<String name=\"StatusCode\">3</String>\n</ParameterList>\n</Alarm>\n</x-cisco-alarm>"
}

// An alarm of a phone is answered with 202 and stands in the event log, with what
// comes of comparing its list; by TCP, several on a connection, and by UDP.
func TestSIP(t *testing.T) {
	c := startProfile(t, "note")
	pub := c.Publisher()
	sum := sha1.Sum(c.Nodes()[1].ITL())
	good := strings.ReplaceAll(trustlist.FormatSerial(sum[:]), ":", " ")
	tcp, err := net.Dial("tcp", pub.Endpoint("sip"))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.Dial("udp", pub.Endpoint("sip"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, conn := range []net.Conn{tcp, udp} {
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		for _, hash := range []string{good, "00 11", "Not Installed"} {
			io.WriteString(conn, refer(alarm(hash)))
			buf := make([]byte, 4096)
			n, err := conn.Read(buf)
			res := string(buf[:n])
			if err != nil || !strings.HasPrefix(res, "SIP/2.0 202 Accepted\r\nVia: SIP/2.0/TCP 127.0.0.1:51778;branch=z9hG4bK20eb83bf\r\n") ||
				!strings.Contains(res, "\r\nTo: <sip:127.0.0.1>;tag=") || !strings.Contains(res, "\r\nCSeq: 1000 REFER\r\n") || !strings.HasSuffix(res, "\r\nContent-Length: 0\r\n\r\n") {
				t.Errorf("%v\n%s", err, res)
			}
		}
	}
	events, _, err := c.Events().Since(0)
	if err != nil || len(events) != 6 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, want := range []string{"Match", "MisMatch", "Not Installed", "Match", "MisMatch", "Not Installed"} {
		e := events[i]
		if e.Name != "DeviceTLInfo" || e.Tag("DeviceName") != "SEP"+mac || e.Tag("ITLStatus") != want || e.Tag("StatusCode") != "3" {
			t.Errorf("event %d: %v, want %s", i, e, want)
		}
	}
	// What is not an alarm is answered too, and leaves nothing behind.
	for text, want := range map[string]string{
		refer("<nonsense/>"): "400", refer(strings.Replace(alarm(good), "DeviceTLInfo", "a b]", 1)): "400",
		"OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n": "200", "INVITE sip:a SIP/2.0\r\n\r\n": "405",
	} {
		io.WriteString(tcp, text)
		buf := make([]byte, 4096)
		n, err := tcp.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "SIP/2.0 "+want) {
			t.Errorf("%.30q: %v, %.40q, want %s", text, err, buf[:n], want)
		}
	}
	for _, text := range []string{"rubbish\r\n\r\n", "REFER sip:a SIP/2.0\r\nContent-Length: 999999999\r\n\r\n", "REFER sip:a SIP/2.0\r\n" + strings.Repeat("X: y\r\n", 5000), "GET / HTTP/1.1\r\n\r\n"} {
		conn, err := net.Dial("tcp", pub.Endpoint("sip"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, text)
		if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.30q: %d bytes, %v", text, n, err)
		}
		conn.Close()
	}
	if events, _, _ := c.Events().Since(0); len(events) != 6 {
		t.Errorf("%d events", len(events))
	}
}

// Each fault shows what it is to show, and repairing it repairs it.
func TestFaults(t *testing.T) {
	c := startProfile(t, "note")
	pub := c.Publisher()
	dial := new(net.Dialer).DialContext
	get := func(perServer time.Duration) (fetch.File, error) {
		client := &fetch.Client{Dial: dial, TFTP: fetch.PlainTFTP, PerServer: perServer}
		f, err := client.Get(t.Context(), []string{pub.Address()}, "ITLFile.tlv", 1<<20)
		return f, err
	}
	list := itl(t, pub)
	ask := func() trust.Answer {
		id := pub.Identity(profile.CallManager).Certificate
		client := &tvs.Client{Dial: dial, Device: "CP-7965-SEP" + mac, PerServer: 400 * time.Millisecond, Total: 400 * time.Millisecond}
		return client.Query(t.Context(), list, []string{pub.TVSAddress()}, trust.Question{Issuer: trustlist.FormatName(id.Issuer), Serial: id.SerialNumber.Bytes()})
	}
	whole := len(pub.ITL())
	if err := c.Apply(operation.RestartTFTP(pub.Name())); err != nil { // so that there is an older list
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind  string
		check func() string
	}{
		{"busy", func() string {
			f, err := get(0)
			return fmt.Sprint(f.Transport == "TFTP" && len(f.Data) == whole, err)
		}},
		{"missing", func() string { _, err := get(0); return fmt.Sprint(errors.Is(err, fetch.ErrNotFound), nil) }},
		{"truncate", func() string { f, err := get(0); return fmt.Sprint(len(f.Data) == whole/2, err) }},
		{"old", func() string { f, err := get(0); return fmt.Sprint(bytes.Equal(f.Data, list.Bytes()), err) }},
		{"slow=10ms", func() string { f, err := get(0); return fmt.Sprint(len(f.Data) == whole, err) }},
		{"lose=5", func() string { f, err := get(0); return fmt.Sprint(f.Transport == "TFTP" && len(f.Data) == whole, err) }},
		{"pause", func() string { _, err := get(300 * time.Millisecond); return fmt.Sprint(err != nil, nil) }},
		{"none", func() string {
			f, err := get(0)
			return fmt.Sprint(f.Transport == "HTTP" && bytes.Equal(f.Data, pub.ITL()), err)
		}},
	} {
		if err := c.Apply(operation.SetFault(pub.Name(), profile.TFTPService, test.kind)); err != nil {
			t.Fatal(err)
		}
		if got := test.check(); got != "true <nil>" {
			t.Errorf("tftp %s: %s", test.kind, got)
		}
	}
	for _, test := range []struct {
		kind string
		want func(trust.Answer) bool
	}{
		{"close", func(a trust.Answer) bool { return a.Failure == trust.Unreachable }},
		{"garbage", func(a trust.Answer) bool { return a.Failure == trust.Garbled }},
		{"invalid", func(a trust.Answer) bool { return a.Failure == trust.Answered && !a.Valid }},
		{"slow=2s", func(a trust.Answer) bool { return a.Failure == trust.Unreachable }},
		{"pause", func(a trust.Answer) bool { return a.Failure == trust.Unreachable }},
		{"none", func(a trust.Answer) bool { return a.Failure == trust.Answered && a.Valid }},
	} {
		if err := c.Apply(operation.SetFault(pub.Name(), profile.TVSService, test.kind)); err != nil {
			t.Fatal(err)
		}
		if a := ask(); !test.want(a) {
			t.Errorf("tvs %s: %+v", test.kind, a)
		}
	}
	for service, kinds := range map[profile.Service][]string{
		profile.TFTPService: {"nonsense", "slow=x", "slow=2h", "lose=1", "busy=1", "close"}, profile.TVSService: {"old", "lose=3"}, profile.TomcatService: {"slow"},
	} {
		for _, kind := range kinds {
			if err := c.Apply(operation.SetFault(pub.Name(), service, kind)); err == nil {
				t.Errorf("%s has a fault %s", service, kind)
			}
		}
	}
	if err := c.Apply(operation.Service(pub.Name(), profile.TVSService, operation.Stop)); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", pub.TVSAddress()); err == nil {
		conn.Close()
		t.Error("a stopped service listens")
	}
	at := pub.TVSAddress()
	if err := c.Apply(operation.Service(pub.Name(), profile.TVSService, operation.Start)); err != nil || pub.TVSAddress() != at {
		t.Fatalf("%v, %s, was %s", err, pub.TVSAddress(), at)
	}
	if a := ask(); !a.Valid {
		t.Errorf("after a start: %+v", a)
	}
}

// A node of a release without HTTPS gets its TFTP service back, also where somebody else
// has taken the next port meanwhile.
func TestNeighbourTaken(t *testing.T) {
	c := startProfile(t, "note")
	pub := c.Publisher()
	if err := c.Apply(operation.Service(pub.Name(), profile.TFTPService, operation.Stop)); err != nil {
		t.Fatal(err)
	}
	at, err := net.ResolveTCPAddr("tcp", pub.Endpoint("http"))
	if err != nil {
		t.Fatal(err)
	}
	at.Port++
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		t.Skipf("SKIPPED: port %d is taken already", at.Port)
	}
	defer l.Close()
	if err := c.Apply(operation.Service(pub.Name(), profile.TFTPService, operation.Start)); err != nil {
		t.Error(err)
	}
}
