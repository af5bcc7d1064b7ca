package registrar

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"itlagent/testbench/cluster/state"
	"itlagent/testbench/sip"
)

var start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// knows is a cluster that knows SEP000000000000 to SEP000000009999; those that end in 7
// must use TLS.
func knows(device string) (known, secured bool) {
	return strings.HasPrefix(device, "SEP00000000"), strings.HasSuffix(device, "7")
}

func newRegistrar() *Registrar {
	return New(Config{Known: knows, Now: func() time.Time { return start }})
}

func device(i int) string { return fmt.Sprintf("SEP%012d", i) }

// register registers a phone over a flow of its own.
func register(t *testing.T, r *Registrar, name, callID string, expires int, from Flow, transport string, now time.Time) (granted int, fresh bool) {
	t.Helper()
	granted, fresh, err := r.Register(&sip.Register{Device: name, User: "u", Host: "127.0.0.1:9", CallID: callID, Expires: expires}, from, "127.0.0.1:9", transport, now)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return granted, fresh
}

func registered(r *Registrar) (n int) {
	for _, p := range r.Phones("pub") {
		if p.Registered {
			n++
		}
	}
	return n
}

// A registration begins, is refreshed, and ends as RFC 3261 has it: at Expires 0, when
// its time is over, and when its connection is gone.
func TestRegistration(t *testing.T) {
	r := newRegistrar()
	if granted, fresh := register(t, r, device(1), "a", 3600, "c1", "TCP", start); granted != DefaultExpires || !fresh {
		t.Errorf("granted %d, new %v; want %d, true", granted, fresh, DefaultExpires)
	}
	if granted, fresh := register(t, r, device(1), "a", 60, "c1", "TCP", start.Add(time.Minute)); granted != 60 || fresh {
		t.Errorf("a refresh: granted %d, new %v; want 60, false", granted, fresh)
	}
	register(t, r, device(2), "b", 0, "c2", "TCP", start) // keep-alive of somebody registered elsewhere
	if n := registered(r); n != 1 {
		t.Errorf("%d registered, want 1", n)
	}
	register(t, r, device(1), "a", 0, "c2", "TCP", start) // over a stranger's connection
	if n := registered(r); n != 1 {
		t.Errorf("%d registered after another connection's Expires 0, want 1", n)
	}
	register(t, r, device(1), "a", 0, "c1", "TCP", start)
	if n := registered(r); n != 0 {
		t.Errorf("%d registered after Expires 0, want none", n)
	}
	register(t, r, device(1), "c", 120, "c1", "TCP", start)
	r.Tick(start.Add(2*time.Minute + grace))
	if n := registered(r); n != 1 {
		t.Errorf("%d registered within the grace, want 1", n)
	}
	r.Tick(start.Add(2*time.Minute + grace + 1))
	if n := registered(r); n != 0 {
		t.Errorf("%d registered after their time, want none", n)
	}
	register(t, r, device(1), "d", 120, "c1", "TCP", start)
	if r.Gone("c1"); registered(r) != 0 || r.Holds("c1") {
		t.Error("registered over a connection that is gone")
	}
	if p := r.Phones("pub"); len(p) != 1 || p[0].Serial != 3 || p[0].Node != "pub" {
		t.Errorf("remembered: %+v, want one phone with its third registration", p)
	}
}

// Strangers are refused, and secured phones without TLS.
func TestRefusals(t *testing.T) {
	r := newRegistrar()
	for _, test := range []struct {
		device, transport string
		want              error
	}{
		{"SEP64A0E71502CC", "TCP", ErrUnknown},
		{device(7), "TCP", ErrInsecure},
		{device(7), "UDP", ErrInsecure},
		{device(7), "TLS", nil},
		{device(8), "UDP", nil},
	} {
		_, _, err := r.Register(&sip.Register{Device: test.device, CallID: "a", Expires: 60}, test.device, "", test.transport, start)
		if !errors.Is(err, test.want) || err != nil && test.want == nil {
			t.Errorf("%s by %s: %v, want %v", test.device, test.transport, err, test.want)
		}
	}
	if n := len(r.Phones("")); n != 2 {
		t.Errorf("%d phones are remembered, want 2", n)
	}
}

// A phone that comes back over another connection takes its old one's place, and the old
// connection is known to be nobody's.
func TestComesBack(t *testing.T) {
	r := newRegistrar()
	register(t, r, device(1), "a", 60, "old", "TCP", start)
	if _, fresh := register(t, r, device(1), "a", 60, "new", "TCP", start); !fresh {
		t.Error("a registration over another connection is not new")
	}
	if lost := r.Lost(); len(lost) != 1 || lost[0] != "old" {
		t.Errorf("lost %v, want the old connection", lost)
	}
	if r.Gone("old"); registered(r) != 1 {
		t.Error("the end of the old connection ends the new registration")
	}
}

func tell(r *Registrar, o state.Order) {
	r.Reset(o, "Cisco-CUCM10.0", func(string) string { return "127.0.0.1:5060" })
}

// Phones are told in waves: at most the rate of them in any second, each once, and all in
// the end.
func TestWaves(t *testing.T) {
	r := newRegistrar()
	const phones, rate = 1000, 40
	told := make(map[Flow]int)
	for i := range phones {
		if i%10 == 3 {
			registerSCCP(t, r, device(i), i, start)
			continue
		}
		transport := "TCP"
		if i%10 == 7 {
			transport = "TLS"
		}
		register(t, r, device(i), "a", 120, i, transport, start)
	}
	tell(r, state.Order{Action: "reset", Rate: rate})
	tell(r, state.Order{Action: "reset", Rate: rate}) // they wait already
	now, seconds, second := start, 0, 0
	for r.Waiting() > 0 {
		n := 0
		for range 10 {
			for _, m := range r.Tick(now) {
				told[m.To]++
				n++
			}
			now = now.Add(100 * time.Millisecond)
		}
		if seconds++; n > 2*rate || seconds > 1 && n > rate+1 {
			t.Fatalf("second %d: %d phones were told, the rate is %d", seconds, n, rate)
		}
		if second = n; seconds > phones {
			t.Fatal("it does not end")
		}
	}
	if len(told) != phones || second == 0 {
		t.Errorf("%d phones were told, want %d", len(told), phones)
	}
	for to, n := range told {
		if n != 1 {
			t.Errorf("phone %v was told %d times", to, n)
		}
	}
	t.Logf("%d phones at %d a second: %d seconds", phones, rate, seconds)
}

// An answer counts from the phone that was told, and once; by UDP the NOTIFY is sent again
// until there is one, some times.
func TestAnswers(t *testing.T) {
	r := newRegistrar()
	register(t, r, device(1), "call-1", 120, "c1", "TCP", start)
	register(t, r, device(2), "call-2", 120, "c2", "UDP", start)
	tell(r, state.Order{Action: "restart"})
	sent := r.Tick(start)
	if len(sent) != 2 {
		t.Fatalf("%d messages, want 2", len(sent))
	}
	ids := make(map[Flow]string)
	for _, m := range sent {
		head, body, _ := strings.Cut(string(m.Bytes), "\r\n\r\n")
		_, id, _ := strings.Cut(head, "Call-ID: ")
		ids[m.To], _, _ = strings.Cut(id, "\r\n")
		want := map[Flow]string{"c1": "{call-1}", "c2": "{call-2}"}[m.To]
		if !strings.HasPrefix(body, "action=restart\r\nRegisterCallId="+want+"\r\n") {
			t.Errorf("%v is told %q", m.To, body)
		}
	}
	if r.Answered(&sip.Answer{Code: 400, CallID: ids["c1"]}, "c2", start) != "" {
		t.Error("another phone's answer counts")
	}
	if refuses := r.Answered(&sip.Answer{Code: 400, CallID: ids["c1"]}, "c1", start); refuses != device(1) {
		t.Errorf("refused by %q, want %s", refuses, device(1))
	}
	again := 0
	for i := range 100 {
		for _, m := range r.Tick(start.Add(time.Duration(i) * time.Second)) {
			if m.To != "c2" {
				t.Fatalf("sent again to %v", m.To)
			}
			again++
		}
	}
	if again != maxTries-1 {
		t.Errorf("sent %d times more by UDP, want %d", again, maxTries-1)
	}
	if p := r.Phones(""); p[0].Asked != "refused" || p[1].Asked != "told" {
		t.Errorf("asked: %q and %q, want refused and told", p[0].Asked, p[1].Asked)
	}
}
