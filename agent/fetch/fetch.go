// Package fetch gets one file from a list of servers, as a phone does: by HTTPS on
// port 6971 where that is asked for, by HTTP on port 6970, then by TFTP from the same
// server, then from the next.
//
//	c := &fetch.Client{Dial: dialer.DialContext, TFTP: fetch.PlainTFTP}
//	f, err := c.Get(ctx, []string{"192.0.2.1"}, "ITLSEP64A0E71502CC.tlv", 65535)
//
// A server is "host" or "host:port"; the port is that of both HTTP (tcp) and TFTP (udp),
// and HTTPS has the next one. Any answer of HTTP but the file itself, silence included,
// leads to TFTP. A server that says "not found", and is heard by either transport, has
// answered; only a server that cannot be heard leads to the next.
//
// Each server has PerServer for the network. Whether an HTTPS server is trusted is asked
// of others, in a time of its own (Secure.Verify). A file is held in memory once, and never more
// of it than the caller's limit. Texts of servers are safe to print in the errors. A
// Client is safe for concurrent use. Sources: package tftp for TFTP, RFC 9112 for what is
// read of HTTP, traces of phones for the request's bytes.
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

	"itlagent/agent/printable"
	"itlagent/agent/tftp"
)

// The ports of a server named without one.
const (
	HTTPPort  = "6970"
	HTTPSPort = "6971"
	TFTPPort  = "69"
)

// Errors that callers branch on.
var (
	// ErrNotFound: a working server has no such file.
	ErrNotFound = tftp.ErrNotFound
	// ErrTooLarge: the file exceeds the caller's limit. Where the server announces the
	// size, nothing of the file was fetched.
	ErrTooLarge = tftp.ErrTooLarge
	// ErrUnanswered stands beside ErrNotFound where a server before the one that lacks the
	// file gave no answer: it may have the file.
	ErrUnanswered = errors.New("servers before it gave no answer")
	// ErrName: the name is not one of a file in a server's directory.
	ErrName = tftp.ErrName
)

// Client gets files. Dial must be set; with no TFTP, only HTTP is tried.
type Client struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TFTP gets a file of at most limit bytes; PlainTFTP is one. It returns
	// ErrNotFound and ErrTooLarge as such.
	TFTP       func(ctx context.Context, address, name string, limit int) ([]byte, error)
	Secure     *Secure       // how GetSecure reaches HTTPS; nil: not at all
	VerifyTime time.Duration // for each Secure.Verify; DefaultVerifyTime where 0
	PerServer  time.Duration // for the network of one server, all transports; DefaultPerServer where 0
	// From, if not nil, stands for all transports to one server: what a phone would
	// get is then known without a network. secure is nil where HTTPS is not to be
	// tried; the server's certificate is put to its Verify. Errors are those of Get.
	From func(ctx context.Context, server, name string, limit int, secure *Secure) (File, error)
	Logf func(format string, args ...any)
}

// Secure is how HTTPS servers are reached, and which are trusted.
type Secure struct {
	// TLS has what the phone shows, and the versions that it speaks. What it checks itself
	// counts as the handshake's time.
	TLS *tls.Config
	// Verify decides about the certificate (DER) that the server has shown, after the
	// handshake and before a request is sent; its error closes the connection. It may ask
	// others: its time, at most VerifyTime, is not the server's. A server that hangs up
	// meanwhile is connected to once more, and is asked about again only if it shows
	// another certificate. nil: TLS decides alone.
	Verify func(ctx context.Context, certificate []byte) error
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
// answers. The error wraps ErrNotFound where that server has no such file, ErrTooLarge
// where the file is larger, and has one line a server where none answered.
func (c *Client) Get(ctx context.Context, servers []string, name string, limit int) (File, error) {
	return c.get(ctx, servers, name, limit, nil)
}

// GetSecure is Get with HTTPS tried first on each server. What came that way is
// vouched for by the connection.
func (c *Client) GetSecure(ctx context.Context, servers []string, name string, limit int) (File, error) {
	return c.get(ctx, servers, name, limit, c.Secure)
}

func (c *Client) get(ctx context.Context, servers []string, name string, limit int, secure *Secure) (File, error) {
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
			if err = fmt.Errorf("%s from %s: %w", name, printable.Text(server), err); len(troubles) > 0 {
				err = fmt.Errorf("%w; %w: %w", err, ErrUnanswered, errors.Join(troubles...))
			}
			return File{Server: server}, err
		}
		troubles = append(troubles, fmt.Errorf("%s from %s: %w", name, printable.Text(server), err))
		if ctx.Err() != nil {
			break
		}
	}
	return File{}, errors.Join(troubles...)
}

// One gets a file from one server, by HTTPS where secure is not nil, by HTTP, then by TFTP.
// Errors are those of Get, without the server's name.
func (c *Client) One(ctx context.Context, server, name string, limit int, secure *Secure) (File, error) {
	left := orDefault(c.PerServer, DefaultPerServer)
	share := left / httpShare

	if secure != nil {
		p := &page{client: c, address: withHTTPSPort(server), path: "/" + name, secure: secure, limit: limit, left: share}
		data, err := p.get(ctx)
		left -= share - p.left
		if err == nil {
			c.logf("XXTP complete - status = 100, %s, %d bytes (HTTPS)", name, len(data))
			return File{data, server, "HTTPS"}, nil
		}
		c.logf("HTTPS %s: %v", name, err)
		if errors.Is(err, ErrTooLarge) {
			return File{}, err
		}
	}
	p := &page{client: c, address: WithPort(server, HTTPPort), path: "/" + name, limit: limit, left: share}
	data, httpErr := p.get(ctx)
	left -= share - p.left
	if httpErr == nil {
		c.logf("XXTP complete - status = 100, %s, %d bytes (HTTP)", name, len(data))
		return File{data, server, "HTTP"}, nil
	}
	c.logf("HTTP %s: %v", name, httpErr)
	if c.TFTP == nil || errors.Is(httpErr, ErrTooLarge) {
		return File{}, httpErr
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	data, tftpErr := c.TFTP(ctx, WithPort(server, TFTPPort), name, limit)
	tftpErr = printable.Error(tftpErr)
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

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
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
