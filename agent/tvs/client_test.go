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

// Every way in which a server can fail is told apart, within its time, and the
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
		{"closes after the request", []func(net.Conn){over(f.tvs, raw())}, trust.Unreachable, false, "EOF", 0},
		{"wrong session", []func(net.Conn){over(f.tvs, send(&tvs.Message{Type: tvs.QueryCertRes, Session: 7, Status: 1}))}, trust.Garbled, false, "session 7", 0},
		{"wrong type", []func(net.Conn){over(f.tvs, send(&tvs.Message{Type: tvs.CertVerificationRes, Status: 1}))}, trust.Garbled, false, "in response to", 0},
		{"garbage", []func(net.Conn){over(f.tvs, raw([]byte("HTTP/1.1 400 Bad Request\r\n")...))}, trust.Garbled, false, "begins with", 0},
		{"oversize", []func(net.Conn){over(f.tvs, raw(huge...))}, trust.Garbled, false, "at most", 0},
		{"truncated", []func(net.Conn){over(f.tvs, raw(half...))}, trust.Unreachable, false, "unexpected EOF", 0},
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

// A phone with no ITL believes no server.
func TestClientWithoutITL(t *testing.T) {
	f := newFixture(t)
	client := tvs.Client{Dial: network{"tvs:2445": over(f.tvs, send(f.valid))}.dial}
	if a := client.Query(t.Context(), nil, []string{"tvs:2445"}, f.q); a.Failure != trust.Untrusted {
		t.Errorf("failure %v, want untrusted", a.Failure)
	}
}

// Answers live as long as they say, until the lists change, and no more of them
// than the cache holds.
func TestCache(t *testing.T) {
	f := newFixture(t)
	asked := 0
	n := network{"tvs:2445": over(f.tvs, func(conn net.Conn, req *tvs.Message) { asked++; send(f.valid)(conn, req) })}
	now := pkitest.Time
	client := tvs.Client{Dial: n.dial, CacheSize: 2, Now: func() time.Time { return now }}
	query := func(q trust.Question) { client.Query(t.Context(), f.itl, []string{"tvs:2445"}, q) }
	wantAsked := func(what string, want int) {
		t.Helper()
		if asked != want {
			t.Errorf("%s: %d requests so far, want %d", what, asked, want)
		}
	}
	query(f.q)
	query(f.q)
	wantAsked("the same again", 1)
	now = now.Add(86399 * time.Second)
	query(f.q)
	wantAsked("a second before the end", 1)
	now = now.Add(time.Second)
	query(f.q)
	wantAsked("at the end", 2)
	client.Flush()
	query(f.q)
	wantAsked("after a flush", 3)
	for i := range 5 {
		q := f.q
		q.Serial = []byte{byte(i + 1)}
		query(q)
	}
	if got := len(client.Cached()); got != 2 {
		t.Errorf("%d cached answers, want 2", got)
	}
	query(f.q)
	wantAsked("pushed out by others", 9)
}

// Negative answers are not kept: the administrator may just be mending it.
func TestNegativeIsNotCached(t *testing.T) {
	f := newFixture(t)
	n := network{"tvs:2445": over(f.tvs, send(&tvs.Message{Type: tvs.QueryCertRes, Status: 1}))}
	client := tvs.Client{Dial: n.dial}
	client.Query(t.Context(), f.itl, []string{"tvs:2445"}, f.q)
	if got := client.Cached(); len(got) != 0 {
		t.Errorf("cached %v", got)
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
