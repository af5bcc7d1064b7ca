// Package fetch gets one file from a list of servers, as a phone does: by HTTPS on
// port 6971 where it is to, by HTTP on port 6970, then by TFTP from the same
// server, then from the next.
//
//	c := &fetch.Client{Dial: dialer.DialContext, TFTP: fetch.PlainTFTP}
//	f, err := c.Get(ctx, []string{"192.0.2.1"}, "ITLSEP64A0E71502CC.tlv", 65535)
//
// A server is "host" or "host:port"; the port then is meant for both, tcp for
// HTTP and udp for TFTP, and HTTPS has the next one. Whatever HTTP answers but the file itself, and be it
// silence, leads to TFTP. A server that says "not found" and is heard by either
// way has answered; only a server that cannot be heard leads to the next.
//
// A file is held in memory once, and never more of it than the caller's limit. A
// Client is safe for concurrent use. Sources: RFC 1350 for TFTP, RFC 9112 for
// what is read of HTTP, traces of phones for the request's bytes.
package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// The ports of a server named without one.
const (
	HTTPPort  = "6970"
	HTTPSPort = "6971"
	TFTPPort  = "69"
)

// DefaultPerServer bounds what one server may take for one file, by both
// transports. The real bound is not documented.
const DefaultPerServer = 20 * time.Second

// httpShare is the part of a server's time that HTTP may use up, so that a
// server whose HTTP is silent is still asked by TFTP.
const httpShare = 4

// Errors that callers branch on.
var (
	// ErrNotFound: a working server has no such file.
	ErrNotFound = errors.New("file not found")
	// ErrTooLarge: the file exceeds the caller's limit.
	ErrTooLarge = errors.New("file too large")
	// ErrName: the name is not one of a file in a server's directory.
	ErrName = errors.New("not a file name")
)

// Client gets files. Dial must be set; with no TFTP, only HTTP is tried.
type Client struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TFTP gets a file of at most limit bytes; PlainTFTP is one. It returns
	// ErrNotFound and ErrTooLarge as such.
	TFTP func(ctx context.Context, address, name string, limit int) ([]byte, error)
	// Secure is how GetSecure reaches HTTPS; it must decide about the server's
	// certificate. nil: not at all.
	Secure    *tls.Config
	PerServer time.Duration // for both transports together; DefaultPerServer where 0
	// From, if not nil, stands for all transports to one server: what a phone would
	// get is then known without a network. secure is nil where HTTPS is not to be
	// tried; the server's certificate is put to its VerifyConnection. Errors are those
	// of Get.
	From func(ctx context.Context, server, name string, limit int, secure *tls.Config) (File, error)
	Logf func(format string, args ...any)
}

// File is a file that was got.
type File struct {
	Data      []byte
	Server    string // as it stands in the list
	Transport string // "HTTPS", "HTTP" or "TFTP"
}

// CheckName reports, with ErrName, a name that is not one plain file: it may
// have letters, digits and "._-@", 1 to 128 bytes, and not begin with a dot.
func CheckName(name string) error {
	if name == "" || len(name) > 128 || name[0] == '.' {
		return fmt.Errorf("%w: %.140q", ErrName, name)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-@", c) >= 0) {
			return fmt.Errorf("%w: %.140q", ErrName, name)
		}
	}
	return nil
}

// Get returns the file, of at most limit bytes, from the first server that
// answers. The error wraps ErrNotFound where that server has no such file, and
// names each server's troubles where none answered.
func (c *Client) Get(ctx context.Context, servers []string, name string, limit int) (File, error) {
	return c.get(ctx, servers, name, limit, nil)
}

// GetSecure is Get with HTTPS tried first on each server. What came that way is
// vouched for by the connection.
func (c *Client) GetSecure(ctx context.Context, servers []string, name string, limit int) (File, error) {
	return c.get(ctx, servers, name, limit, c.Secure)
}

func (c *Client) get(ctx context.Context, servers []string, name string, limit int, secure *tls.Config) (File, error) {
	if err := CheckName(name); err != nil {
		return File{}, err
	}
	if len(servers) == 0 {
		return File{}, errors.New("no server to ask")
	}
	var troubles []error
	for i, server := range servers {
		c.logf("look up server - %d", i)
		from := c.One
		if c.From != nil {
			from = c.From
		}
		f, err := from(ctx, server, name, limit, secure)
		if err == nil {
			return f, nil
		}
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrTooLarge) {
			return File{Server: server}, fmt.Errorf("%s from %s: %w", name, server, err)
		}
		troubles = append(troubles, fmt.Errorf("%s from %s: %w", name, server, err))
		if ctx.Err() != nil {
			break
		}
	}
	return File{}, errors.Join(troubles...)
}

// One gets a file from one server, by HTTPS where secure is not nil, by HTTP, then by TFTP.
// Errors are those of Get, without the server's name.
func (c *Client) One(ctx context.Context, server, name string, limit int, secure *tls.Config) (File, error) {
	per := c.PerServer
	if per == 0 {
		per = DefaultPerServer
	}
	ctx, cancel := context.WithTimeout(ctx, per)
	defer cancel()

	if secure != nil {
		httpsCtx, cancelHTTPS := context.WithTimeout(ctx, per/httpShare)
		data, err := c.Page(httpsCtx, withHTTPSPort(server), "/"+name, secure, limit)
		cancelHTTPS()
		if err == nil {
			c.logf("XXTP complete - status = 100, %s, %d bytes (HTTPS)", name, len(data))
			return File{data, server, "HTTPS"}, nil
		}
		c.logf("HTTPS %s: %v", name, err)
	}
	httpCtx, cancelHTTP := context.WithTimeout(ctx, per/httpShare)
	data, httpErr := c.http(httpCtx, WithPort(server, HTTPPort), name, limit)
	cancelHTTP()
	if httpErr == nil {
		c.logf("XXTP complete - status = 100, %s, %d bytes (HTTP)", name, len(data))
		return File{data, server, "HTTP"}, nil
	}
	c.logf("HTTP %s: %v", name, httpErr)
	if c.TFTP == nil || errors.Is(httpErr, ErrTooLarge) {
		return File{}, httpErr
	}
	data, tftpErr := c.TFTP(ctx, WithPort(server, TFTPPort), name, limit)
	switch {
	case tftpErr == nil:
		c.logf("XXTP complete - status = 100, %s, %d bytes (TFTP)", name, len(data))
		return File{data, server, "TFTP"}, nil
	case errors.Is(tftpErr, ErrNotFound), errors.Is(tftpErr, ErrTooLarge):
		c.logf("XXTP complete - status = 2, %s", name)
		return File{}, tftpErr
	case errors.Is(httpErr, ErrNotFound):
		return File{}, httpErr
	}
	return File{}, fmt.Errorf("HTTP: %w; TFTP: %w", httpErr, tftpErr)
}

// WithPort adds the port where the server names none.
func WithPort(server, port string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(strings.Trim(server, "[]"), port)
}

// withHTTPSPort returns where HTTPS is: on the port behind HTTP's.
func withHTTPSPort(server string) string {
	host, port, err := net.SplitHostPort(server)
	n, err2 := strconv.Atoi(port)
	if err != nil || err2 != nil {
		return WithPort(server, HTTPSPort)
	}
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}

func (c *Client) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}
