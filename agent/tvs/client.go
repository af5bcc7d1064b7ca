package tvs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
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
	Total       time.Duration    // DefaultTotal where 0
	CacheSize   int              // answers; DefaultCacheSize where 0
	Now         func() time.Time // time.Now where nil
	Logf        func(format string, args ...any)
	// Exchange, if not nil, stands for the network: it gives what a server answers.
	// The server's certificate is put to check first, whose error it returns.
	Exchange func(ctx context.Context, server string, req Message, check func(tls.ConnectionState) error) (*Message, error)

	mu      sync.Mutex
	cache   []trust.Answer // oldest first
	session uint32         // of the last request, less firstSession-1
}

// Query asks who a signer is: for its certificate, by names and serial number.
// itl is the phone's own list, by which servers are known; servers are
// "host:port" in the order of their priority. The next server is asked where one
// fails; an answer, be it "invalid", is final. The result always answers q.
func (c *Client) Query(ctx context.Context, itl *trustlist.File, servers []string, q trust.Question) trust.Answer {
	if a, ok := c.cached(q); ok {
		return a
	}
	req := Message{Type: QueryCertReq, Device: c.Device, Subject: q.Subject, Issuer: q.Issuer, Serial: q.Serial}
	res, a := c.ask(ctx, itl, servers, req)
	a.Question = q
	if res == nil {
		return a
	}
	a.Cert = res.Certificate
	c.keep(res, &a)
	return a
}

// Verify asks whether a certificate, given in DER, can be trusted: the way of
// HTTPS servers. It is not cached. Cert of the result is der.
func (c *Client) Verify(ctx context.Context, itl *trustlist.File, servers []string, der []byte) trust.Answer {
	res, a := c.ask(ctx, itl, servers, Message{Type: CertVerificationReq, Device: c.Device, Certificate: der})
	a.Cert = der
	if res != nil {
		a.Expires = c.now().Add(time.Duration(res.TTL) * time.Second)
	}
	return a
}

// Flush forgets the cached answers. A phone does so when its lists change.
func (c *Client) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cache = nil
}

// Remember puts answers into the cache, as if they had been given before.
func (c *Client) Remember(answers []trust.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cache = append(c.cache, answers...)
}

// Cached returns the live cached answers, oldest first.
func (c *Client) Cached() []trust.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	return slices.Clone(c.cache)
}

func (c *Client) cached(q trust.Question) (trust.Answer, bool) {
	for _, a := range c.Cached() {
		if a.Question.Same(q) {
			c.logf("TVS answer for serial %s found in cache", trustlist.FormatSerial(q.Serial))
			return a, true
		}
	}
	return trust.Answer{}, false
}

// expire drops answers past their time. The caller holds mu.
func (c *Client) expire() {
	now := c.now()
	c.cache = slices.DeleteFunc(c.cache, func(a trust.Answer) bool { return !now.Before(a.Expires) })
}

// keep caches a positive answer for its time to live.
func (c *Client) keep(res *Message, a *trust.Answer) {
	if !a.Valid || res.TTL == 0 {
		return
	}
	ttl := time.Duration(res.TTL) * time.Second
	a.Expires = c.now().Add(ttl)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	size := c.CacheSize
	if size == 0 {
		size = DefaultCacheSize
	}
	if len(c.cache) >= size {
		c.cache = slices.Delete(c.cache, 0, len(c.cache)-size+1)
	}
	c.cache = append(c.cache, *a)
	c.logf("TVS added cert to TVS cache - expires in %g hours", ttl.Hours())
}

// ask tries the servers in order. The message is nil where none answered; the
// answer then holds the failure, the worst kind of those met.
func (c *Client) ask(ctx context.Context, itl *trustlist.File, servers []string, req Message) (*Message, trust.Answer) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.Total, DefaultTotal))
	defer cancel()
	failed := trust.Answer{Failure: trust.Unreachable}
	var details []string
	for _, server := range servers {
		if deadline, _ := ctx.Deadline(); ctx.Err() != nil || !time.Now().Before(deadline) {
			details = append(details, "out of time before "+server)
			break
		}
		res, err := c.askOne(ctx, itl, server, req)
		if err == nil {
			return res, trust.Answer{Server: server, Valid: res.Status == 0, Roles: res.Roles}
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
	}
	return trust.Unreachable
}

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

	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: check}
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
		return nil, fmt.Errorf("send request: %w", err)
	}
	c.logf("Successfully sent the TVS request to TVS server, bytes written : %d", len(b))
	res, err := Read(conn)
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	return res, nil
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
