package fetch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/printable"
)

// maxHeader bounds a response's status line and header fields, in bytes.
const maxHeader = 8 << 10

// Page gets a page of at most limit bytes from "host:port", over TLS where secure is
// not nil. The caller answers for the path's
// bytes, and for the time by the context.
func (c *Client) Page(ctx context.Context, address, path string, secure *Secure, limit int) ([]byte, error) {
	p := &page{client: c, address: address, path: path, secure: secure, limit: limit, left: noLimit}
	return p.get(ctx)
}

const noLimit = 24 * time.Hour

// page is one file or page of one server. It is got with the request bytes of a phone: no
// space behind "Host:", no other field, one connection a file. The phone's own reader is
// used because an HTTP library would send other bytes, and would weigh more than the
// rest of a small agent.
type page struct {
	client        *Client
	address, path string
	secure        *Secure // nil: not over TLS
	limit         int     // bytes
	left          time.Duration
	verified      []byte // the certificate that Verify has accepted
}

func (p *page) get(ctx context.Context) ([]byte, error) {
	body, err := p.once(ctx)
	var gone *hungUp
	if p.verified != nil && errors.As(err, &gone) && p.left > 0 && ctx.Err() == nil {
		// CUCM waits 5 s for a request; asking about its certificate may take longer.
		body, err = p.once(ctx)
	}
	return body, printable.Error(err)
}

func (p *page) once(ctx context.Context) ([]byte, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if over, ok := conn.(*tls.Conn); ok {
		if err := p.verify(ctx, over); err != nil {
			return nil, err
		}
	}
	ctx, done := p.network(ctx)
	defer done()
	return p.request(ctx, conn)
}

// network returns a context with what is left for the network. done counts what was used.
func (p *page) network(ctx context.Context) (_ context.Context, done func()) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.left)
	return ctx, func() {
		cancel()
		p.left -= time.Since(begin)
	}
}

// connect dials, and shakes hands where that is configured.
func (p *page) connect(ctx context.Context) (net.Conn, error) {
	ctx, done := p.network(ctx)
	defer done()
	conn, err := p.client.Dial(ctx, "tcp", p.address)
	if err != nil || p.secure == nil {
		return conn, err
	}
	over := tls.Client(conn, p.secure.TLS)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := over.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return over, nil
}

// verify has Verify decide, in its own time, unless it has about this certificate.
func (p *page) verify(ctx context.Context, conn *tls.Conn) error {
	if p.secure.Verify == nil {
		return nil
	}
	shown := conn.ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return errors.New("TLS: the server shows no certificate")
	}
	if p.verified != nil && bytes.Equal(p.verified, shown[0].Raw) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(p.client.VerifyTime, DefaultVerifyTime))
	defer cancel()
	if err := p.secure.Verify(ctx, shown[0].Raw); err != nil {
		return err
	}
	p.verified = shown[0].Raw
	return nil
}

// request sends the request and reads the answer.
func (p *page) request(ctx context.Context, conn net.Conn) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	if _, err := io.WriteString(conn, "GET "+p.path+" HTTP/1.1\r\nHost:"+p.address+"\r\n\r\n"); err != nil {
		return nil, &hungUp{fmt.Errorf("send request: %w", err)}
	}
	return readResponse(conn, p.limit)
}

// hungUp is the error of a server that closes the connection without an answer.
type hungUp struct{ error }

func (h *hungUp) Unwrap() error { return h.error }

// readResponse reads one response and returns its body of at most limit bytes.
// A body has a Content-Length or ends with the connection; chunks are refused,
// since no provisioning server sends them.
func readResponse(r io.Reader, limit int) ([]byte, error) {
	head := &io.LimitedReader{R: r, N: maxHeader}
	buf := bufio.NewReaderSize(head, 1024)
	text := textproto.NewReader(buf)
	line, err := text.ReadLine()
	if err != nil {
		return nil, &hungUp{fmt.Errorf("read status line: %w", endsEarly(err))}
	}
	proto, rest, _ := strings.Cut(line, " ")
	code, phrase, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if !strings.HasPrefix(proto, "HTTP/1.") || err != nil || len(code) != 3 {
		return nil, fmt.Errorf("not an HTTP status line: %.60q", line)
	}
	switch {
	case status == 404:
		return nil, ErrNotFound
	case status != 200:
		return nil, fmt.Errorf("HTTP status %d %s", status, printable.Clip(phrase, 60))
	}
	fields, err := text.ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("read header fields: %w", endsEarly(err))
	}
	if fields.Get("Transfer-Encoding") != "" {
		return nil, fmt.Errorf("transfer encoding %.40q", fields.Get("Transfer-Encoding"))
	}
	// What the buffer holds already counts as header; the body has a limit of its own.
	head.N = int64(limit) + 1
	lengths := fields.Values("Content-Length")
	if len(lengths) == 0 {
		return readUpTo(buf, limit)
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil || len(lengths) > 1 {
		return nil, fmt.Errorf("content length %.40q", lengths)
	}
	if n > uint64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, n, limit)
	}
	body, err := readUpTo(io.LimitReader(buf, int64(n)), limit)
	if err == nil && uint64(len(body)) < n {
		err = fmt.Errorf("body ends after %d of %d bytes: %w", len(body), n, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// readUpTo reads to the end, refusing more than limit bytes. Memory grows with
// what arrives, not with what was announced.
func readUpTo(r io.Reader, limit int) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if len(body) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return body, nil
}

func endsEarly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
