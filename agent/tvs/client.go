package tvs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

// Client asks Trust Verification Services. Dial and Device must be set; the
// other fields have defaults. Do not change a Client after its first use.
type Client struct {
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	Device      string           // "CP-7965G-SEP64A0E71502CC"
	Certificate *tls.Certificate // shown to servers that ask; may be nil
	PerServer   time.Duration    // DefaultPerServer where 0
	Total       time.Duration    // DefaultTotal where 0: one call of Query or Verify
	CacheSize   int              // answers; DefaultCacheSize where 0
	Now         func() time.Time // time.Now where nil
	Logf        func(format string, args ...any)

	// VerifyWhereHungUp asks CERT_VERIFICATION where a TVS hung up at QUERY_CERT, and
	// a list has the signer's certificate: see quirks.go.
	VerifyWhereHungUp bool

	// Exchange, if not nil, stands for the network: it gives what a server answers.
	// The server's certificate is put to check first, whose error it returns; that of
	// a server which hangs up wraps ErrHungUp.
	Exchange func(ctx context.Context, server string, req Message, check func(tls.ConnectionState) error) (*Message, error)

	cache   Cache
	mu      sync.Mutex
	session uint32 // of the last request, less firstSession-1
}

// Query asks who a signer is: for its certificate, by names and serial number.
// itl is the phone's own list, by which servers are known; servers are
// "host:port" in the order of their priority. The next server is asked where one
// fails; an answer, be it "invalid", is final. The result always answers q. It is
// not remembered: see Remember.
func (c *Client) Query(ctx context.Context, itl *trustlist.File, servers []string, q trust.Question) trust.Answer {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.Total, DefaultTotal))
	defer cancel()
	req := Message{Type: QueryCertReq, Device: c.Device, Subject: q.Subject, Issuer: q.Issuer, Serial: q.Serial}
	res, a := c.ask(ctx, itl, servers, req)
	if res != nil {
		a.Cert = res.Certificate
	} else if a.Failure == trust.HungUp && c.VerifyWhereHungUp && len(q.Certificate) > 0 {
		c.logf("TVS hung up at QUERY_CERT: asking CERT_VERIFICATION with the signer's certificate")
		a = c.verify(ctx, itl, servers, q.Certificate)
	}
	a.Question = q
	return a
}

// Verify asks whether a certificate, given in DER, can be trusted: the way of
// HTTPS servers. Cert of the result is der.
func (c *Client) Verify(ctx context.Context, itl *trustlist.File, servers []string, der []byte) trust.Answer {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.Total, DefaultTotal))
	defer cancel()
	return c.verify(ctx, itl, servers, der)
}

func (c *Client) verify(ctx context.Context, itl *trustlist.File, servers []string, der []byte) trust.Answer {
	_, a := c.ask(ctx, itl, servers, Message{Type: CertVerificationReq, Device: c.Device, Certificate: der})
	a.Cert = der
	return a
}

// Remember puts answers that have vouched for a file into the client's cache: those of
// Query, once the decision with them was to accept. See Cache.
func (c *Client) Remember(answers []trust.Answer) {
	now := c.now()
	c.cache.remember(answers, now, c.CacheSize)
	for i := range answers {
		if a := &answers[i]; a.Vouches() && a.Live(now) {
			c.logf("TVS added cert to TVS cache - expires in %g hours", a.Expires.Sub(now).Hours())
		}
	}
}

// Cached returns the live remembered answers, oldest first: what trust.State wants as
// Answers.
func (c *Client) Cached() []trust.Answer { return c.cache.Live(c.now()) }

// Flush forgets the remembered answers. A phone does so when its lists change.
func (c *Client) Flush() { c.cache.Flush() }

// Address returns "host:port" for a server that may stand without a port, an IPv6
// address in brackets or without: "tvs.example.lab", "192.0.2.1:2446", "2001:db8::1",
// "[2001:db8::1]", "[2001:db8::1]:2446".
func Address(server string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.TrimPrefix(server, "["), "]"), strconv.Itoa(DefaultPort))
}

// ask tries the servers in order. The message is nil where none answered; the
// answer then holds the failure, the worst kind of those met.
func (c *Client) ask(ctx context.Context, itl *trustlist.File, servers []string, req Message) (*Message, trust.Answer) {
	failed := trust.Answer{Failure: trust.Unreachable}
	var details []string
	for _, server := range servers {
		if deadline, _ := ctx.Deadline(); ctx.Err() != nil || !time.Now().Before(deadline) {
			details = append(details, "out of time before "+server)
			break
		}
		res, err := c.askOne(ctx, itl, server, req)
		if err == nil {
			a := trust.Answer{Server: server, Valid: res.Status == 0, Roles: res.Roles}
			if a.Valid && res.TTL > 0 {
				a.Expires = c.now().Add(time.Duration(res.TTL) * time.Second)
			}
			return res, a
		}
		c.logf("TVS %s: %v", server, err)
		details = append(details, server+": "+err.Error())
		failed.Failure = max(failed.Failure, failureOf(err))
		failed.Server = server
	}
	failed.Detail = strings.Join(details, "; ")
	return nil, failed
}

func failureOf(err error) trust.Failure {
	switch {
	case errors.Is(err, errUntrusted):
		return trust.Untrusted
	case errors.Is(err, ErrProtocol):
		return trust.Garbled
	case errors.Is(err, ErrHungUp):
		return trust.HungUp
	}
	return trust.Unreachable
}

// ErrHungUp says that a TVS which the phone trusts closed the connection in the place
// of an answer. Those that know CERT_VERIFICATION alone do so at QUERY_CERT.
var ErrHungUp = errors.New("the server closed the connection without an answer")

var errUntrusted = errors.New("the server's certificate is not in the phone's ITL as TVS")

func (c *Client) askOne(ctx context.Context, itl *trustlist.File, server string, req Message) (*Message, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.PerServer, DefaultPerServer))
	defer cancel()
	c.mu.Lock()
	req.Session = firstSession + c.session
	c.session++
	c.mu.Unlock()

	// The standard check wants a chain to an authority and a host name. A phone wants
	// the very certificate that its ITL lists: see knows.
	check := func(s tls.ConnectionState) error {
		if !knows(itl, s) {
			return errUntrusted
		}
		return nil
	}
	exchange := c.Once
	if c.Exchange != nil {
		exchange = c.Exchange
	}
	res, err := exchange(ctx, server, req, check)
	if err != nil {
		return nil, err
	}
	if res.Type != req.Type+1 {
		return nil, protocol("%v in response to %v", res.Type, req.Type)
	}
	if res.Session != req.Session {
		return nil, protocol("session %d in response to %d", res.Session, req.Session)
	}
	return res, nil
}

// Once sends a request to one server over TLS and reads what comes back. check decides
// about the certificate of the server, and its error is returned.
func (c *Client) Once(ctx context.Context, server string, req Message, check func(tls.ConnectionState) error) (*Message, error) {
	c.logf("Attempting connect to TVS server addr [%s]", server)
	raw, err := c.Dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	if deadline, ok := ctx.Deadline(); ok {
		raw.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()

	conf := &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: newestTLS, InsecureSkipVerify: true, VerifyConnection: check}
	if c.Certificate != nil {
		conf.Certificates = []tls.Certificate{*c.Certificate}
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	b, err := req.Append(nil)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(b); err != nil {
		return nil, ended(ctx, "send request", err)
	}
	c.logf("Successfully sent the TVS request to TVS server, bytes written : %d", len(b))
	res, err := Read(conn)
	if err != nil {
		return nil, ended(ctx, "read response", err)
	}
	return res, nil
}

// ended tells a server that hung up after the handshake from one that is silent, and
// from one that breaks the protocol.
func ended(ctx context.Context, doing string, err error) error {
	var network net.Error
	silent := ctx.Err() != nil || errors.As(err, &network) && network.Timeout()
	if silent || errors.Is(err, ErrProtocol) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrHungUp, doing, err)
}

// knows reports whether the server's certificate is a TVS certificate of the ITL.
func knows(itl *trustlist.File, s tls.ConnectionState) bool {
	if itl == nil || len(s.PeerCertificates) == 0 {
		return false
	}
	for i := range itl.Records {
		r := &itl.Records[i]
		if r.Role() == trustlist.TVS && r.MatchesCertificate(s.PeerCertificates[0]) {
			return true
		}
	}
	return false
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Client) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}
