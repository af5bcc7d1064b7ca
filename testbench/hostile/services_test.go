package hostile_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"itlagent/agent/tvs"
	"itlagent/testbench/admin"
	"itlagent/testbench/audit"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/sftpd"
)

// service is a service of the bench over TCP.
type service struct {
	name    string
	network string
	address string
	secure  bool // by TLS
	ask     func(net.Conn) error
}

func httpGet(path string) func(net.Conn) error {
	return func(conn net.Conn) error {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && res.StatusCode != http.StatusOK {
			err = errors.New(res.Status)
		}
		return err
	}
}

func login(user, password string) func(net.Conn) error {
	return func(conn net.Conn) error {
		c, _, _, err := ssh.NewClientConn(conn, "x", &ssh.ClientConfig{
			User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		if err == nil {
			c.Close()
		}
		return err
	}
}

// line asks with a line, or a SIP request, and looks how the answer begins.
func line(question, want string) func(net.Conn) error {
	return func(conn net.Conn) error {
		io.WriteString(conn, question)
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.HasPrefix(got, want) {
			err = fmt.Errorf("answer %q", got)
		}
		return err
	}
}

// everyService starts all that the bench serves by TCP.
func everyService(t *testing.T) []service {
	t.Helper()
	p, err := profile.Builtin("11.5")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := cluster.New(p, cluster.Options{Dir: dir, SSH: admin.ServeSSH})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s, err := sftpd.Start(sftpd.Options{Dir: dir, User: "joe", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	l, err := audit.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var collecting sync.WaitGroup
	collecting.Go(func() { l.Collect(ctx, evidence.New()) })
	t.Cleanup(func() { stop(); collecting.Wait() })
	pub := c.Publisher()
	tvsAsk := func(conn net.Conn) error {
		b, err := (&tvs.Message{Type: tvs.CertVerificationReq, Session: 1, Device: "CP-8861-SEP64A0E71502CC", Certificate: pub.Identity(profile.Tomcat).Certificate.Raw}).Append(nil)
		if err != nil {
			return err
		}
		conn.Write(b)
		_, err = tvs.Read(conn)
		return err
	}
	options := "OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n"
	return []service{
		{"http", "tcp", pub.Endpoint("http"), false, httpGet("/ITLFile.tlv")},
		{"https", "tcp", pub.Endpoint("https"), true, httpGet("/SEP64A0E71502CC.cnf.xml")},
		{"tomcat", "tcp", pub.Endpoint("tomcat"), true, httpGet("/ccmcip/xmldirectory.jsp")},
		{"tvs", "tcp", pub.Endpoint("tvs"), true, tvsAsk},
		{"sip", "tcp", pub.Endpoint("sip"), false, line(options, "SIP/2.0 200")},
		{"ssh", "tcp", pub.Endpoint("ssh"), false, login("admin", c.State().AdminPassword)},
		{"control", "unix", filepath.Join(dir, "node-0.sock"), false, line("pid\n", fmt.Sprint(os.Getpid()))},
		{"sftp", "tcp", s.Address(), false, login("joe", "secret")},
		{"audit", "tcp", l.Addr(), false, line(options, "SIP/2.0 200")},
	}
}

// dial connects within a time, by TLS where the service has it and plain is not set.
func (s *service) dial(plain bool, within time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout(s.network, s.address, within)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(within))
	if s.secure && !plain {
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		return secure, nil
	}
	return conn, nil
}

// peakOf runs f and returns by how much the heap grew at most, in bytes.
func peakOf(f func()) int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := int64(m.HeapAlloc)
	done, peak := make(chan bool), make(chan int64)
	go func() {
		most := before
		for {
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.HeapAlloc))
			select {
			case <-done:
				peak <- most - before
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	return <-peak
}

// Input without end, wherever it stands, takes a service no more memory than its limit,
// and is not read for ever. Afterwards the service answers.
func TestEndlessInput(t *testing.T) {
	const (
		size  = 48 << 20 // bytes that are sent, where they are taken
		limit = 24 << 20 // bytes of memory: what is garbage counts too
	)
	block := []byte(strings.Repeat("a", 32<<10))
	for _, s := range everyService(t) {
		for name, first := range map[string]string{
			"line":   "",
			"header": "REFER sip:a SIP/2.0\r\nTo: ",
			"GET":    "GET / HTTP/1.1\r\nHost: x\r\nX: ",
			"body":   "REFER sip:a SIP/2.0\r\nContent-Length: 16384\r\n\r\n",
			"POST":   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
			"chunk":  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
			"length": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
			"SSH":    "SSH-2.0-",
		} {
			sent := 0
			grown := peakOf(func() {
				conn, err := s.dial(false, 20*time.Second)
				if err != nil {
					t.Errorf("%s, %s: %v", s.name, name, err)
					return
				}
				defer conn.Close()
				go io.Copy(io.Discard, conn)
				_, err = io.WriteString(conn, first)
				for err == nil && sent < size {
					var n int
					n, err = conn.Write(block)
					sent += n
				}
			})
			if grown > limit {
				t.Errorf("%s, %s without end: %d MiB of memory for %d MiB", s.name, name, grown>>20, sent>>20)
			}
		}
		conn, err := s.dial(false, 20*time.Second)
		if err == nil {
			err = s.ask(conn)
			conn.Close()
		}
		if err != nil {
			t.Errorf("%s: afterwards: %v", s.name, err)
		}
	}
}

// A request is answered within two seconds while a thousand clients are silent, and a
// hundred of them come back whenever they are put out.
func TestSlowClients(t *testing.T) {
	const many, back, within = 1100, 100, 2 * time.Second
	for _, s := range everyService(t) {
		t.Run(s.name, func(t *testing.T) {
			var mu sync.Mutex
			var conns []net.Conn
			add := func() bool {
				conn, err := net.DialTimeout(s.network, s.address, 10*time.Second)
				if err != nil {
					return false
				}
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, conn)
				return true
			}
			for i := range many {
				if !add() {
					t.Fatalf("client %d could not connect", i)
				}
			}
			defer func() {
				for _, c := range conns {
					c.Close()
				}
			}()
			ctx, stop := context.WithCancel(t.Context())
			var comers sync.WaitGroup
			defer comers.Wait()
			defer stop()
			for _, conn := range conns[:back] {
				comers.Go(func() {
					for ctx.Err() == nil {
						conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
						if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
							continue
						}
						conn.Close()
						next, err := net.DialTimeout(s.network, s.address, 10*time.Second)
						if err != nil {
							return
						}
						mu.Lock()
						conns = append(conns, next)
						mu.Unlock()
						conn = next
					}
				})
			}
			var slowest time.Duration
			for range 5 {
				start := time.Now()
				for err := errors.New("not asked"); err != nil; { // who is put out comes back, as the silent do
					var conn net.Conn
					if conn, err = s.dial(false, 10*time.Second); err == nil {
						err = s.ask(conn)
						conn.Close()
					}
					if err != nil && time.Since(start) > within {
						t.Fatal(err)
					}
				}
				slowest = max(slowest, time.Since(start))
			}
			if slowest > within {
				t.Errorf("answered after %v, want at most %v", slowest, within)
			}
			t.Logf("answered within %v", slowest.Round(time.Millisecond))
		})
	}
}

// Other methods than GET and HEAD, bodies, two lengths of one, and a blank before a
// colon are refused by every web server of the bench.
func TestOddRequests(t *testing.T) {
	for _, s := range everyService(t)[:3] {
		for name, test := range map[string]struct {
			request string
			want    int
		}{
			"POST":            {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405},
			"DELETE":          {"DELETE /ITLFile.tlv HTTP/1.1\r\nHost: x\r\n\r\n", 405},
			"a blank":         {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\nx", 400},
			"two lengths":     {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
			"a body":          {"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 400},
			"an unknown name": {"HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		} {
			conn, err := s.dial(false, 20*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, test.request)
			res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(test.request)[0]})
			if err != nil || res.StatusCode != test.want {
				t.Errorf("%s, %s: %+v, %v; want %d", s.name, name, res, err, test.want)
			}
			conn.Close()
		}
	}
}
