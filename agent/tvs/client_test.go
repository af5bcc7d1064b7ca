package tvs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

// net is a network of servers by address, joined in memory.
type network map[string]func(net.Conn)

func (n network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	serve, ok := n[address]
	if !ok {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	here, there := net.Pipe()
	go func() { defer there.Close(); serve(there) }()
	return here, nil
}

// over serves TLS with the identity, then answers each request as told.
func over(id *pki.Identity, answer func(conn net.Conn, req *tvs.Message)) func(net.Conn) {
	return func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{id.TLS()}})
		req, err := tvs.Read(conn)
		if err == nil {
			answer(conn, req)
		}
		conn.Close()
	}
}

func send(m *tvs.Message) func(net.Conn, *tvs.Message) {
	return func(conn net.Conn, req *tvs.Message) {
		out := *m
		if out.Session == 0 {
			out.Session = req.Session
		}
		b, err := out.Append(nil)
		if err != nil {
			panic(err)
		}
		conn.Write(b)
	}
}

func raw(b ...byte) func(net.Conn, *tvs.Message) {
	return func(conn net.Conn, _ *tvs.Message) { conn.Write(b) }
}

// shut closes the connection once the handshake is done, without reading.
func shut(id *pki.Identity) func(net.Conn) {
	return func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{id.TLS()}})
		conn.Handshake()
		raw.Close()
	}
}

// fixture is a phone's ITL with one TVS, and a signer to ask about.
type fixture struct {
	tvs, other, signer *pki.Identity
	itl                *trustlist.File
	q                  trust.Question
	valid              *tvs.Message
}

func newFixture(t *testing.T) fixture {
	f := fixture{
		tvs: pkitest.Identity(t, "tvs.example.lab", pki.Service), other: pkitest.Identity(t, "tvs.example.lab", pki.Service),
		signer: pkitest.Identity(t, "signer.example.lab", pki.Service),
	}
	f.itl = pkitest.ITL(t, f.signer,
		trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: f.other.Certificate},
		trustlist.RecordSpec{Role: trustlist.TVS, Certificate: f.tvs.Certificate, Form: trustlist.Hashed})
	c := f.signer.Certificate
	f.q = trust.Question{Subject: trustlist.FormatName(c.Subject), Issuer: trustlist.FormatName(c.Issuer), Serial: c.SerialNumber.Bytes()}
	f.valid = &tvs.Message{Type: tvs.QueryCertRes, Reserved: 0xf7, Certificate: c.Raw, Roles: []trustlist.Role{0, 3}, TTL: 86400}
	return f
}

// Every way in which a server can fail has a failure of its own, within its time, and the
// next server is asked.
func TestClientFailures(t *testing.T) {
	f := newFixture(t)
	good := over(f.tvs, send(f.valid))
	invalid := over(f.tvs, send(&tvs.Message{Type: tvs.QueryCertRes, Status: 1}))
	hang := func(c net.Conn) { // accepts, and reads for ever
		for b := make([]byte, 4096); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}
	huge := []byte{0x57, 1, 4, 0, 0, 0, 3, 0xe9, 0xff, 0xff}
	half := []byte{0x57, 1, 4, 0, 0, 0, 3, 0xe9, 0, 40, 7, 0, 1}
	for _, c := range []struct {
		name    string
		servers []func(net.Conn)
		failure trust.Failure
		valid   bool
		detail  string
		took    time.Duration
	}{
		{"reserved byte 0xf7", []func(net.Conn){good}, trust.Answered, true, "", 0},
		{"refused, then good", []func(net.Conn){nil, good}, trust.Answered, true, "", 0},
		{"silent, then good", []func(net.Conn){hang, good}, trust.Answered, true, "", 5 * time.Second},
		{"another certificate, then good", []func(net.Conn){over(f.other, send(f.valid)), good}, trust.Answered, true, "", 0},
		{"invalid is an answer", []func(net.Conn){invalid, good}, trust.Answered, false, "", 0},
		{"all refused", []func(net.Conn){nil, nil}, trust.Unreachable, false, "refused", 0},
		{"all silent", []func(net.Conn){hang, hang, hang, hang, hang}, trust.Unreachable, false, "out of time before tvs4", 15 * time.Second},
		{"another certificate", []func(net.Conn){over(f.other, send(f.valid))}, trust.Untrusted, false, "not in the phone's ITL", 0},
		{"untrusted outweighs refused", []func(net.Conn){over(f.other, send(f.valid)), nil}, trust.Untrusted, false, "", 0},
		{"closes at once", []func(net.Conn){func(net.Conn) {}}, trust.Unreachable, false, "TLS", 0},
		{"plain text", []func(net.Conn){func(c net.Conn) { go hang(c); c.Write([]byte("220 welcome\r\n")) }}, trust.Unreachable, false, "TLS", 0},
		{"closes after the request", []func(net.Conn){over(f.tvs, raw())}, trust.HungUp, false, "EOF", 0},
		{"hung up outweighs refused", []func(net.Conn){over(f.tvs, raw()), nil}, trust.HungUp, false, "closed the connection", 0},
		{"untrusted outweighs hung up", []func(net.Conn){over(f.other, send(f.valid)), over(f.tvs, raw())}, trust.Untrusted, false, "", 0},
		{"hung up, then good", []func(net.Conn){over(f.tvs, raw()), good}, trust.Answered, true, "", 0},
		{"closes at the handshake's end", []func(net.Conn){shut(f.tvs)}, trust.HungUp, false, "closed the connection", 0},
		{"silent after the request", []func(net.Conn){over(f.tvs, func(c net.Conn, _ *tvs.Message) { hang(c) })}, trust.Unreachable, false, "read response", 5 * time.Second},
		{"wrong session", []func(net.Conn){over(f.tvs, send(&tvs.Message{Type: tvs.QueryCertRes, Session: 7, Status: 1}))}, trust.Garbled, false, "session 7", 0},
		{"wrong type", []func(net.Conn){over(f.tvs, send(&tvs.Message{Type: tvs.CertVerificationRes, Status: 1}))}, trust.Garbled, false, "in response to", 0},
		{"garbage", []func(net.Conn){over(f.tvs, raw([]byte("HTTP/1.1 400 Bad Request\r\n")...))}, trust.Garbled, false, "begins with", 0},
		{"oversize", []func(net.Conn){over(f.tvs, raw(huge...))}, trust.Garbled, false, "at most", 0},
		{"truncated", []func(net.Conn){over(f.tvs, raw(half...))}, trust.HungUp, false, "unexpected EOF", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := network{}
				var servers []string
				for i, serve := range c.servers {
					name := fmt.Sprintf("tvs%d:2445", i+1)
					servers = append(servers, name)
					if serve != nil {
						n[name] = serve
					}
				}
				begin := time.Now()
				client := tvs.Client{Dial: n.dial, Device: "CP-7965-SEP64A0E71502CC"}
				a := client.Query(t.Context(), f.itl, servers, f.q)
				if a.Failure != c.failure || a.Valid != c.valid || !strings.Contains(a.Detail, c.detail) || !a.Question.Same(f.q) {
					t.Errorf("failure %v, valid %v, detail %q; want %v, %v, %q", a.Failure, a.Valid, a.Detail, c.failure, c.valid, c.detail)
				}
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

// A phone with no ITL trusts no server.
func TestClientWithoutITL(t *testing.T) {
	f := newFixture(t)
	client := tvs.Client{Dial: network{"tvs:2445": over(f.tvs, send(f.valid))}.dial}
	if a := client.Query(t.Context(), nil, []string{"tvs:2445"}, f.q); a.Failure != trust.Untrusted {
		t.Errorf("failure %v, want untrusted", a.Failure)
	}
}

// Query asks each time, and remembers nothing by itself: who decides does, once an
// answer has vouched. So a server that was wrong is asked again once it is repaired.
func TestOnlyWhatVouchedIsRemembered(t *testing.T) {
	f := newFixture(t)
	wrong := *f.valid
	wrong.Certificate = f.other.Certificate.Raw
	served, asked := &wrong, 0
	n := network{"tvs:2445": over(f.tvs, func(conn net.Conn, req *tvs.Message) { asked++; send(served)(conn, req) })}
	client := &tvs.Client{Dial: n.dial, Now: func() time.Time { return pkitest.Time }}
	list := trust.Candidate{Kind: trustlist.ITL, Data: pkitest.ITL(t, f.signer, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: f.signer.Certificate}).Bytes()}
	held := pkitest.ITL(t, f.other, trustlist.RecordSpec{Role: trustlist.TVS, Certificate: f.tvs.Certificate})
	decide := func() trust.Verdict { // as package doc says
		state := trust.State{ITL: held, Servers: 1, Answers: client.Cached(), Now: pkitest.Time}
		v := trust.Decide(state, list)
		if v.Question != nil {
			answer := client.Query(t.Context(), held, []string{"tvs:2445"}, *v.Question)
			if v = v.Answered(state, answer); v.Accepted {
				client.Remember([]trust.Answer{answer})
			}
		}
		return v
	}
	for _, step := range []struct {
		name   string
		served *tvs.Message
		reason trust.Reason
		asked  int
	}{
		{"a wrong answer", &wrong, trust.TVSMismatch, 1},
		{"still wrong", &wrong, trust.TVSMismatch, 2},
		{"without a suiting role", &tvs.Message{Type: tvs.QueryCertRes, Certificate: f.valid.Certificate, Roles: []trustlist.Role{4}, TTL: 86400}, trust.RoleMissing, 3},
		{"invalid", &tvs.Message{Type: tvs.QueryCertRes, Status: 1}, trust.TVSInvalid, 4},
		{"repaired", f.valid, trust.Accepted, 5},
		{"remembered", &wrong, trust.Accepted, 5},
	} {
		served = step.served
		if v := decide(); v.Reason != step.reason || asked != step.asked {
			t.Errorf("%s: %v after %d requests, want %v after %d", step.name, v.Reason, asked, step.reason, step.asked)
		}
	}
}

// Remembered answers live as long as they say, until the lists change, and there are no
// more of them than the cache holds. What has no expiry, or does not vouch, is left out.
func TestCache(t *testing.T) {
	f := newFixture(t)
	at := pkitest.Time
	answer := func(serial byte, expires time.Time) trust.Answer {
		return trust.Answer{Question: trust.Question{Issuer: f.q.Issuer, Serial: []byte{serial}}, Valid: true, Expires: expires}
	}
	live := func(c *tvs.Cache, now time.Time) (serials []byte) {
		for _, a := range c.Live(now) {
			serials = append(serials, a.Question.Serial...)
		}
		return serials
	}
	c := tvs.Cache{Size: 3}
	failed := answer(9, at.Add(time.Hour))
	failed.Failure = trust.Untrusted
	invalid := answer(8, at.Add(time.Hour))
	invalid.Valid = false
	c.Remember([]trust.Answer{answer(1, at.Add(time.Hour)), answer(2, at.Add(time.Minute)), answer(3, time.Time{}), answer(4, at), failed, invalid}, at)
	for _, step := range []struct {
		now  time.Time
		want string
	}{{at, "\x01\x02"}, {at.Add(time.Minute - 1), "\x01\x02"}, {at.Add(time.Minute), "\x01"}, {at, "\x01"}} {
		if got := live(&c, step.now); string(got) != step.want {
			t.Errorf("at %v: live %v, want %v", step.now.Sub(at), got, []byte(step.want))
		}
	}
	for serial := byte(5); serial < 9; serial++ {
		c.Remember([]trust.Answer{answer(serial, at.Add(time.Hour))}, at)
	}
	c.Remember([]trust.Answer{answer(6, at.Add(2*time.Hour))}, at)
	if got := live(&c, at); string(got) != "\x07\x08\x06" {
		t.Errorf("after many: live %v, want the newest three", got)
	}
	c.Flush()
	if got := live(&c, at); len(got) != 0 {
		t.Errorf("after a flush: live %v", got)
	}
}

// An answer's time to live becomes its expiry; one without is not remembered.
func TestTimeToLive(t *testing.T) {
	f := newFixture(t)
	for _, ttl := range []uint32{0, 1, 86400} {
		m := *f.valid
		m.TTL = ttl
		n := network{"tvs:2445": over(f.tvs, send(&m)), "verify:2445": over(f.tvs, send(&tvs.Message{Type: tvs.CertVerificationRes, Roles: []trustlist.Role{7}, TTL: ttl}))}
		client := tvs.Client{Dial: n.dial, Now: func() time.Time { return pkitest.Time }}
		want := time.Time{}
		if ttl > 0 {
			want = pkitest.Time.Add(time.Duration(ttl) * time.Second)
		}
		a := client.Query(t.Context(), f.itl, []string{"tvs:2445"}, f.q)
		if b := client.Verify(t.Context(), f.itl, []string{"verify:2445"}, f.other.Certificate.Raw); !a.Expires.Equal(want) || !b.Expires.Equal(want) {
			t.Errorf("%d s to live: expires %v and %v, want %v", ttl, a.Expires, b.Expires, want)
		}
		client.Remember([]trust.Answer{a})
		if got := len(client.Cached()); got != int(min(ttl, 1)) {
			t.Errorf("%d s to live: %d remembered", ttl, got)
		}
	}
}

// A TVS that knows CERT_VERIFICATION alone hangs up at the question. Where the phone
// is told to, it shows the signer's certificate instead, and what TVS vouches for is
// what the signature is checked with.
func TestVerifyWhereHungUp(t *testing.T) {
	f := newFixture(t)
	var asked []tvs.Type
	old := over(f.tvs, func(conn net.Conn, req *tvs.Message) {
		asked = append(asked, req.Type)
		if req.Type == tvs.CertVerificationReq {
			send(tvs.Respond(req, lists{f.signer}, 60))(conn, req)
		}
	})
	held := pkitest.ITL(t, f.other, trustlist.RecordSpec{Role: trustlist.TVS, Certificate: f.tvs.Certificate})
	list := func(signer *pki.Identity) []byte {
		return pkitest.ITL(t, signer, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: signer.Certificate}).Bytes()
	}
	lookalike, err := pki.Lookalike(f.signer, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		on     bool
		file   trust.Candidate
		reason trust.Reason
		asked  string
	}{
		{"off, as with real phones", false, trust.Candidate{Kind: trustlist.ITL, Data: list(f.signer)}, trust.TVSHungUp, "[TVS_MSG_QUERY_CERT_REQ]"},
		{"on", true, trust.Candidate{Kind: trustlist.ITL, Data: list(f.signer)}, trust.Accepted, "[TVS_MSG_QUERY_CERT_REQ TVS_MSG_CERT_VERIFICATION_REQ]"},
		{"on, no certificate at hand", true, trust.Candidate{Kind: trustlist.SGN, Data: pkitest.Signed(t, "a.sgn", "a", f.signer, trustlist.SHA1)}, trust.TVSHungUp, "[TVS_MSG_QUERY_CERT_REQ]"},
		{"on, a look-alike's certificate", true, trust.Candidate{Kind: trustlist.ITL, Data: list(lookalike)}, trust.TVSInvalid, "[TVS_MSG_QUERY_CERT_REQ TVS_MSG_CERT_VERIFICATION_REQ]"},
	} {
		asked = nil
		client := &tvs.Client{Dial: network{"tvs:2445": old}.dial, VerifyWhereHungUp: c.on}
		state := trust.State{ITL: held, Servers: 1}
		v := trust.Decide(state, c.file)
		if v.Question == nil {
			t.Fatalf("%s: no question: %v", c.name, v.Reason)
		}
		v = v.Answered(state, client.Query(t.Context(), held, []string{"tvs:2445"}, *v.Question))
		if v.Reason != c.reason || fmt.Sprint(asked) != c.asked {
			t.Errorf("%s: %v (%s) after %v; want %v after %s", c.name, v.Reason, v.Detail, asked, c.reason, c.asked)
		}
	}
}

// lists is a directory in which an identity may sign lists.
type lists struct{ id *pki.Identity }

func (l lists) Find(trust.Question) ([]byte, []trustlist.Role, bool) { return nil, nil, false }

func (l lists) Vouch(der []byte) ([]trustlist.Role, bool) {
	return []trustlist.Role{trustlist.SAST}, string(der) == string(l.id.Certificate.Raw)
}

// Both questions together take no more than the total time.
func TestTotalTime(t *testing.T) {
	f := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		slow := func(c net.Conn) { time.Sleep(4 * time.Second); over(f.tvs, raw())(c) }
		client := &tvs.Client{Dial: network{"tvs:2445": slow}.dial, VerifyWhereHungUp: true, Total: 6 * time.Second}
		q := f.q
		q.Certificate = f.signer.Certificate.Raw
		begin := time.Now()
		a := client.Query(t.Context(), f.itl, []string{"tvs:2445"}, q)
		if took := time.Since(begin); a.Failure == trust.Answered || took != 6*time.Second {
			t.Errorf("failure %v after %v, want one after 6s", a.Failure, took)
		}
		time.Sleep(time.Minute) // of the bubble's clock: the server ends
	})
}

func TestAddress(t *testing.T) {
	for server, want := range map[string]string{
		"tvs.example.lab":      "tvs.example.lab:2445",
		"tvs.example.lab:2446": "tvs.example.lab:2446",
		"192.0.2.1":            "192.0.2.1:2445",
		"192.0.2.1:2446":       "192.0.2.1:2446",
		"2001:db8::1":          "[2001:db8::1]:2445",
		"[2001:db8::1]":        "[2001:db8::1]:2445",
		"[2001:db8::1]:2446":   "[2001:db8::1]:2446",
		"::1":                  "[::1]:2445",
	} {
		if got := tvs.Address(server); got != want || tvs.Address(got) != want {
			t.Errorf("Address(%q) = %q, want %q", server, got, want)
		}
	}
}

type directory struct{ id *pki.Identity }

func (d directory) Find(q trust.Question) ([]byte, []trustlist.Role, bool) {
	return d.id.Certificate.Raw, []trustlist.Role{trustlist.SAST}, trustlist.SameSerial(q.Serial, d.id.Certificate.SerialNumber.Bytes())
}

func (d directory) Vouch(der []byte) ([]trustlist.Role, bool) {
	return []trustlist.Role{trustlist.AppServer}, string(der) == string(d.id.Certificate.Raw)
}

// The server half answers both questions, and the client's sessions count up
// from 1001.
func TestRespond(t *testing.T) {
	f := newFixture(t)
	var sessions []uint32
	n := network{"tvs:2445": over(f.tvs, func(conn net.Conn, req *tvs.Message) {
		sessions = append(sessions, req.Session)
		send(tvs.Respond(req, directory{f.signer}, 3600))(conn, req)
	})}
	client := tvs.Client{Dial: n.dial, Device: "CP-7965-SEP64A0E71502CC"}
	servers := []string{"tvs:2445"}
	if a := client.Query(t.Context(), f.itl, servers, f.q); !a.Valid || len(a.Roles) != 1 || a.Roles[0] != trustlist.SAST || string(a.Cert) != string(f.signer.Certificate.Raw) {
		t.Errorf("query of a known signer: %+v", a)
	}
	if a := client.Query(t.Context(), f.itl, servers, trust.Question{Issuer: "CN=x", Serial: []byte{1}}); a.Valid || a.Failure != trust.Answered {
		t.Errorf("query of an unknown signer: %+v", a)
	}
	if a := client.Verify(t.Context(), f.itl, servers, f.signer.Certificate.Raw); !a.Valid || a.Roles[0] != trustlist.AppServer {
		t.Errorf("verification of a known certificate: %+v", a)
	}
	if a := client.Verify(t.Context(), f.itl, servers, f.other.Certificate.Raw); a.Valid || a.Failure != trust.Answered {
		t.Errorf("verification of an unknown certificate: %+v", a)
	}
	if fmt.Sprint(sessions) != "[1001 1002 1003 1004]" {
		t.Errorf("sessions %v", sessions)
	}
	if m := tvs.Respond(&tvs.Message{Type: tvs.QueryCertRes}, directory{f.signer}, 1); m != nil {
		t.Errorf("a response is answered with %+v", m)
	}
}

// A caller that gives up is heard at once.
func TestCancel(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	n := network{"tvs:2445": func(c net.Conn) { cancel(errors.New("enough")); c.Read(make([]byte, 1)); c.Read(make([]byte, 1<<16)) }}
	client := tvs.Client{Dial: n.dial, PerServer: time.Hour, Total: time.Hour}
	if a := client.Query(ctx, f.itl, []string{"tvs:2445"}, f.q); a.Failure != trust.Unreachable {
		t.Errorf("failure %v, want unreachable", a.Failure)
	}
}
