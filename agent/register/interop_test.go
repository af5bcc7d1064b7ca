package register_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	gosip "github.com/emiago/sipgo/sip"

	"itlagent/agent/alarm"
	"itlagent/agent/holdings"
	"itlagent/agent/register"
	"itlagent/agent/register/registertest"
	"itlagent/agent/sip"
)

// patience bounds what is waited for: a bound for a program that hangs.
const patience = 2 * time.Minute

// eventually waits until something is so.
func eventually(t *testing.T, what func() bool, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !what(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(text)
		}
	}
}

// freePort returns an address of loopback that is free by TCP and UDP.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// real is a client over real sockets, that sends an alarm before it registers.
func real(t *testing.T) (*register.Client, *alarm.Queue) {
	t.Helper()
	q, err := alarm.Open(new(holdings.MemStore), "alarms")
	if err == nil {
		err = q.Add(alarm.Info{Device: device, ITL: bytes.Repeat([]byte{0xab}, 20), ITLServer: "pub.example.lab", Status: 3})
	}
	if err != nil {
		t.Fatal(err)
	}
	conf := config(t)
	conf.Dial = new(net.Dialer).DialContext
	conf.First = func(ctx context.Context, conn *sip.Conn) {
		s := alarm.Sender{Dial: conf.Dial, Rand: rand.Reader, Now: time.Now, UserAgent: conf.Model.UserAgent(), Over: conn, Log: conf.Log}
		s.Deliver(ctx, q, []sip.Server{conn.Server()})
	}
	c := register.New(conf)
	t.Cleanup(c.Leave)
	return c, q
}

// start runs a program until the test ends, and returns what it has written so far.
func start(t *testing.T, cmd *exec.Cmd) func() string {
	t.Helper()
	out := new(locked)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "TERM=dumb")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(patience):
		}
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	return out.String
}

// locked is a buffer that two goroutines use.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// kamailio, with its strict checks of form, registers the phone by TCP and UDP, takes its
// alarm and its question for a token, and unregisters it.
func TestKamailio(t *testing.T) {
	t.Parallel()
	kamailio := tool(t, "kamailio", "/usr/sbin/kamailio")
	text, err := os.ReadFile("testdata/kamailio.cfg")
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range []sip.Transport{sip.TCP, sip.UDP} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel() // a question for a token takes its time
			dir, address := t.TempDir(), freePort(t)
			conf := filepath.Join(dir, "kamailio.cfg")
			if err := os.WriteFile(conf, bytes.ReplaceAll(text, []byte("ADDRESS"), []byte(address)), 0o644); err != nil {
				t.Fatal(err)
			}
			out := start(t, exec.Command(kamailio, "-f", conf, "-DD", "-E", "-m", "16", "-M", "4", "-Y", dir, "-P", filepath.Join(dir, "pid"), "-w", dir))
			c, q := real(t)
			here := sip.Server{Address: address, Transport: transport}
			eventually(t, func() bool { // until it listens
				c.Register([]sip.Server{here}, "sip78xx.12-1-1-12.loads", register.Initialized)
				return c.State().Server == address
			}, "not registered: "+out())
			if s := c.State(); s.Granted != 120*time.Second {
				t.Errorf("%+v", s)
			}
			if waiting, _ := q.Waiting(); len(waiting) != 0 || q.Refused() != 0 {
				t.Errorf("%d alarms wait, %d were refused", len(waiting), q.Refused())
			}
			c.Leave()
			// A phone whose first call manager it is, and that has another one, asks for a token.
			away := registertest.New(t)
			token(t, here, away)
			eventually(t, func() bool { return strings.Contains(out(), "took token") }, "no token: "+out())
			if log := out(); strings.Contains(log, "malformed") || !strings.Contains(log, "took alarm of sip:"+device) || !strings.Contains(log, "for 3600") || !strings.Contains(log, "for 0") {
				t.Errorf("kamailio says\n%s", log)
			}
		})
	}
}

// token makes a phone ask a server whether it may come back from another one.
func token(t *testing.T, server sip.Server, away *registertest.Manager) {
	t.Helper()
	conf := config(t)
	var mu sync.Mutex
	up := false
	conf.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if address == server.Address && !up {
			return nil, registertest.ErrDown
		}
		if address == server.Address {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return away.Dial(ctx, network, address)
	}
	c := register.New(conf)
	t.Cleanup(c.Leave)
	c.Register([]sip.Server{server, {Address: "192.0.2.9:5060", Transport: sip.TCP}}, "", register.Initialized)
	first(away)
	mu.Lock()
	up = true
	mu.Unlock()
}

// tool returns where a program is.
func tool(t *testing.T, name string, places ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, place := range places {
		if _, serr := os.Stat(place); err != nil && serr == nil {
			path, err = place, nil
		}
	}
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (make deps)", name)
	}
	return path
}

// sipp, a SIP tester with a parser of its own, registers the phone by TCP and UDP, and its
// NOTIFY makes it restart.
func TestSIPp(t *testing.T) {
	t.Parallel()
	sipp := tool(t, "sipp")
	for transport, flag := range map[sip.Transport]string{sip.TCP: "t1", sip.UDP: "u1"} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel() // a question for a token takes its time
			address := freePort(t)
			_, port, _ := net.SplitHostPort(address)
			out := start(t, exec.Command(sipp, "-sf", "testdata/register.xml", "-i", "127.0.0.1", "-p", port, "-t", flag, "-m", "1", "-nostdin", "-timeout", "100s",
				"-trace_err", "-error_file", filepath.Join(t.TempDir(), "errors")))
			conf := config(t)
			conf.Dial = new(net.Dialer).DialContext
			c := register.New(conf)
			t.Cleanup(c.Leave)
			eventually(t, func() bool {
				c.Register([]sip.Server{{Address: address, Transport: transport}}, "", register.Initialized)
				return len(c.Orders()) == 1
			}, "no order: "+out())
			if o := <-c.Orders(); o.Action != register.Restart {
				t.Error(o.Action)
			}
			c.Leave()
			eventually(t, func() bool { return strings.Contains(out(), "Successful call") }, "sipp does not end: "+out())
			if log := out(); !strings.Contains(strings.Join(strings.Fields(log), " "), "Failed call | 0 | 0") {
				t.Errorf("sipp says\n%s", log)
			}
		})
	}
}

// sipgo reads every message that the phone sends, registers it by TCP and UDP, and its
// NOTIFY, over the connection that the phone made, makes it reset.
func TestSipgo(t *testing.T) {
	t.Parallel()
	for _, transport := range []sip.Transport{sip.TCP, sip.UDP} {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel() // a question for a token takes its time
			quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
			ua, err := sipgo.NewUA()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ua.Close() })
			server, err := sipgo.NewServer(ua, sipgo.WithServerLogger(quiet))
			if err != nil {
				t.Fatal(err)
			}
			client, err := sipgo.NewClient(ua, sipgo.WithClientLogger(quiet), sipgo.WithClientHostname("127.0.0.1"))
			if err != nil {
				t.Fatal(err)
			}
			requests := make(chan *gosip.Request, 16)
			accept := func(status int, phrase string, headers ...gosip.Header) sipgo.RequestHandler {
				return func(req *gosip.Request, tx gosip.ServerTransaction) {
					res := gosip.NewResponseFromRequest(req, status, phrase, nil)
					for _, h := range headers {
						res.AppendHeader(h)
					}
					if err := tx.Respond(res); err != nil {
						t.Error(err)
					}
					requests <- req
				}
			}
			server.OnRegister(accept(200, "OK", gosip.NewHeader("Expires", "120")))
			server.OnRefer(accept(202, "Accepted"))
			address := listen(t, server, transport)
			c, _ := real(t)
			c.Register([]sip.Server{{Address: address, Transport: transport}}, "", register.Initialized)
			refer, first := <-requests, <-requests
			if refer.Method != gosip.REFER || first.Method != gosip.REGISTER || refer.Source() != first.Source() {
				t.Fatalf("%v from %s, %v from %s", refer.Method, refer.Source(), first.Method, first.Source())
			}
			name, _ := first.Contact().Params.Get("+u.sip!devicename.ccm.cisco.com")
			if first.CallID() == nil || !strings.Contains(name, device) || first.Contact().Address.Port == 0 || len(first.Body()) == 0 {
				t.Errorf("sipgo reads\n%v", first)
			}
			notify := gosip.NewRequest(gosip.NOTIFY, first.Contact().Address)
			notify.SetTransport(strings.ToUpper(string(transport)))
			notify.SetDestination(first.Source())
			notify.AppendHeader(gosip.NewHeader("Event", "service-control"))
			notify.AppendHeader(gosip.NewHeader("Subscription-State", "active"))
			notify.AppendHeader(gosip.NewHeader("Content-Type", "text/plain"))
			notify.SetBody(fmt.Appendf(nil, "action=reset\r\nRegisterCallId={%s}\r\n", first.CallID().Value()))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			res, err := client.Do(ctx, notify)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("%v, %v", res, err)
			}
			if tag, ok := res.To().Params.Get("tag"); !ok || tag == "" || res.CSeq().MethodName != gosip.NOTIFY {
				t.Errorf("sipgo reads\n%v", res)
			}
			if o := <-c.Orders(); o.Action != register.Reset {
				t.Error(o.Action)
			}
			c.Leave()
			if last := <-requests; last.Method != gosip.REGISTER || last.GetHeader("Expires").Value() != "0" {
				t.Errorf("sipgo reads\n%v", last)
			}
			token(t, sip.Server{Address: address, Transport: transport}, registertest.New(t))
			if r := <-requests; r.Method != gosip.REFER || !strings.Contains(r.GetHeader("Refer-To").Value(), "token-registration") {
				t.Errorf("sipgo reads\n%v", r)
			}
		})
	}
}

// listen lets a server of sipgo listen, and returns where.
func listen(t *testing.T, server *sipgo.Server, transport sip.Transport) string {
	t.Helper()
	if transport == sip.UDP {
		l, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go server.ServeUDP(l)
		return l.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go server.ServeTCP(l)
	return l.Addr().String()
}
