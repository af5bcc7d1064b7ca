package register_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/register"
	"itlagent/agent/register/registertest"
	"itlagent/agent/sip"
)

// first returns the next REGISTER that asks to stay.
func first(m *registertest.Manager) *sip.Message {
	for {
		if r := m.Next("REGISTER"); r.Get("expires") != "0" {
			return r
		}
	}
}

// A phone fails over in the order of priority, keeps its back-up alive with a REGISTER for
// no time, and comes back with a token to the first that answers again.
func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := registertest.New(t), registertest.New(t), registertest.New(t)
		phone := client(t, a, b, c)
		phone.Register([]sip.Server{server(1), server(2), server(3)}, "", register.Initialized)
		first(a)
		keepAlive := b.Next("REGISTER")
		if keepAlive.Get("expires") != "0" || keepAlive.Get("reason") != "" || len(keepAlive.Body) != 0 {
			t.Errorf("keep-alive %v", keepAlive.Fields)
		}
		synctest.Wait()
		if s := phone.State(); s.Server != server(1).Address || s.Standby != server(2).Address || c.Conns() != 0 {
			t.Errorf("%+v, %d connections to the third", s, c.Conns())
		}
		began := time.Now()
		if again := b.Next("REGISTER"); again.Get("call-id") != keepAlive.Get("call-id") || again.Get("cseq") != "102 REGISTER" || time.Since(began) > 3*time.Minute {
			t.Errorf("the next keep-alive after %v: %v", time.Since(began), again.Fields)
		}

		b.Down()
		a.Down()
		if r := first(c); !strings.Contains(r.Get("reason"), "cisco-alarm:15 ") || !strings.Contains(r.Get("reason"), "Last=cm-closed-tcp") {
			t.Errorf("with the third: %v", r.Fields)
		}
		synctest.Wait()
		if s := phone.State(); s.Server != server(3).Address || s.Standby != "" {
			t.Errorf("%+v", s)
		}
		began = time.Now()
		b.Up()
		token := b.Next("REFER")
		if token.Get("refer-to") != "<urn:X-cisco-remotecc:token-registration>" || time.Since(began) > 30*time.Second {
			t.Errorf("after %v: %v", time.Since(began), token.Fields)
		}
		if r := first(b); !strings.Contains(r.Get("reason"), "cisco-alarm:18 ") {
			t.Errorf("back with the second: %v", r.Fields)
		}
		if last := c.Next("REGISTER"); last.Get("expires") == "0" && last.Get("cseq") == "101 REGISTER" {
			t.Errorf("the third was only kept alive: %v", last.Fields)
		}
		a.Up()
		a.Next("REFER")
		first(a)
		synctest.Wait()
		if s := phone.State(); s.Server != server(1).Address || s.Cause != register.Failback {
			t.Errorf("%+v", s)
		}
		phone.Leave()
	})
}

// A call manager in trouble, or that wants to be asked later, keeps its phones away; one
// that does not know the question has them back.
func TestToken(t *testing.T) {
	for code, back := range map[string]bool{"202 Accepted": true, "200 OK": true, "405 Method Not Allowed": true, "501 Not Implemented": true, "503 Service Unavailable": false, "500 Error": false, "603 Decline": false} {
		synctest.Test(t, func(t *testing.T) {
			a, b := registertest.New(t), registertest.New(t)
			a.Answer = func(m *sip.Message) []byte {
				if m.Method == "REFER" {
					return m.Answer(code, "1")
				}
				return registertest.Accept(m, 120)
			}
			a.Down()
			phone := client(t, a, b)
			phone.Register([]sip.Server{server(1), server(2)}, "", register.Initialized)
			first(b)
			a.Up()
			time.Sleep(time.Minute)
			synctest.Wait()
			if s := phone.State(); (s.Server == server(1).Address) != back || s.Server == "" {
				t.Errorf("%s: %+v", code, s)
			}
			phone.Leave()
		})
	}
}

// While no call manager accepts the phone the pauses grow to a minute, and somebody in a
// hurry, or a call manager's Retry-After, changes one of them.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tried []time.Duration
		began := time.Now()
		conf := config(t)
		conf.Rand = half{}
		conf.Dial = func(context.Context, string, string) (net.Conn, error) {
			tried = append(tried, time.Since(began).Round(time.Second))
			return nil, registertest.ErrDown
		}
		c := register.New(conf)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		want := []time.Duration{0, 5, 15, 35, 75, 135, 195}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(tried, want) {
			t.Errorf("tried after %v, want %v", tried, want)
		}
		if s := c.State(); s.Failure == nil || !strings.Contains(s.Failure.Error(), server(1).Address+": connection refused") {
			t.Errorf("%+v", s)
		}
		c.Register([]sip.Server{server(1)}, "", register.PhoneKeypad)
		synctest.Wait()
		if len(tried) != len(want)+1 {
			t.Errorf("somebody in a hurry waits: %v", tried)
		}
		c.Leave()
		c.Register(nil, "", register.Initialized)
		if s := c.State(); s.Failure != register.ErrNoManager {
			t.Errorf("%+v", s)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		m.Answer = func(r *sip.Message) []byte {
			return r.Answer("503 Service Unavailable", "1", sip.Field{Name: "Retry-After", Value: "200 (busy)"})
		}
		c := client(t, m)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		time.Sleep(140 * time.Second) // three quarters of it, and no more of them, go at least
		if n := len(m.Methods()); n != 1 {
			t.Errorf("%d tries before Retry-After is over", n)
		}
		c.Leave()
	})
}

// half gives the byte in the middle, so that pauses are not spread.
type half struct{}

func (half) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 0x7f
	}
	return len(b), nil
}

// A call manager that accepts phones and hangs up is not asked again at once.
func TestHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registertest.New(t)
		c := client(t, m)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		for range 40 {
			first(m)
			synctest.Wait()
			m.Down()
			m.Up()
			time.Sleep(2 * time.Second)
			if m.Waiting() > 2 {
				t.Fatalf("%d requests in 2 s", m.Waiting())
			}
		}
		c.Leave()
	})
}

// Other call managers in a configuration make the phone leave the old ones.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := registertest.New(t), registertest.New(t)
		c := client(t, a, b)
		c.Register([]sip.Server{server(1)}, "", register.Initialized)
		first(a)
		synctest.Wait()
		c.Register([]sip.Server{server(2)}, "", register.ResetRestart)
		if last := a.Next("REGISTER"); last.Get("expires") != "0" {
			t.Errorf("%v", last.Fields)
		}
		if r := first(b); !strings.Contains(r.Get("reason"), "Last=reset-restart") {
			t.Errorf("%v", r.Fields)
		}
		c.Leave()
	})
}
