package agent_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"itlagent/agent"
	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/holdings"
	"itlagent/agent/shell"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/platform/console"
	"itlagent/testbench/pki"
	"itlagent/testbench/pki/pkitest"
)

const mac = "64A0E71502CC"

// site is a cluster of one node in memory: what it serves and whom its TVS
// vouches for. Tests change its fields between cycles.
type site struct {
	t                   testing.TB
	name                string
	call, tvs, recovery *pki.Identity

	files      map[string][]byte
	httpStatus int // answered to every request, where not 0
	tvsDown    bool
	known      map[*pki.Identity][]trustlist.Role // vouched for by TVS
	spoil      func(*tvs.Message)                 // changes a response
	queries    int

	busy     string                          // HTTP answers 503 for this file, TFTP not at all
	asked    func(name string) (hangUp bool) // is told of every file
	tvsAsked func()                          // and of every question
	mu       sync.Mutex                      // guards sent
	sent     map[string]int                  // bytes of a file that went out
}

func newSite(t testing.TB, name string) *site {
	s := &site{t: t, name: name, files: map[string][]byte{}, known: map[*pki.Identity][]trustlist.Role{}}
	s.regenerate(&s.call)
	s.regenerate(&s.tvs)
	s.recovery = pkitest.Identity(t, "ITLRECOVERY_"+name, pki.Recovery)
	return s
}

// regenerate replaces a certificate of the site.
func (s *site) regenerate(id **pki.Identity) {
	delete(s.known, *id)
	*id = pkitest.Identity(s.t, s.name, pki.Service)
	if id == &s.call {
		s.known[*id] = []trustlist.Role{trustlist.SAST, trustlist.CCMTFTP}
	}
}

func (s *site) records() []trustlist.RecordSpec {
	return []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: s.call.Certificate},
		{Role: trustlist.TFTP, Certificate: s.call.Certificate},
		{Role: trustlist.TVS, Certificate: s.tvs.Certificate, Form: trustlist.Hashed},
		{Role: trustlist.SAST, Certificate: s.recovery.Certificate},
	}
}

// list serves an ITL or CTL of the site, signed as told.
func (s *site) list(kind trustlist.Kind, signer *pki.Identity, records ...trustlist.RecordSpec) *trustlist.File {
	if records == nil {
		records = s.records()
	}
	f := pkitest.List(s.t, trustlist.ListSpec{Kind: kind, Records: records}, signer)
	s.files[kind.String()+"SEP"+mac+".tlv"] = f.Bytes()
	return f
}

// config serves the phone's configuration, signed and unsigned, with one
// setting.
func (s *site) config(web string) {
	xml := fmt.Sprintf(`<device><TVS><members><member  priority="0"><port>2445</port><address>%s</address></member></members></TVS>`+
		`<vendorConfig><webAccess>%s</webAccess></vendorConfig></device>`, s.name, web)
	s.serveConfig("SEP"+mac+".cnf.xml", xml)
}

func (s *site) serveConfig(name, xml string) {
	s.files[name] = []byte(xml)
	s.files[name+".sgn"] = pkitest.Signed(s.t, name+".sgn", xml, s.call, trustlist.SHA1)
}

// publish serves everything, with the CallManager key, as a started TFTP does.
func (s *site) publish(web string) {
	s.list(trustlist.ITL, s.call)
	s.config(web)
}

// Find is what the site's TVS knows.
func (s *site) Find(q trust.Question) ([]byte, []trustlist.Role, bool) {
	for id, roles := range s.known {
		c := id.Certificate
		if q.Same(trust.Question{Issuer: trustlist.FormatName(c.Issuer), Serial: c.SerialNumber.Bytes()}) {
			return c.Raw, roles, true
		}
	}
	return nil, nil, false
}

// Vouch knows no certificate of a web server.
func (s *site) Vouch([]byte) ([]trustlist.Role, bool) { return nil, false }

func (s *site) serveHTTP(c net.Conn) {
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return
	}
	name := strings.TrimPrefix(strings.Fields(line)[1], "/")
	data, ok := s.files[name]
	if s.asked != nil && s.asked(name) {
		return
	}
	switch {
	case name == s.busy:
		fmt.Fprint(c, "HTTP/1.1 503 Service Unavailable\r\n\r\n")
	case s.httpStatus != 0:
		fmt.Fprintf(c, "HTTP/1.1 %d Status\r\n\r\n", s.httpStatus)
	case !ok:
		fmt.Fprint(c, "HTTP/1.1 404 Not Found\r\n\r\n")
	default:
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-length: %d\r\n\r\n", len(data))
		n, _ := c.Write(data)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.sent == nil {
			s.sent = make(map[string]int)
		}
		s.sent[name] += n
	}
}

func (s *site) serveTVS(raw net.Conn) {
	conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{s.tvs.TLS()}})
	defer conn.Close()
	req, err := tvs.Read(conn)
	if err != nil {
		return
	}
	s.queries++
	if s.tvsAsked != nil {
		s.tvsAsked()
		return
	}
	res := tvs.Respond(req, s, 86400)
	if s.spoil != nil {
		s.spoil(res)
	}
	if b, err := res.Append(nil); err == nil {
		conn.Write(b)
	}
}

// world joins sites by name, on the standard ports.
type world map[string]*site

func (w world) dial(_ context.Context, _, address string) (net.Conn, error) {
	name, port, _ := net.SplitHostPort(address)
	s := w[name]
	if s == nil || port == "2445" && s.tvsDown {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		if port == "2445" {
			s.serveTVS(there)
		} else {
			s.serveHTTP(there)
		}
	}()
	return here, nil
}

func (w world) tftp(ctx context.Context, address, name string, limit int) ([]byte, error) {
	host, _, _ := net.SplitHostPort(address)
	s := w[host]
	if s == nil {
		return nil, errors.New("no answer")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if name == s.busy {
		return nil, errors.New("no answer")
	}
	if data, ok := s.files[name]; ok {
		if len(data) > limit {
			return nil, fetch.ErrTooLarge
		}
		return data, nil
	}
	return nil, fetch.ErrNotFound
}

// phone returns a phone on the network, asking the given servers for files.
func (w world) phone(t testing.TB, store holdings.Store, servers ...string) *agent.Agent {
	t.Helper()
	return w.phoneWith(t, agent.Config{Store: store, Servers: servers})
}

func (w world) phoneWith(t testing.TB, c agent.Config) *agent.Agent {
	t.Helper()
	c.MAC, c.Model, c.TFTP = mac, "CP-7965G", w.tftp
	if c.Dial == nil {
		c.Dial = w.dial
	}
	c.Now = func() time.Time { return pkitest.Time }
	a, err := agent.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// cycle runs a cycle, and checks that the shell's why says of it what the decision
// says, word for word, as `itlbench verify` does.
func cycle(t testing.TB, p *agent.Agent) *boot.Report {
	t.Helper()
	r := p.Cycle(t.Context())
	var out strings.Builder
	if !shell.New(p, console.NewPlain(strings.NewReader(""), &out), shell.Options{}).Run(t.Context(), "why") {
		t.Errorf("why: %s", &out)
	}
	lines := []string{fmt.Sprintf("phone: %v (%s)", r.Reason(), r.Text())}
	for _, o := range []*boot.Outcome{&r.CTL, &r.ITL, &r.Config} {
		lines = append(lines, o.Verdict.Describe(o.Name)...)
	}
	for _, line := range lines {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("why does not say %q:\n%s", line, &out)
		}
	}
	return r
}

// want checks a cycle: the outcome of the ITL and of the configuration, and the
// first message.
func want(t testing.TB, what string, r *boot.Report, itl, config any, message string) {
	t.Helper()
	for _, c := range []struct {
		file    string
		outcome *boot.Outcome
		want    any
	}{{"ITL", &r.ITL, itl}, {"configuration", &r.Config, config}} {
		v := c.outcome.Verdict
		ok := false
		switch w := c.want.(type) {
		case trust.Via:
			ok = v.Accepted && v.Via == w
		case trust.Reason:
			ok = !v.Accepted && v.Reason == w
		}
		if !ok {
			t.Errorf("%s: %s %v via %q (%s), want %v", what, c.file, v.Reason, v.Via, v.Detail, c.want)
		}
	}
	if len(r.Messages) == 0 || r.Messages[0] != message {
		t.Errorf("%s: messages %q, want first %q", what, r.Messages, message)
	}
}
