package register_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/register"
	"itlagent/agent/register/registertest"
	"itlagent/agent/sip"
)

// Whatever a call manager answers, the phone says why it is not registered there, and is
// with the next one.
func TestBadAnswers(t *testing.T) {
	head := func(r *sip.Message, more string) []byte {
		return []byte("SIP/2.0 200 OK\r\nCall-ID: " + r.Get("call-id") + "\r\nCSeq: " + r.Get("cseq") + "\r\n" + more)
	}
	expires := func(text string) func(*sip.Message) []byte {
		return func(r *sip.Message) []byte { return head(r, "Expires: "+text+"\r\nContent-Length: 0\r\n\r\n") }
	}
	for name, test := range map[string]struct {
		answer func(r *sip.Message) []byte
		want   string // in the log
	}{
		"none":            {func(*sip.Message) []byte { return nil }, "no answer"},
		"half":            {func(r *sip.Message) []byte { return head(r, "Expires: 12") }, "i/o timeout"},
		"half a body":     {func(r *sip.Message) []byte { return head(r, "Content-Length: 100\r\n\r\nx") }, "body: read pipe: i/o timeout"},
		"endless headers": {func(r *sip.Message) []byte { return head(r, strings.Repeat("X: y\r\n", 100_000)) }, "more than 64 header lines"},
		"an endless line": {func(r *sip.Message) []byte { return head(r, "X: "+strings.Repeat("y", 1<<20)) }, "header line of more than 4096 bytes"},
		"long lines":      {func(r *sip.Message) []byte { return head(r, strings.Repeat("X: "+strings.Repeat("y", 4000)+"\r\n", 3)) }, "more than 8192 bytes"},
		"an endless body": {func(r *sip.Message) []byte { return head(r, "Content-Length: 4294967295\r\n\r\n") }, "body of "},
		"two lengths":     {func(r *sip.Message) []byte { return head(r, "Content-Length: 0\r\nl: 5\r\n\r\n") }, "body of 0 and of 5"},
		"another call's": {func(r *sip.Message) []byte {
			return bytes.ReplaceAll(expires("120")(r), []byte(r.Get("call-id")), []byte("x@y"))
		}, "no answer"},
		"another request's": {func(r *sip.Message) []byte {
			return bytes.ReplaceAll(expires("120")(r), []byte("101 REG"), []byte("100 REG"))
		}, "no answer"},
		"100 for ever":        {func(r *sip.Message) []byte { return r.Answer("100 Trying", "") }, "no answer"},
		"garbage":             {func(*sip.Message) []byte { return []byte("\x00\x01garbage\r\n\r\n") }, "not a SIP message"},
		"a control character": {func(r *sip.Message) []byte { return head(r, "X: \x1b[2J\r\n\r\n") }, "control character"},
		"Expires 0":           {expires("0"), "accepted for 0 seconds"},
		"Expires -1":          {expires("-1"), `Expires "-1"`},
		"Expires a word":      {expires("soon"), `Expires "soon"`},
		"Contact's expires 0": {func(r *sip.Message) []byte { return head(r, "m: <sip:x>;Expires=0;q=1\r\nContent-Length: 0\r\n\r\n") }, "accepted for 0 seconds"},
		"401":                 {func(r *sip.Message) []byte { return r.Answer("401 Unauthorized", "1") }, "401 Unauthorized (the line has a password"},
		"403":                 {func(r *sip.Message) []byte { return r.Answer("403 \x1b[2JForbidden", "1") }, `403 \x1b[2JForbidden`},
		"302": {func(r *sip.Message) []byte {
			return r.Answer("302 Moved", "1", sip.Field{Name: "Contact", Value: "<sip:192.0.2.3>"})
		}, "302 Moved"},
		"a request, not 200": {func(r *sip.Message) []byte {
			return registertest.Request(1, "NOTIFY", "service-control", "action=reset\r\nRegisterCallId={"+r.Get("call-id")+"}\r\n")
		}, "not registered there"},
		"an order before 403": {func(r *sip.Message) []byte {
			return append(registertest.Request(1, "NOTIFY", "service-control", "action=reset\r\nRegisterCallId={"+r.Get("call-id")+"}\r\n"), r.Answer("403 Forbidden", "1")...)
		}, "not registered there"},
		"an order behind 403": {func(r *sip.Message) []byte {
			return append(r.Answer("403 Forbidden", "1"), registertest.Request(1, "NOTIFY", "service-control", "action=reset\r\nRegisterCallId={"+r.Get("call-id")+"}\r\n")...)
		}, "403 Forbidden"},
		"an order behind none": {func(r *sip.Message) []byte {
			return registertest.Request(1, "NOTIFY", "service-control", "action=reset\r\n")
		}, "not registered there"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad, good := registertest.New(t), registertest.New(t)
				bad.Answer = test.answer
				var log strings.Builder
				conf := config(t, bad, good)
				note := func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }
				conf.Log.Notice, conf.Log.Debug = note, note
				c := register.New(conf)
				c.Register([]sip.Server{server(1), server(2)}, "", register.Initialized)
				first(good)
				synctest.Wait()
				if s := c.State(); s.Server != server(2).Address {
					t.Errorf("%+v", s)
				}
				if len(c.Orders()) != 0 {
					t.Errorf("an order of a call manager that does not have the phone: %v", <-c.Orders())
				}
				c.Leave()
				if !strings.Contains(log.String(), test.want) || strings.ContainsAny(log.String(), "\x1b") {
					t.Errorf("log without %q:\n%s", test.want, &log)
				}
			})
		})
	}
}

// What is granted is used as far as it can be: a second is a second, and more than was asked
// for is what was asked for.
func TestGranted(t *testing.T) {
	for text, want := range map[string]time.Duration{"1": time.Second, "120": 2 * time.Minute, "4294967296": time.Hour, "99999999999999999999": time.Hour, "": time.Hour, "3601": time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			m := registertest.New(t)
			m.Answer = func(r *sip.Message) []byte {
				var more []sip.Field
				if text != "" {
					more = append(more, sip.Field{Name: "Expires", Value: text})
				}
				return r.Answer("200 OK", "1", more...)
			}
			c := client(t, m)
			began := time.Now()
			c.Register([]sip.Server{server(1)}, "", register.Initialized)
			first(m)
			synctest.Wait()
			if s := c.State(); s.Granted != want {
				t.Errorf("%q: %v, want %v", text, s.Granted, want)
			}
			first(m)
			if took := time.Since(began); took < want/2 || took >= want {
				t.Errorf("%q: refreshed after %v", text, took)
			}
			c.Leave()
		})
	}
}

// A refresh that is refused, or not answered, makes the phone register again, and say so.
func TestRefreshFails(t *testing.T) {
	for want, answer := range map[string]func(r *sip.Message) []byte{
		"phone-reg-rej": func(r *sip.Message) []byte { return r.Answer("404 Not Found", "1") },
		"keepaliveto":   func(*sip.Message) []byte { return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			m := registertest.New(t)
			m.Answer = func(r *sip.Message) []byte {
				if r.Get("cseq") == "102 REGISTER" {
					return answer(r)
				}
				return registertest.Accept(r, 120)
			}
			c := client(t, m)
			c.Register([]sip.Server{server(1)}, "", register.Initialized)
			id := first(m).Get("call-id")
			first(m)
			if again := first(m); !strings.Contains(again.Get("reason"), "Last="+want) || again.Get("call-id") == id {
				t.Errorf("%s: %v", want, again.Fields)
			}
			c.Leave()
		})
	}
}

// An order may follow right behind the answer that accepts the phone.
func TestOrderBehindAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		m.Answer = func(r *sip.Message) []byte {
			return append(registertest.Accept(r, 120), registertest.Request(1, "NOTIFY", "service-control", "action=reset\r\nRegisterCallId={"+r.Get("call-id")+"}\r\n")...)
		}
		c := client(t, m)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		if o := <-c.Orders(); o.Action != register.Reset {
			t.Error(o.Action)
		}
		c.Leave()
	})
}

// A back-up, and a connection that asks for a token, give no orders.
func TestOrdersOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := registertest.New(t), registertest.New(t)
		var active string
		a.Answer = func(r *sip.Message) []byte { active = r.Get("call-id"); return registertest.Accept(r, 120) }
		b.Answer = func(r *sip.Message) []byte {
			return append(registertest.Accept(r, 0), registertest.Request(1, "NOTIFY", "service-control", "action=reset\r\nRegisterCallId={"+active+"}\r\n")...)
		}
		c := client(t, a, b)
		c.Register([]sip.Server{server(1), server(2)}, "", register.Initialized)
		b.Next("REGISTER")
		synctest.Wait()
		if s := c.State(); len(c.Orders()) != 0 || s.Refused != 1 || s.Server != server(1).Address {
			t.Errorf("%d orders, %+v", len(c.Orders()), s)
		}
		c.Leave()
	})
}

// A peer that sends without end is held to the memory of a message and to the pace of its
// answers; the phone stays up.
func TestMemory(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := registertest.New(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			accepted <- conn
			m.Serve(conn)
		}
	}()
	conf := config(t)
	conf.Dial = new(net.Dialer).DialContext
	refused := 0
	conf.Log.Notice, conf.Log.Debug = func(string, ...any) { refused++ }, nil
	c := register.New(conf)
	c.Register([]sip.Server{{Address: l.Addr().String(), Transport: sip.TCP}}, "", register.Initialized)
	first(m)
	conn := <-accepted
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	order := registertest.Request(1, "NOTIFY", "service-control", "action=explode\r\n"+strings.Repeat("x", 8000)+"\r\n")
	const many = 10_000
	go func() {
		for i := range many {
			if _, err := conn.Write(bytes.Replace(order, []byte("1-notify"), fmt.Appendf(nil, "%d-notify", i), 1)); err != nil {
				return
			}
		}
	}()
	for n := 0; n < many; n++ {
		if a := m.Answered(); a.Code != 400 {
			t.Fatalf("%d: %d", n, a.Code)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d orders of %d bytes leave %d bytes", many, len(order), grown)
	}
	if s := c.State(); s.Server == "" || s.Refused != many || refused > 10 {
		t.Errorf("%+v, %d notices", s, refused)
	}
	c.Leave()
}

// Any bytes are read, or refused, within the limits; what is read is answered in the form
// of SIP.
func FuzzOrder(f *testing.F) {
	f.Add([]byte("action=reset\r\nRegisterCallId={c80084aa-87430001-1-2@192.0.2.104}\r\nConfigVersionStamp={0}\r\n"))
	f.Add([]byte("action=apply-config\nregistercallid={{}}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := register.ReadOrder(body)
		if err == nil && o.Action > register.Report || len(o.CallID)+len(o.Config) > len(body) {
			t.Fatalf("%+v, %v", o, err)
		}
		if err == nil && !strings.Contains(strings.ToLower(string(body)), o.Action.String()) {
			t.Fatalf("%v is not in the order", o.Action)
		}
	})
}

// Stale configurations are those without a stamp, with another, or all of them.
func TestStale(t *testing.T) {
	for _, test := range []struct {
		order, held string
		want        bool
	}{
		{"0106514225374329", "{0106514225374329}", false}, {"5EC8B9C4-0001", "5ec8b9c4-0001", false}, {"0106514225374329", "0106514225374328", true},
		{"0000000000000000", "0000000000000000", true}, {"00000000-0000-0000-0000-000000000000", "x", true}, {"", "x", true}, {"x", "", true}, {"x", "{}", true},
	} {
		if got := (register.Order{Config: test.order}).Stale(test.held); got != test.want {
			t.Errorf("%q, held %q: %v", test.order, test.held, got)
		}
	}
}
