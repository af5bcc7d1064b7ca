package register_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/logger"
	"itlagent/agent/model"
	"itlagent/agent/register"
	"itlagent/agent/register/registertest"
	"itlagent/agent/sip"
)

const device = "SEPC80084AA8743"

// server is a call manager by its host in 192.0.2.0/24.
func server(n int) sip.Server {
	return sip.Server{Address: fmt.Sprintf("192.0.2.%d:5060", n), Transport: sip.TCP}
}

// client returns a client of a 7821 that reaches managers by their number in server, from 1.
func client(t *testing.T, managers ...*registertest.Manager) *register.Client {
	return register.New(config(t, managers...))
}

func config(t *testing.T, managers ...*registertest.Manager) register.Config {
	return register.Config{
		Device: device, Model: model.Find("CP-7821", "12.1.1"), Rand: rand.Reader, Now: time.Now,
		Log: logger.Logger{Notice: t.Logf, Debug: t.Logf},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			var n int
			if _, err := fmt.Sscanf(address, "192.0.2.%d:5060", &n); err != nil || n > len(managers) {
				return nil, fmt.Errorf("no route to %s", address)
			}
			return managers[n-1].Dial(ctx, network, address)
		},
	}
}

func names(m *sip.Message) (all []string) {
	for _, f := range m.Fields {
		all = append(all, f.Name)
	}
	return all
}

// The first REGISTER has the headers, their order and the bodies of the traces; a refresh
// has the same Call-ID and no Reason and body, and comes before the granted time is over.
func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		c := client(t, m)
		began := time.Now()
		c.Register([]sip.Server{server(1)}, "sip78xx.12-1-1-12.loads", register.Initialized)
		first := m.Next("REGISTER")
		if got, want := strings.Join(names(first), " "), "via from to call-id max-forwards session-id date cseq user-agent contact supported reason expires content-type mime-version content-length"; got != want {
			t.Errorf("headers\n%s, want\n%s", got, want)
		}
		for name, form := range map[string]string{
			"via":     `SIP/2\.0/TCP \S+;branch=z9hG4bK[0-9a-f]{8}`,
			"from":    `<sip:` + device + `@192\.0\.2\.1>;tag=c80084aa8743[0-9a-f]{8}-[0-9a-f]{8}`,
			"to":      `<sip:` + device + `@192\.0\.2\.1>`,
			"call-id": `c80084aa-87430001-[0-9a-f]{8}-[0-9a-f]{8}@\S+`,
			"cseq":    `101 REGISTER`, "expires": `3600`, "user-agent": `Cisco-CP7821/12\.1\.1`, "session-id": `[0-9a-f]{32};remote=0{32}`,
			"contact": `<sip:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@\S+;transport=tcp>;\+sip\.instance="<urn:uuid:00000000-0000-0000-0000-c80084aa8743>";` +
				`\+u\.sip!devicename\.ccm\.cisco\.com="` + device + `";\+u\.sip!model\.ccm\.cisco\.com="621"`,
			"supported": `replaces,.*X-cisco-service-control,.*,X-cisco-sis-7\.0\.0,X-cisco-xsi-8\.5\.1`,
			"reason":    `SIP;cause=200;text="cisco-alarm:25 Name=` + device + ` ActiveLoad=sip78xx\.12-1-1-12\.loads InactiveLoad= Last=initialized"`,
		} {
			if got := first.Get(name); !regexp.MustCompile("^" + form + "$").MatchString(got) {
				t.Errorf("%s: %s, want %s", name, got, form)
			}
		}
		body := string(first.Body)
		if first.URI != "sip:192.0.2.1" || strings.Count(body, "--uniqueBoundary\r\n") != 2 || !strings.HasSuffix(body, "\r\n--uniqueBoundary--\r\n") ||
			strings.Count(body, "</x-cisco-remotecc-request>\n\r\n") != 2 || strings.Index(body, "<bulkregisterreq>") > strings.Index(body, "<service-control>") {
			t.Errorf("%s, body\n%s", first.URI, body)
		}
		again := m.Next("REGISTER")
		if took := time.Since(began); took <= 60*time.Second || took >= 120*time.Second {
			t.Errorf("refreshed after %v of the 120 s granted", took)
		}
		if again.Get("call-id") != first.Get("call-id") || again.Get("cseq") != "102 REGISTER" || again.Get("reason") != "" || len(again.Body) != 0 || again.Get("expires") != "3600" {
			t.Errorf("refresh %v %s", again.Fields, again.Body)
		}
		if s := c.State(); s.Server != server(1).Address || s.Granted != 120*time.Second || s.Failure != nil || s.Cause != register.Initialized {
			t.Errorf("%+v", s)
		}
		c.Leave()
		if last := m.Next("REGISTER"); last.Get("expires") != "0" || last.Get("call-id") != first.Get("call-id") || last.Get("cseq") != "103 REGISTER" {
			t.Errorf("unregister %v", last.Fields)
		}
		synctest.Wait()
		if s := c.State(); s.Server != "" || m.Conns() != 0 {
			t.Errorf("%+v, %d connections", s, m.Conns())
		}
	})
}

// Orders are obeyed with the registration's own Call-ID alone, and answered 200 or 400.
func TestOrders(t *testing.T) {
	const stamp = "ConfigVersionStamp={0106514225374329}\r\nDialplanVersionStamp={}\r\nSoftkeyVersionStamp={0106514225374329}\r\n"
	for _, test := range []struct {
		name, event, body string // in which ID is the Call-ID
		code              int
		want              register.Action
		none              bool
	}{
		{"reset", "service-control", "action=reset\r\nRegisterCallId={ID}\r\n" + stamp, 200, register.Reset, false},
		{"restart", "service-control", "action=restart\r\nRegisterCallId={ID}\r\n" + stamp, 200, register.Restart, false},
		{"check-version", "service-control", "action=check-version\r\nRegisterCallId={ID}\r\n" + stamp, 200, register.CheckVersion, false},
		{"apply-config", "service-control", "action=apply-config\r\nRegisterCallId={ID}\r\nLoadId=x\r\nFeatureControlVersionStamp={1}\r\n" + stamp, 200, register.ApplyConfig, false},
		{"case, order, blanks, LF", "Service-Control", "\r\n\nREGISTERCALLID={ID}\nConfigversionstamp={1}\n ACTION=RESET \n\n", 200, register.Reset, false},
		{"by the beginning", "service-control;id=1", "action=resetting\r\nRegisterCallIdentifier={ID}\r\n", 200, register.Reset, false},
		{"the first counts", "service-control", "action=restart\r\naction=reset\r\nRegisterCallId={ID}\r\nRegisterCallId={other}\r\n", 200, register.Restart, false},
		{"nothing to do", "service-control", "action=call-preservation\r\nRegisterCallId={ID}\r\n", 200, 0, true},
		{"a report", "service-control", "action=prt-report\r\nRegisterCallId={ID}\r\n", 200, 0, true},
		{"another's call id", "service-control", "action=reset\r\nRegisterCallId={c80084aa-87430009-1-2@192.0.2.104}\r\n", 400, 0, true},
		{"the first is another's", "service-control", "action=reset\r\nRegisterCallId={x}\r\nRegisterCallId={ID}\r\n", 400, 0, true},
		{"no call id", "service-control", "action=reset\r\n", 400, 0, true},
		{"no braces", "service-control", "action=reset\r\nRegisterCallId=ID\r\n", 400, 0, true},
		{"one brace", "service-control", "action=reset\r\nRegisterCallId={ID\r\n", 400, 0, true},
		{"unknown action", "service-control", "action=explode\r\nRegisterCallId={ID}\r\n", 400, 0, true},
		{"no action", "service-control", "RegisterCallId={ID}\r\n", 400, 0, true},
		{"nothing", "service-control", "", 400, 0, true},
		{"no line ends", "service-control", strings.Repeat("action", 2000), 400, 0, true},
		{"many lines", "service-control", strings.Repeat("x=y\r\n", 1000) + "action=reset\r\nRegisterCallId={ID}\r\n", 400, 0, true},
		{"another event", "message-summary", "action=reset\r\nRegisterCallId={ID}\r\n", 489, 0, true},
		{"no event", "", "action=reset\r\nRegisterCallId={ID}\r\n", 489, 0, true},
		{"that of another model", "check-sync", "", 489, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := registertest.New(t)
			c := client(t, m)
			c.Register([]sip.Server{server(1)}, "", register.Initialized)
			id := m.Next("REGISTER").Get("call-id")
			synctest.Wait()
			answer := m.Ask("NOTIFY", test.event, strings.ReplaceAll(test.body, "ID}", id+"}"))
			synctest.Wait()
			got := -1
			select {
			case o := <-c.Orders():
				got = int(o.Action)
			default:
			}
			want := int(test.want)
			if test.none {
				want = -1
			}
			if answer.Code != test.code || got != want {
				t.Errorf("%s: %d, action %d, want %d, %d", test.name, answer.Code, got, test.code, want)
			}
			s := c.State()
			if s.Server == "" || (s.Refused == 1) != (test.code != 200) || (s.Refusal != "") != (test.code != 200) {
				t.Errorf("%s: %+v", test.name, s)
			}
			c.Leave()
		})
	}
}

// What is no order is answered as RFC 3261 has it, and 7940 and 7960 are told to reset by
// check-sync, on the connection of their registration.
func TestOtherRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		conf := config(t, m)
		conf.Model = model.Find("CP-7960G", "8.4.0")
		c := register.New(conf)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		first := m.Next("REGISTER")
		synctest.Wait()
		for method, want := range map[string]int{"OPTIONS": 200, "INVITE": 405, "REFER": 405, "BYE": 405, "X": 405} {
			if got := m.Ask(method, "service-control", ""); got.Code != want || got.Get("content-length") != "0" || (got.Get("allow") != "") != (want == 405) {
				t.Errorf("%s: %d %v, want %d", method, got.Code, got.Fields, want)
			}
		}
		a := m.Ask("NOTIFY", "check-sync", "")
		synctest.Wait()
		if o := <-c.Orders(); a.Code != 200 || o.Action != register.Reset {
			t.Errorf("check-sync: %d, %v", a.Code, o.Action)
		}
		if a.Get("via") != "SIP/2.0/TCP 192.0.2.200:5060;branch=z9hG4bK6" || !strings.HasPrefix(a.Get("to"), "<sip:2222@192.0.2.104>;tag=") || a.Get("from") != "<sip:192.0.2.200>;tag=1690263215" || a.Get("cseq") != "101 NOTIFY" || a.Get("call-id") != "6-notify@192.0.2.200" {
			t.Errorf("answer %v", a.Fields)
		}
		if sis := first.Get("supported"); !strings.Contains(sis, "X-cisco-sis-3.0.0") || first.Get("session-id") != "" {
			t.Errorf("firmware 8.4: %v", first.Fields)
		}
		c.Leave()
	})
}

// Whoever sends a thousand orders has a few obeyed, and the phone stays registered.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		c := client(t, m)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		id := m.Next("REGISTER").Get("call-id")
		synctest.Wait()
		codes, obeyed := map[int]int{}, 0
		order := func() {
			a := m.Notify("action=reset\r\nRegisterCallId={" + id + "}\r\n")
			synctest.Wait()
			codes[a.Code]++
			if a.Code == 503 && a.Get("retry-after") != "30" {
				t.Errorf("503 without Retry-After: %v", a.Fields)
			}
			select {
			case <-c.Orders():
				obeyed++
			default:
			}
		}
		for range 1000 {
			order()
			time.Sleep(time.Millisecond) // of the bubble
		}
		if codes[200] != 10 || codes[503] != 990 || obeyed != 10 {
			t.Errorf("answers %v, %d obeyed", codes, obeyed)
		}
		time.Sleep(65 * time.Second)
		for range 5 {
			order()
		}
		if s := c.State(); codes[200] != 12 || s.Server == "" || s.Refused != 993 {
			t.Errorf("a minute later: %v, %+v", codes, s)
		}
		c.Leave()
	})
}

// Of orders that nobody has taken, the one that does most is left.
func TestStrongestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		c := client(t, m)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		id := m.Next("REGISTER").Get("call-id")
		for _, action := range []string{"apply-config", "restart", "check-version"} {
			m.Notify("action=" + action + "\r\nRegisterCallId={" + id + "}\r\n")
		}
		synctest.Wait()
		if o := <-c.Orders(); o.Action != register.Restart || len(c.Orders()) != 0 {
			t.Errorf("%v is left, and %d more", o.Action, len(c.Orders()))
		}
		m.Notify("action=reset\r\nRegisterCallId={" + id + "}\r\n")
		synctest.Wait()
		c.Leave()
		if len(c.Orders()) != 0 {
			t.Error("an order is left of a registration that has ended")
		}
	})
}

// What waits goes first, on the connection of the REGISTER, and again when asked to.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		conf := config(t, m)
		conf.First = func(ctx context.Context, conn *sip.Conn) {
			req := sip.Request{CallID: "alarm@x", CSeq: "1000 REFER", Bytes: []byte("REFER sip:x SIP/2.0\r\nCall-ID: alarm@x\r\nCSeq: 1000 REFER\r\nContent-Length: 0\r\n\r\n")}
			if a, err := conn.Ask(ctx, req); err != nil || a.Code != 202 {
				t.Errorf("%+v, %v", a, err)
			}
		}
		var dates []time.Time
		conf.Dated = func(at time.Time) { dates = append(dates, at) }
		c := register.New(conf)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		synctest.Wait()
		c.Register([]sip.Server{server(1)}, "", register.PhoneKeypad) // nothing has changed
		synctest.Wait()
		if got := m.Methods(); !slices.Equal(got, []string{"REFER", "REGISTER", "REFER"}) || m.Conns() != 1 {
			t.Errorf("%v on %d connections", got, m.Conns())
		}
		if want := time.Date(2019, 3, 9, 18, 32, 45, 0, time.UTC); len(dates) != 1 || !dates[0].Equal(want) {
			t.Errorf("dates %v", dates)
		}
		c.Leave()
	})
}

// A phone that leaves while its REGISTER is on the way unregisters all the same, and takes
// no longer than its time where nobody answers.
func TestLeaveEarly(t *testing.T) {
	for _, answers := range []int{0, 1} { // before it leaves
		synctest.Test(t, func(t *testing.T) {
			m := registertest.New(t)
			n := 0
			m.Answer = func(r *sip.Message) []byte {
				if n++; n > answers && r.Get("expires") != "0" {
					return nil
				}
				return registertest.Accept(r, 120)
			}
			c := client(t, m)
			c.Register([]sip.Server{server(1)}, "", register.Initialized)
			for range answers + 1 {
				m.Next("REGISTER")
			}
			c.Leave()
			if last := m.Next("REGISTER"); last.Get("expires") != "0" {
				t.Errorf("%v", last.Fields)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			m := registertest.New(t)
			m.Answer = func(*sip.Message) []byte { return nil }
			c := client(t, m)
			c.Register([]sip.Server{server(1)}, "", register.Initialized)
			m.Next("REGISTER")
			began := time.Now()
			c.Leave()
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("left after %v", took)
			}
		})
	}
}
