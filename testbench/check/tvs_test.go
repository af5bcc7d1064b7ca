package check_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/check"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// Every TVS of a running cluster is asked: whether it is up, what it shows, whom it knows.
func TestAskTVS(t *testing.T) {
	p := profile.Note()
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := errors.Join(c.Apply(operation.Unbind()), c.Start()); err != nil {
		t.Fatal(err)
	}
	const pub = "test10pub"
	both := func(op func(name string) operation.Operation) []operation.Operation {
		return []operation.Operation{op(pub), op("test10sub")}
	}
	fault := func(kind string) []operation.Operation {
		return both(func(name string) operation.Operation { return operation.SetFault(name, profile.TVSService, kind) })
	}
	for _, row := range []struct {
		name  string
		do    []operation.Operation
		knows int // signers: one of lists, who signs configurations too, of each node
		want  string
	}{
		{"in order", nil, 4, ""},
		{"invalid", fault("invalid"), 0, "tvs-unknown"},
		{"no role", fault("norole"), 0, "tvs-unknown"},
		{"another certificate", fault("mismatch"), 0, "tvs-unknown"},
		{"garbage", fault("garbage"), 0, "tvs-answer"},
		{"hangs up", fault("hangup"), 0, "tvs-answer"},
		{"closes", fault("close"), 0, "tvs-down"},
		{"sound again", fault(profile.NoFault), 4, ""},
		{"shows another", append(both(func(name string) operation.Operation { return operation.Regenerate(name, profile.TVS) }), both(operation.RestartTVS)...), 4, "tvs-certificate"},
		{"stopped", both(func(name string) operation.Operation {
			return operation.Service(name, profile.TVSService, operation.Stop)
		}), 0, "tvs-down"},
	} {
		for _, op := range row.do {
			if err := c.Apply(op); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
		}
		var servers []string
		for _, n := range c.Nodes() {
			servers = append(servers, n.State().Address("tvs"))
		}
		all, findings := check.AskTVS(t.Context(), c.State(), servers, check.Options{Now: c.Now()}, new(net.Dialer).DialContext)
		if got := names(findings); got != row.want {
			t.Errorf("%s: found %q, want %q: %+v", row.name, got, row.want, findings)
		}
		for _, one := range all {
			if one.Knows != row.knows || row.knows > 0 && (one.Of != row.knows || one.Certificate == nil) {
				t.Errorf("%s: %s vouches for %d of %d, want %d", row.name, one.Server, one.Knows, one.Of, row.knows)
			}
		}
	}
}

// hostile listens on loopback, and lets a function have every connection.
func hostile(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// endless gives the same bytes for ever.
type endless []byte

func (e endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// What does not speak TVS, or says what it likes, is found to be so: no question waits for it for
// ever, and none of it reaches a terminal.
func TestAskHostileTVS(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	own := c.Publisher().Identity(profile.TVS)
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{own.Certificate.Raw}, PrivateKey: own.Key}}}
	over := func(serve func(net.Conn)) func(net.Conn) {
		return func(raw net.Conn) {
			conn := tls.Server(raw, conf)
			if conn.Handshake() == nil {
				conn.Read(make([]byte, 4096))
				serve(conn)
			}
		}
	}
	for _, row := range []struct {
		name  string
		serve func(net.Conn)
		want  string
	}{
		{"closes at once", func(net.Conn) {}, "tvs-down"},
		{"no TLS, without end", func(c net.Conn) { io.Copy(c, endless("\x1b[2J HTTP/1.1 200 OK\r\n")) }, "tvs-down"},
		{"records without end", func(c net.Conn) { io.Copy(c, endless("\x16\x03\x03\x00\x04\x00\x00\x00\x00")) }, "tvs-down"},
		{"text over TLS, without end", over(func(c net.Conn) { io.Copy(c, endless("\x1b]0;title\x07")) }), "tvs-answer"},
		{"the longest answer, of zeros", over(func(c net.Conn) {
			c.Write(append([]byte("\x57\x01\x04\x00\x00\x00\x00\x01\xff\xff"), bytes.Repeat([]byte{0}, 0xffff)...))
		}), "tvs-answer"},
		{"the answer to another question", over(func(c net.Conn) { c.Write([]byte("\x57\x01\x04\x00\x00\x00\x00\x63\x00\x04\x07\x00\x01\x00")) }), "tvs-answer"},
		{"an answer that is cut", over(func(c net.Conn) { c.Write([]byte("\x57\x01\x04\x00\x00\x00\x00\x01\x00\x04\x07")) }), "tvs-answer"},
		{"silent", func(c net.Conn) { c.Read(make([]byte, 1)); time.Sleep(time.Minute) }, "tvs-down"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if row.name == "silent" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			_, findings := check.AskTVS(ctx, c.State(), []string{hostile(t, row.serve)}, check.Options{Now: c.Now()}, new(net.Dialer).DialContext)
			if got := names(findings); got != row.want {
				t.Errorf("found %q, want %q: %+v", got, row.want, findings)
			}
			for _, f := range findings {
				if strings.ContainsAny(f.What, "\x1b\x07\n") || len(f.What) > 2000 {
					t.Errorf("%d bytes: %q", len(f.What), f.What)
				}
			}
		})
	}
}

// Names without number are not asked.
func TestAskManyTVS(t *testing.T) {
	dialled := 0
	dial := func(context.Context, string, string) (net.Conn, error) { dialled++; return nil, errors.New("no") }
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var s *state.State = c.State()
	all, _ := check.AskTVS(t.Context(), s, make([]string, 10*check.MaxServers), check.Options{}, dial)
	if len(all) != check.MaxServers || dialled != check.MaxServers {
		t.Errorf("%d asked, %d connections, want %d", len(all), dialled, check.MaxServers)
	}
}
