package registrar

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"itlagent/agent/sccp"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip"
)

// registerSCCP registers a phone by SCCP over a flow of its own.
func registerSCCP(t *testing.T, r *Registrar, name string, from Flow, now time.Time) {
	t.Helper()
	every, err := r.RegisterSCCP(&sccp.Register{Device: name, Type: 436}, "Reset-Reset", from, "127.0.0.1:9", strings.HasSuffix(name, "7"), now)
	if err != nil || every != KeepAlive*time.Second {
		t.Fatalf("%s: %v, %v", name, every, err)
	}
}

// A registration by SCCP goes on as long as the phone is heard of, is the only one over its
// flow, and is refused as one by SIP is.
func TestSCCP(t *testing.T) {
	r := newRegistrar()
	registerSCCP(t, r, device(1), "c1", start)
	now := start
	for range 10 {
		now = now.Add(keepAlives * KeepAlive * time.Second)
		r.Heard("c1", now)
		r.Tick(now)
	}
	if p := r.Phones("pub"); registered(r) != 1 || p[0].Protocol != "SCCP" || p[0].Model != "436" || p[0].Last != "reset-reset" || p[0].Serial != 1 {
		t.Errorf("%+v", p)
	}
	if r.Tick(now.Add(keepAlives*KeepAlive*time.Second + 1)); registered(r) != 0 {
		t.Error("registered after its time")
	}
	registerSCCP(t, r, device(1), "c1", now)
	registerSCCP(t, r, device(2), "c1", now)
	if p := r.Phones(""); p[0].Registered || !p[1].Registered {
		t.Errorf("two phones over one connection: %+v", p)
	}
	if r.Left("c1"); registered(r) != 0 || r.Holds("c1") {
		t.Error("registered after its leave")
	}
	if _, err := r.RegisterSCCP(&sccp.Register{Device: "SEP1"}, "", "c2", "", true, now); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, err := r.RegisterSCCP(&sccp.Register{Device: device(7)}, "", "c2", "", false, now); !errors.Is(err, ErrInsecure) {
		t.Error(err)
	}
}

// callID is that of a NOTIFY.
func callID(m Message) string {
	_, id, _ := strings.Cut(string(m.Bytes), "Call-ID: ")
	id, _, _ = strings.Cut(id, "\r\n")
	return id
}

// A phone that answers 503 is told again when it has said, counted in the waves as any other,
// and is about to reset until then; one that goes on refusing has refused in the end.
func TestToldLater(t *testing.T) {
	for name, test := range map[string]struct{ says, wait time.Duration }{
		"in 10 seconds": {10 * time.Second, 10 * time.Second}, "it does not say": {0, retryTime}, "in a day": {24 * time.Hour, retryMost},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistrar()
			register(t, r, device(1), "call", 3600, "c1", "TCP", start)
			tell(r, state.Order{Action: "reset"})
			now, told := start, 0
			for try := range maxRefusals + 1 {
				sent := r.Tick(now)
				if len(sent) != 1 {
					t.Fatalf("try %d: %d messages", try, len(sent))
				}
				told++
				refuses := r.Answered(&sip.Answer{Code: 503, CallID: callID(sent[0]), RetryAfter: test.says}, "c1", now)
				p := r.Phones("")[0]
				if try == maxRefusals {
					if refuses != device(1) || p.Resetting || p.Asked != "refused" {
						t.Errorf("in the end: %q, %+v", refuses, p)
					}
					break
				}
				if refuses != "" || !p.Resetting || p.Asked != "later" || r.Waiting() != 1 {
					t.Fatalf("try %d: %q, %+v, %d wait", try, refuses, p, r.Waiting())
				}
				if early := r.Tick(now.Add(test.wait - 1)); len(early) != 0 {
					t.Fatalf("try %d: told again before its time", try)
				}
				now = now.Add(test.wait)
				register(t, r, device(1), "call", 3600, "c1", "TCP", now) // a refresh
			}
			if r.Tick(now.Add(time.Hour)); r.Waiting() != 0 {
				t.Error("it still waits")
			}
		})
	}
}

// A crowd that refuses comes back into the waves: no more in a second than the rate. An order
// that comes meanwhile is not told twice, and what does more is told; a phone that has come
// back by itself is told all the same.
func TestLaterWaves(t *testing.T) {
	r := newRegistrar()
	const phones, rate = 100, 20
	for i := range phones {
		register(t, r, "SEP00000000"+device(i)[11:], "call", 3600, i, "TLS", start)
	}
	tell(r, state.Order{Action: "check-version", Rate: phones})
	for _, m := range r.Tick(start) {
		r.Answered(&sip.Answer{Code: 503, CallID: callID(m), RetryAfter: 5 * time.Second}, m.To, start)
	}
	if r.Waiting() != phones {
		t.Fatalf("%d wait", r.Waiting())
	}
	tell(r, state.Order{Action: "reset", Rate: rate})
	if r.Waiting() != phones {
		t.Fatalf("%d wait after one more order", r.Waiting())
	}
	register(t, r, "SEP00000000"+device(0)[11:], "another", 3600, 0, "TCP", start)
	if p := r.Phones("")[0]; !p.Resetting {
		t.Errorf("%+v", p)
	}
	told, now := make(map[Flow]bool), start.Add(5*time.Second)
	for second := range phones / rate {
		n := 0
		for range 10 {
			for _, m := range r.Tick(now) {
				if told[m.To] = true; !bytes.Contains(m.Bytes, []byte("action=reset\r\n")) {
					t.Fatalf("%q", m.Bytes)
				}
				n++
			}
			now = now.Add(100 * time.Millisecond)
		}
		if n > 2*rate || second > 0 && n > rate+1 {
			t.Fatalf("second %d: %d were told, the rate is %d", second, n, rate)
		}
	}
	if len(told) != phones {
		t.Errorf("%d were told, want %d", len(told), phones)
	}
}

// By SCCP nobody answers: a phone that stays is told again, and given up in the end.
func TestStaysBySCCP(t *testing.T) {
	r := newRegistrar()
	registerSCCP(t, r, device(1), "c1", start)
	registerSCCP(t, r, device(2), "c2", start)
	tell(r, state.Order{Action: "restart"})
	told := map[Flow]int{}
	for i := range 300 {
		now := start.Add(time.Duration(i) * time.Second)
		r.Heard("c1", now)
		for _, m := range r.Tick(now) {
			if want := sccp.Order(sccp.Restart).Bytes(); !bytes.Equal(m.Bytes, want) {
				t.Fatalf("told %x", m.Bytes)
			}
			if told[m.To]++; m.To == "c2" {
				r.Left("c2")
				registerSCCP(t, r, device(2), "c2", now)
			}
		}
		if i == 100 && !r.Phones("")[0].Resetting {
			t.Error("a phone that stays is not about to reset")
		}
	}
	if told["c1"] != maxRefusals+1 || told["c2"] != 1 || r.Phones("")[0].Resetting {
		t.Errorf("told %v, %+v", told, r.Phones("")[0])
	}
}

// What a phone is told has the version of its configuration.
func TestStamp(t *testing.T) {
	r := New(Config{Known: knows, Now: func() time.Time { return start }, Stamp: func(device string) string { return "of-" + device }})
	register(t, r, device(1), "call", 3600, "c1", "TCP", start)
	tell(r, state.Order{Action: "check-version"})
	if m := r.Tick(start); len(m) != 1 || !bytes.Contains(m[0].Bytes, []byte("ConfigVersionStamp={of-"+device(1)+"}\r\n")) {
		t.Errorf("%q", m)
	}
}
