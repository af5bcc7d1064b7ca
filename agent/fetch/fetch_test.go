package fetch_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pin/tftp/v3"

	"itlagent/agent/fetch"
)

// servers is a network in memory: what a server does with an HTTP connection,
// and what it has by TFTP.
type servers struct {
	http map[string]func(net.Conn)
	tftp map[string]func(ctx context.Context, name string, limit int) ([]byte, error)
	log  []string
	busy sync.WaitGroup // connections being served
}

func (s *servers) client() *fetch.Client {
	return &fetch.Client{
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			s.log = append(s.log, "http "+address)
			serve := s.http[address]
			if serve == nil {
				return nil, errors.New("connection refused")
			}
			here, there := net.Pipe()
			s.busy.Go(func() { defer there.Close(); serve(there) })
			return here, nil
		},
		TFTP: func(ctx context.Context, address, name string, limit int) ([]byte, error) {
			s.log = append(s.log, "tftp "+address)
			serve := s.tftp[address]
			if serve == nil {
				return nil, errors.New("no answer")
			}
			return serve(ctx, name, limit)
		},
	}
}

// respond reads a request's head, and writes the text.
func respond(text string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
				break
			}
		}
		io.WriteString(c, text)
	}
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-length: %d\r\nCache-Control: no-store\r\nContent-type: */*\r\n\r\n%s", len(body), body)
}

func has(body string) func(context.Context, string, int) ([]byte, error) {
	return func(context.Context, string, int) ([]byte, error) { return []byte(body), nil }
}

func lacks(context.Context, string, int) ([]byte, error) { return nil, fetch.ErrNotFound }

func silent(c net.Conn) { io.Copy(io.Discard, c) }

func TestGet(t *testing.T) {
	const limit = 1000
	trickle := func(c net.Conn) {
		respond("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")(c)
		for {
			time.Sleep(time.Second)
			if _, err := c.Write([]byte("a")); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		http   string           // the first server's HTTP answer; "" refuses
		serve  func(c net.Conn) // instead of http
		tftp   func(context.Context, string, int) ([]byte, error)
		second bool // a second server has the file
		want   string
		via    string
		err    error
		took   time.Duration
	}{
		{name: "HTTP", http: ok("list"), want: "list", via: "HTTP one"},
		{name: "body to the end of the connection", http: "HTTP/1.0 200 OK\r\n\r\nlist", want: "list", via: "HTTP one"},
		{name: "empty file", http: ok(""), want: "", via: "HTTP one"},
		{name: "404, TFTP has it", http: "HTTP/1.1 404 Not Found\r\n\r\n", tftp: has("list"), want: "list", via: "TFTP one"},
		{name: "503, TFTP has it", http: "HTTP/1.1 503 Service Unavailable\r\n\r\n", tftp: has("list"), want: "list", via: "TFTP one"},
		{name: "refused, TFTP has it", tftp: has("list"), want: "list", via: "TFTP one"},
		{name: "HTTP silent, TFTP has it", serve: silent, tftp: has("list"), want: "list", via: "TFTP one", took: 5 * time.Second},
		{name: "HTTP trickles, TFTP has it", serve: trickle, tftp: has("list"), want: "list", via: "TFTP one", took: 5 * time.Second},
		{name: "404, TFTP lacks it: an answer", http: "HTTP/1.1 404 Not Found\r\n\r\n", tftp: lacks, second: true, err: fetch.ErrNotFound},
		{name: "refused, TFTP lacks it: an answer", tftp: lacks, second: true, err: fetch.ErrNotFound},
		{name: "404, no TFTP: an answer", http: "HTTP/1.1 404 Not Found\r\n\r\n", second: true, err: fetch.ErrNotFound},
		{name: "503, no TFTP: the next server", http: "HTTP/1.1 503 Service Unavailable\r\n\r\n", second: true, want: "other", via: "HTTP two"},
		{name: "nobody there: the next server", second: true, want: "other", via: "HTTP two"},
		{name: "nobody at all", err: errors.New("any")},
		{name: "announced too large", http: "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", second: true, err: fetch.ErrTooLarge},
		{name: "announced huge", http: "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", second: true, want: "other", via: "HTTP two"},
		{name: "unannounced and too large", http: "HTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("a", 1001), second: true, err: fetch.ErrTooLarge},
		{name: "exactly the limit", http: ok(strings.Repeat("a", 1000)), want: strings.Repeat("a", 1000), via: "HTTP one"},
		{name: "cut short", http: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlist", tftp: has("whole"), want: "whole", via: "TFTP one"},
		{name: "two lengths", http: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nlist", tftp: has("whole"), want: "whole", via: "TFTP one"},
		{name: "chunks", http: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlist\r\n0\r\n\r\n", tftp: has("whole"), want: "whole", via: "TFTP one"},
		{name: "not HTTP", http: "220 ftp.example.lab ready\r\n", tftp: has("whole"), want: "whole", via: "TFTP one"},
		{name: "redirect", http: "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.9/\r\n\r\n", tftp: has("whole"), want: "whole", via: "TFTP one"},
		{name: "endless header", http: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: b\r\n", 2000), tftp: has("whole"), want: "whole", via: "TFTP one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &servers{http: map[string]func(net.Conn){}, tftp: map[string]func(context.Context, string, int) ([]byte, error){}}
				if c.http != "" {
					s.http["one:6970"] = respond(c.http)
				}
				if c.serve != nil {
					s.http["one:6970"] = c.serve
				}
				if c.tftp != nil {
					s.tftp["one:69"] = c.tftp
				}
				if c.second {
					s.http["two:6970"] = respond(ok("other"))
				}
				begin := time.Now()
				client := s.client()
				if c.tftp == nil {
					client.TFTP = nil
				}
				f, err := client.Get(t.Context(), []string{"one", "two"}, "ITLFile.tlv", limit)
				switch {
				case c.err != nil && (err == nil || c.err.Error() != "any" && !errors.Is(err, c.err)):
					t.Fatalf("error %v, want %v", err, c.err)
				case c.err == nil && err != nil:
					t.Fatal(err)
				case c.err == nil && (string(f.Data) != c.want || f.Transport+" "+f.Server != c.via):
					t.Errorf("%d bytes by %s %s; want %d by %s", len(f.Data), f.Transport, f.Server, len(c.want), c.via)
				}
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				s.busy.Wait()
			})
		})
	}
}

// A server that lacks the file counts otherwise behind one that gave no answer.
func TestUnanswered(t *testing.T) {
	for list, want := range map[string]bool{"two": false, "one two": true, "two one": false} {
		s := &servers{tftp: map[string]func(context.Context, string, int) ([]byte, error){"two:69": lacks}}
		_, err := s.client().Get(t.Context(), strings.Fields(list), "ITLFile.tlv", 10)
		if !errors.Is(err, fetch.ErrNotFound) || errors.Is(err, fetch.ErrUnanswered) != want {
			t.Errorf("%s: %v", list, err)
		}
	}
}

// The request has the bytes of a real phone's, and a server's own port is used
// for both transports.
func TestRequestBytes(t *testing.T) {
	var got bytes.Buffer
	s := &servers{http: map[string]func(net.Conn){"198.51.100.0:6970": func(c net.Conn) {
		io.CopyN(&got, c, 64)
		io.WriteString(c, ok("x"))
	}}}
	if _, err := s.client().Get(t.Context(), []string{"198.51.100.0"}, "ITLSEP2834A2823B58.tlv", 10); err != nil {
		t.Fatal(err)
	}
	const want = "GET /ITLSEP2834A2823B58.tlv HTTP/1.1\r\nHost:198.51.100.0:6970\r\n\r\n"
	if got.String() != want || len(want) != 64 {
		t.Errorf("request %q, want %q", got.String(), want)
	}
	s = &servers{}
	s.client().Get(t.Context(), []string{"127.0.0.1:8000", "[::1]:8001", "::1"}, "a", 10)
	if got, want := strings.Join(s.log, ", "), "http 127.0.0.1:8000, tftp 127.0.0.1:8000, http [::1]:8001, tftp [::1]:8001, http [::1]:6970, tftp [::1]:69"; got != want {
		t.Errorf("asked %s; want %s", got, want)
	}
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"ITLSEP64A0E71502CC.tlv": true, "SEP64A0E71502CC.cnf.xml.sgn": true, "a_b-c@d": true, strings.Repeat("a", 128): true,
		"": false, ".": false, "..": false, ".hidden": false, "../etc/passwd": false, "a/b": false, `a\b`: false, "a b": false,
		"a\r\nHost: x": false, "a\x00": false, "é": false, strings.Repeat("a", 129): false, "a?b": false, "a%2fb": false,
	} {
		if err := fetch.CheckName(name); (err == nil) != good || err != nil && !errors.Is(err, fetch.ErrName) {
			t.Errorf("CheckName(%.20q) = %v", name, err)
		}
	}
	s := &servers{}
	if _, err := s.client().Get(t.Context(), []string{"one"}, "../a", 10); !errors.Is(err, fetch.ErrName) || len(s.log) != 0 {
		t.Errorf("Get of ../a: %v, asked %v", err, s.log)
	}
}

// PlainTFTP against a real server on loopback.
func TestPlainTFTP(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	file := bytes.Repeat([]byte("0123456789abcdef"), 331) // 5,296 bytes, 11 blocks
	server := tftp.NewServer(func(name string, rf io.ReaderFrom) error {
		if name != "ITLFile.tlv" {
			return errors.New("File not found")
		}
		_, err := rf.ReadFrom(bytes.NewReader(file))
		return err
	}, nil)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(conn) }()
	defer func() { server.Shutdown(); <-done }()
	address := conn.LocalAddr().String()

	got, err := fetch.PlainTFTP(t.Context(), address, "ITLFile.tlv", len(file))
	if err != nil || !bytes.Equal(got, file) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(file))
	}
	if _, err := fetch.PlainTFTP(t.Context(), address, "ITLFile.tlv", len(file)-1); !errors.Is(err, fetch.ErrTooLarge) {
		t.Errorf("one byte over the limit: %v, want %v", err, fetch.ErrTooLarge)
	}
	if _, err := fetch.PlainTFTP(t.Context(), address, "CTLFile.tlv", 10); !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("a file that is not there: %v, want %v", err, fetch.ErrNotFound)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fetch.PlainTFTP(ctx, address, "ITLFile.tlv", 10); err == nil {
		t.Error("a caller that gave up got the file")
	}
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte(ok("list")))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, response []byte) {
		s := &servers{http: map[string]func(net.Conn){"one:6970": respond(string(response))}}
		c := s.client()
		c.TFTP = nil
		if file, err := c.Get(t.Context(), []string{"one"}, "a", 100); err == nil && len(file.Data) > 100 {
			t.Errorf("%d bytes got, the limit was 100", len(file.Data))
		}
	})
}
