package capture

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"itlagent/agent/fetch"
	"itlagent/agent/printable"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
)

// Replay is what a phone met in one boot: the surroundings of a phone on paper, which is given
// what the phone was given. It implements lockout.Surroundings, and may be gone through any
// number of times, one at a time.
type Replay struct {
	boot    *Boot
	known   []*trustlist.File // that may have a signer's certificate
	members []string          // TVS servers of the phone's configuration
	finding
}

// finding is what came of one pass.
type finding struct {
	used     map[*Event]bool
	unseen   []string        // what would be needed, and is not in the capture
	disputes []string        // what the capture shows, and a phone that holds what it is taken to would not do
	asked    int             // questions to TVS
	vouched  int             // of them, those whose encrypted answer has room for a certificate
	lacks    map[string]bool // names of files that are not in the capture
	lacking  []string        // TVS certificates that the held list lacks
	silenced bool            // a short encrypted answer was met, that may be other than "no"
}

var errNotSeen = errors.New("not in the capture")

func (r *Replay) restart() { r.finding = finding{used: map[*Event]bool{}, lacks: map[string]bool{}} }

func (r *Replay) miss(format string, args ...any) error {
	note(&r.unseen, format, args...)
	return errNotSeen
}

func (r *Replay) dispute(format string, args ...any) { note(&r.disputes, format, args...) }

// note adds a line, once.
func note(to *[]string, format string, args ...any) {
	if line := printable.Text(fmt.Sprintf(format, args...)); !slices.Contains(*to, line) {
		*to = append(*to, line)
	}
}

// Now returns when the boot began.
func (r *Replay) Now() time.Time { return r.boot.Start }

// File implements boot.Transport.
func (r *Replay) File(ctx context.Context, server, name string, limit int, secure *fetch.Secure) (fetch.File, error) {
	if strings.HasPrefix(name, "CTLSEP") {
		r.restart()
	}
	if secure != nil {
		if err := r.secure(ctx, server, secure); err != nil {
			return fetch.File{}, err
		}
	}
	var events []*Event
	elsewhere := false
	for _, e := range r.boot.Events {
		if e.File == nil || !strings.EqualFold(e.File.Name, name) {
			continue
		}
		if serverName(e.Server) == server {
			events = append(events, e)
		} else {
			elsewhere = true
		}
	}
	switch {
	case len(events) > 0:
		return r.outcome(events, server, name, limit)
	case elsewhere:
		return fetch.File{}, errors.New("it was not asked for the file")
	case strings.HasPrefix(name, "CTL") && !r.boot.Whole:
		return fetch.File{}, fetch.ErrNotFound // asked before the capture begins: what is held counts
	}
	r.otherName(name)
	r.lacks[name] = true
	return fetch.File{}, r.miss("no request for %s is in the capture", name)
}

// otherName notes that a configuration was asked for by a name which tells that the phone holds
// another list than it is taken to.
func (r *Replay) otherName(name string) {
	plain, signed := strings.CutSuffix(name, ".sgn")
	for _, e := range r.boot.Events {
		if e.File == nil || !strings.HasSuffix(plain, ".cnf.xml") {
			continue
		}
		switch {
		case signed && strings.EqualFold(e.File.Name, plain):
			r.dispute("the phone has asked for %s, unsigned: it holds no list with a TFTP certificate", plain)
		case !signed && strings.EqualFold(e.File.Name, name+".sgn"):
			r.dispute("the phone has asked for %s.sgn: it holds a list with a TFTP certificate", name)
		}
	}
}

// outcome is what the requests for one file came to, as fetch.Client has it.
func (r *Replay) outcome(events []*Event, server, name string, limit int) (fetch.File, error) {
	notFound, unseen := false, ""
	for _, e := range events {
		switch f := e.File; {
		case f.Size > int64(limit) && f.Result != NotFound && f.Result != Refused:
			return fetch.File{}, fmt.Errorf("%w: %d bytes", fetch.ErrTooLarge, f.Size)
		case f.Result == Got:
			return fetch.File{Data: f.Data, Server: server, Transport: f.Transport}, nil
		case f.Result == NotFound:
			notFound = true
		case f.Result == NotSeen:
			unseen = "the capture lacks packets of " + name
		case f.Result == NotKept:
			unseen = name + " was not kept: the capture has too much"
		}
	}
	switch {
	case unseen != "":
		r.lacks[name] = true
		return fetch.File{}, r.miss("%s", unseen)
	case notFound:
		return fetch.File{}, fetch.ErrNotFound
	}
	return fetch.File{}, errors.New(events[len(events)-1].Text())
}

// secure looks for the HTTPS connection of a configuration. An error says that the file came
// by it.
func (r *Replay) secure(ctx context.Context, server string, s *fetch.Secure) error {
	for _, e := range r.boot.Events {
		if e.TLS == nil || r.isTVS(e) || !besides(e.Server, server) {
			continue
		}
		if len(e.TLS.Certificates) > 0 && s.Verify != nil && s.Verify(ctx, e.TLS.Certificates[0]) != nil {
			continue // HTTP comes next
		}
		if e.TLS.Content[fromServer] > 0 {
			return r.miss("a configuration by HTTPS is encrypted")
		}
	}
	return nil
}

// besides reports whether an address is where HTTPS is looked for beside a server.
func besides(a netip.AddrPort, server string) bool {
	if a.Addr().String() == server {
		return a.Port() == 6971
	}
	at, err := netip.ParseAddrPort(server)
	return err == nil && at.Addr() == a.Addr() && at.Port()+1 == a.Port()
}

// isTVS reports whether a connection is one to a TVS: a member of the phone's configuration, or
// on the port that they have by default.
func (r *Replay) isTVS(e *Event) bool {
	return e.TLS != nil && (e.Server.Port() == tvs.DefaultPort ||
		slices.ContainsFunc(r.members, func(m string) bool { return memberAt(m, e.Server) }))
}

// memberAt reports whether a member of the configuration, by address or by name, may be at an
// address.
func memberAt(member string, at netip.AddrPort) bool {
	member = tvs.Address(member)
	if m, err := netip.ParseAddrPort(member); err == nil {
		return m == at
	}
	return strings.HasSuffix(member, fmt.Sprintf(":%d", at.Port()))
}

// event returns the next connection to a member. Of a member by name nothing tells its address:
// it has the first address that no other member has.
func (r *Replay) event(member string) *Event {
	i := slices.IndexFunc(r.boot.Events, func(e *Event) bool { return r.isTVS(e) && !r.used[e] && memberAt(tvs.Address(member), e.Server) })
	if i < 0 {
		return nil
	}
	return r.boot.Events[i]
}

// AskTVS implements boot.Transport: what a TVS did, as far as it is not encrypted. The content of
// an answer is not known; that one without room for a certificate does not vouch is.
func (r *Replay) AskTVS(_ context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error) {
	r.asked++
	e := r.event(server)
	if e == nil {
		return nil, errNotSeen // see Phone.judge
	}
	r.used[e] = true
	t := e.TLS
	switch {
	case t.Lost && (len(t.Certificates) == 0 || t.Content[fromServer] < roomForCertificate) && !t.refused():
		return nil, r.miss("the capture lacks packets of TVS %s", server)
	case t.Refused || t.Silent || t.Version == 0:
		return nil, errors.New(t.text())
	case t.refused():
		if err := check(shown(t)); err == nil && len(t.Certificates) > 0 {
			r.dispute("the phone has refused the certificate of TVS %s, which the list that it is taken to hold has", server)
		}
		r.refuses(server, t)
		return nil, check(tls.ConnectionState{})
	case len(t.Certificates) == 0:
		return nil, r.miss("the certificate of TVS %s is not in the capture: %s", server, t.text())
	}
	if err := check(shown(t)); err != nil {
		r.refuses(server, t)
		if t.Finished[fromClient] || t.Content[fromClient] > 0 {
			r.dispute("the phone has gone on with TVS %s, whose certificate the list that it is taken to hold lacks", server)
		}
		return nil, err
	}
	return r.answer(t, server, req)
}

// refuses notes the certificate of a TVS that the phone's list lacks.
func (r *Replay) refuses(server string, t *TLS) {
	if c := shown(t).PeerCertificates; len(c) > 0 {
		note(&r.lacking, "TVS %s shows a certificate that the phone's ITL lacks: %s, serial %s", server, trustlist.FormatName(c[0].Subject), trustlist.FormatSerial(c[0].SerialNumber.Bytes()))
	}
}

// refused reports whether the client has refused the server's certificate, in clear.
func (t *TLS) refused() bool {
	return slices.ContainsFunc(t.Alerts, func(a Alert) bool { return a.By == fromClient && !a.Encrypted && aboutCertificate(a.Code) })
}

// hungUp reports whether the server has closed an encrypted connection, which it may announce.
func (t *TLS) hungUp() bool {
	return t.Closed == fromServer || t.Reset || slices.ContainsFunc(t.Alerts, func(a Alert) bool { return a.By == fromServer && a.Encrypted })
}

// shown is the handshake in which a server showed its certificates.
func shown(t *TLS) tls.ConnectionState {
	s := tls.ConnectionState{Version: t.Version, CipherSuite: t.Suite, HandshakeComplete: true}
	for _, der := range t.Certificates {
		if c, err := x509.ParseCertificate(der); err == nil {
			s.PeerCertificates = append(s.PeerCertificates, c)
		}
	}
	return s
}

// What an encrypted answer has at least, with a certificate in it, and what one without it has
// at most, in bytes.
const (
	roomForCertificate = 300
	negativeLeast      = 14 // header and status
	negativeMost       = negativeLeast + 16 + 32 + 16
)

// answer is what an encrypted answer must have been.
func (r *Replay) answer(t *TLS, server string, req tvs.Message) (*tvs.Message, error) {
	n := t.Content[fromServer]
	switch {
	case n == 0 && t.hungUp():
		return nil, tvs.ErrHungUp
	case n == 0:
		return nil, errors.New("no answer")
	case n < roomForCertificate:
		if !negative(t) {
			r.silenced = true
		}
		return &tvs.Message{Type: req.Type + 1, Session: req.Session, Status: 1}, nil
	}
	der := r.certificate(req)
	if der == nil {
		return nil, r.miss("TVS %s has answered, encrypted, and no file in the capture has the certificate that was asked about", server)
	}
	r.vouched++
	const day = 86_400 // seconds; what real ones answer
	return &tvs.Message{Type: req.Type + 1, Session: req.Session, Certificate: der, Roles: []trustlist.Role{trustlist.SAST, trustlist.CCMTFTP, trustlist.TFTP}, TTL: day}, nil
}

// negative reports whether an answer has exactly the size of one that says no.
func negative(t *TLS) bool {
	n, ok := overhead(t.Version, t.Suite)
	if ok {
		return t.Records[fromServer] == 1 && t.Content[fromServer] == n+negativeLeast
	}
	return t.Content[fromServer] <= negativeMost && t.Content[fromServer]%16 == 0
}

// overhead is what an AEAD suite of TLS 1.2 adds to a record, in bytes (RFC 5288, RFC 7905).
func overhead(version, suite uint16) (n int, ok bool) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		switch {
		case s.ID != suite || version != tls.VersionTLS12:
		case strings.Contains(s.Name, "GCM"):
			return 8 + 16, true
		case strings.Contains(s.Name, "CHACHA20"):
			return 16, true
		}
	}
	return 0, false
}

// certificate finds the certificate that a question is about.
func (r *Replay) certificate(req tvs.Message) []byte {
	if req.Type == tvs.CertVerificationReq {
		return req.Certificate
	}
	q := trust.Question{Subject: req.Subject, Issuer: req.Issuer, Serial: req.Serial}
	for _, f := range r.known {
		for i := range f.Records {
			rec := &f.Records[i]
			if der := rec.Value(trustlist.Certificate); len(der) > 0 && rec.Is([]byte(q.Issuer), q.Serial) {
				return der
			}
		}
	}
	return nil
}

// configured returns the content of a configuration, and its TVS servers; nil where it cannot be
// read.
func configured(data []byte) (content []byte, s settings.Settings) {
	content = data
	if !trust.Plain(data) {
		f, err := trustlist.Parse(trustlist.SGN, data)
		if err != nil {
			return nil, s
		}
		content = f.Content()
	}
	s, err := settings.Parse(bytes.Clone(content))
	if err != nil {
		return nil, s
	}
	return content, s
}
