package fetch_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/fetch"
)

// certificate makes one that a server may show.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The question whether an HTTPS server is trusted has a time of its own: one TVS that is
// down, at 5 s, does not turn HTTPS off, nor take the time of the other transports.
func TestVerify(t *testing.T) {
	own, other := certificate(t, "own"), certificate(t, "other")
	wait := func(d time.Duration, err error) func(context.Context, []byte) error {
		return func(ctx context.Context, _ []byte) error {
			select {
			case <-time.After(d):
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	untrusted := errors.New("untrusted")
	for _, c := range []struct {
		name   string
		verify func(context.Context, []byte) error
		idle   time.Duration // after which the server hangs up; 0: never
		shows  []tls.Certificate
		slow   time.Duration // of the handshake
		via    string
		asked  []string // certificates that Verify was asked about
		conns  int      // with HTTPS
		took   time.Duration
	}{
		{name: "at once", verify: wait(0, nil), via: "HTTPS", asked: []string{"own"}, conns: 1},
		{name: "one TVS is down", verify: wait(5*time.Second, nil), via: "HTTPS", asked: []string{"own"}, conns: 1, took: 5 * time.Second},
		{name: "two are", verify: wait(14*time.Second, nil), via: "HTTPS", asked: []string{"own"}, conns: 1, took: 14 * time.Second},
		{name: "after a slow handshake", verify: wait(14*time.Second, nil), slow: 4 * time.Second, via: "HTTPS", asked: []string{"own"}, conns: 1, took: 18 * time.Second},
		{name: "a handshake too slow", verify: wait(0, nil), slow: 6 * time.Second, via: "HTTP", conns: 1, took: 5 * time.Second},
		{name: "refused", verify: wait(5*time.Second, untrusted), via: "HTTP", asked: []string{"own"}, conns: 1, took: 5 * time.Second},
		{name: "no answer", verify: wait(time.Hour, nil), via: "HTTP", asked: []string{"own"}, conns: 1, took: fetch.DefaultVerifyTime},
		{name: "the server hangs up meanwhile", verify: wait(10*time.Second, nil), idle: 5 * time.Second, via: "HTTPS", asked: []string{"own"}, conns: 2, took: 10 * time.Second},
		{name: "and is another then", verify: wait(10*time.Second, nil), idle: 5 * time.Second, shows: []tls.Certificate{own, other}, via: "HTTP",
			asked: []string{"own", "other"}, conns: 2, took: 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var conns, requests atomic.Int64
				https := func(conn net.Conn) {
					shown := own
					if n := int(conns.Add(1)) - 1; n < len(c.shows) {
						shown = c.shows[n]
					}
					time.Sleep(c.slow)
					over := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{shown}})
					if over.Handshake() != nil {
						return
					}
					if c.idle != 0 {
						over.SetReadDeadline(time.Now().Add(c.idle))
					}
					if n, err := over.Read(make([]byte, 1)); n == 0 || err != nil {
						return
					}
					requests.Add(1)
					over.SetReadDeadline(time.Time{})
					respond(ok("list"))(over)
				}
				s := &servers{http: map[string]func(net.Conn){"one:6971": https, "one:6970": respond(ok("list"))}}
				client := s.client()
				var asked []string
				client.Secure = &fetch.Secure{TLS: &tls.Config{InsecureSkipVerify: true}, Verify: func(ctx context.Context, der []byte) error {
					switch {
					case bytes.Equal(der, own.Certificate[0]):
						asked = append(asked, "own")
					case bytes.Equal(der, other.Certificate[0]):
						asked = append(asked, "other")
					}
					if requests.Load() != 0 {
						t.Error("a request was sent before the server was verified")
					}
					return c.verify(ctx, der)
				}}
				begin := time.Now()
				f, err := client.GetSecure(t.Context(), []string{"one"}, "SEP64A0E71502CC.cnf.xml.sgn", 100)
				if err != nil || string(f.Data) != "list" || f.Transport != c.via {
					t.Errorf("%q by %s, %v; want it by %s", f.Data, f.Transport, err, c.via)
				}
				if took := time.Since(begin); took != c.took || int(conns.Load()) != c.conns || !slices.Equal(asked, c.asked) || (requests.Load() > 0) != (c.via == "HTTPS") {
					t.Errorf("took %v, %d connections, asked about %v, %d requests; want %v, %d, %v", took, conns.Load(), asked, requests.Load(), c.took, c.conns, c.asked)
				}
				s.busy.Wait()
			})
		})
	}
}

// A question without an end leaves the other transports their time.
func TestVerifyTimeIsNotTheServers(t *testing.T) {
	own := certificate(t, "own")
	synctest.Test(t, func(t *testing.T) {
		s := &servers{
			http: map[string]func(net.Conn){"one:6970": silent, "one:6971": func(c net.Conn) {
				over := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{own}})
				over.Handshake()
				io.Copy(io.Discard, over)
			}},
			tftp: map[string]func(context.Context, string, int) ([]byte, error){"one:69": func(ctx context.Context, _ string, _ int) ([]byte, error) {
				select {
				case <-time.After(14 * time.Second):
					return []byte("list"), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}},
		}
		client := s.client()
		client.Secure = &fetch.Secure{TLS: &tls.Config{InsecureSkipVerify: true},
			Verify: func(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() }}
		f, err := client.GetSecure(t.Context(), []string{"one"}, "a", 100)
		if err != nil || f.Transport != "TFTP" {
			t.Errorf("by %q, %v; want it by TFTP", f.Transport, err)
		}
		s.busy.Wait()
	})
}
