package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHeader bounds a response's status line and header fields, in bytes.
const maxHeader = 8 << 10

// http gets a file with the request bytes of a phone: no space behind "Host:",
// no other field, one connection a file. The phone's own reader is used because
// an HTTP library would send other bytes, and would weigh more than the rest of
// a small agent.
func (c *Client) http(ctx context.Context, address, name string, limit int) ([]byte, error) {
	conn, err := c.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return c.request(ctx, conn, address, "/"+name, limit)
}

// Page gets a page of at most limit bytes from "host:port", over TLS where that
// is configured. The caller answers for the path's bytes.
func (c *Client) Page(ctx context.Context, address, path string, secure *tls.Config, limit int) ([]byte, error) {
	conn, err := c.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if secure != nil {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		over := tls.Client(conn, secure)
		if err := over.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		conn = over
	}
	return c.request(ctx, conn, address, path, limit)
}

// request sends the request and reads the answer.
func (c *Client) request(ctx context.Context, conn net.Conn, address, path string, limit int) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost:"+address+"\r\n\r\n"); err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	return readResponse(conn, limit)
}

// readResponse reads one response and returns its body of at most limit bytes.
// A body has a Content-Length or ends with the connection; chunks are refused,
// since no provisioning server sends them.
func readResponse(r io.Reader, limit int) ([]byte, error) {
	head := &io.LimitedReader{R: r, N: maxHeader}
	buf := bufio.NewReaderSize(head, 1024)
	text := textproto.NewReader(buf)
	line, err := text.ReadLine()
	if err != nil {
		return nil, fmt.Errorf("read status line: %w", endsEarly(err))
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
		return nil, fmt.Errorf("HTTP status %d %.60s", status, phrase)
	}
	fields, err := text.ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("read header fields: %w", endsEarly(err))
	}
	if fields.Get("Transfer-Encoding") != "" {
		return nil, fmt.Errorf("transfer encoding %.40q", fields.Get("Transfer-Encoding"))
	}
	// What the buffer holds already has been taken from the header's allowance;
	// the body has one of its own.
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
