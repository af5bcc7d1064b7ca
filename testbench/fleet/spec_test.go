package fleet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func valid() Spec {
	return Spec{First: "00-11-22-00-00-00", Count: 3, Models: []string{"CP-7965G", "CP-8861"}, Servers: []string{"192.0.2.1", "192.0.2.2:6970"}, AtOnce: 1, Interval: time.Minute}
}

// What cannot be run is refused with a line that says why.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(*Spec) {}, ""},
		{func(s *Spec) { s.Count = 0 }, "0 phones: 1 to 1000000"},
		{func(s *Spec) { s.Count = -1 }, "-1 phones"},
		{func(s *Spec) { s.Count = MaxCount }, ""},
		{func(s *Spec) { s.Count = MaxCount + 1 }, "1000001 phones"},
		{func(s *Spec) { s.First = "FFFFFFFFFFFD" }, ""},
		{func(s *Spec) { s.First = "FFFFFFFFFFFE" }, "no 2 behind it"},
		{func(s *Spec) { s.First = "0011220000" }, "12 hex digits"},
		{func(s *Spec) { s.First = "\x1b[2J" }, "12 hex digits"},
		{func(s *Spec) { s.AtOnce = 0 }, "0 boot cycles at once"},
		{func(s *Spec) { s.AtOnce = MaxAtOnce + 1 }, "4097 boot cycles"},
		{func(s *Spec) { s.Models = nil }, "0 models"},
		{func(s *Spec) { s.Models = []string{"7965"} }, "model"},
		{func(s *Spec) { s.Servers = nil }, "0 TFTP servers"},
		{func(s *Spec) { s.Servers = []string{"a b"} }, "invalid TFTP server"},
		{func(s *Spec) { s.Servers = []string{""} }, "invalid TFTP server"},
		{func(s *Spec) { s.MICs = 65 }, "65 certificates"},
		{func(s *Spec) { s.Ramp = -1 }, "not between"},
		{func(s *Spec) { s.Interval = time.Second - 1 }, "at least 1s"},
		{func(s *Spec) { s.Source = "127.0.0.0/8" }, ""},
		{func(s *Spec) { s.Source = "127.0.0.0" }, "not like 127.0.0.0/8"},
		{func(s *Spec) { s.Source = "::1/128" }, "not like 127.0.0.0/8"},
	} {
		s := valid()
		c.change(&s)
		err := s.Check()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b\n")) {
			t.Errorf("%+v: %v, want %q", s, err, c.want)
		}
	}
}

func TestPhoneOfASpec(t *testing.T) {
	s := valid()
	s.First = "0011220000FE"
	if got := []string{s.MAC(0), s.MAC(2), s.Model(2), strings.Join(s.servers(1), " ")}; strings.Join(got, ",") != "0011220000FE,001122000100,CP-7965G,192.0.2.2:6970 192.0.2.1" {
		t.Errorf("%q", got)
	}
	s.Ramp, s.Jitter, s.Seed = 30*time.Second, time.Second, 7
	for i := range s.Count {
		least := time.Duration(i) * 10 * time.Second
		if at := s.start(i); at < least || at >= least+s.Jitter || at != s.start(i) {
			t.Errorf("phone %d starts after %v", i, at)
		}
	}
	if a, b := s.start(1), func() time.Duration { s.Seed = 8; return s.start(1) }(); a == b {
		t.Error("the seed makes no difference")
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		prefix string
		phone  int
		want   string
	}{
		{"127.0.0.0/8", 0, "127.0.0.1"}, {"127.0.0.0/8", 255, "127.0.1.0"}, {"127.0.0.0/8", 1<<24 - 3, "127.255.255.254"},
		{"127.0.0.0/8", 1<<24 - 2, "127.0.0.1"}, {"127.9.0.0/24", 253, "127.9.0.254"}, {"127.9.0.0/24", 254, "127.9.0.1"},
		{"127.0.0.5/32", 9, "127.0.0.5"}, {"127.0.0.4/31", 3, "127.0.0.5"}, {"0.0.0.0/0", 0, "0.0.0.1"},
	} {
		p, err := source(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		if got := address(p, c.phone); got.String() != c.want {
			t.Errorf("phone %d of %s: %v, want %s", c.phone, c.prefix, got, c.want)
		}
	}
}

func TestExpectations(t *testing.T) {
	s := Summary{Phones: 1000, Trusted: 999, Locked: 1, Reasons: map[string]int{"unknown-signer": 1}}
	for text, met := range map[string]bool{
		"trusted=100%": false, "trusted>=99.9%": true, "trusted=999": true, "locked<=1": true, "locked=0": false,
		"unknown-signer=1": true, "tvs-untrusted=0": true, "registered>=1": false, "wrong=0": false,
	} {
		e, err := ParseExpectation(text)
		if err != nil || (e.Met(&s) == nil) != met {
			t.Errorf("%s: %v, %v", text, err, e.Met(&s))
		}
	}
	for _, text := range []string{"", "trusted", "trusted=", "trusted=101%", "accepted=1", "fine=1", "trusted=-1", "trusted==1", "locked<1", "trusted=1e9", "x\x1b=1"} {
		if e, err := ParseExpectation(text); err == nil || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q: %v, %v", text, e, err)
		}
	}
}

// Connections beside the first are had as long as descriptors are left; those of boot
// cycles are not among them. What was closed is free again.
func TestBackups(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all := new(connections)
	if err := all.budget(100, 1, 1, 100+spareFiles+bootFiles+1); err != nil || all.most != 1 {
		t.Fatalf("%d back-ups, %v", all.most, err)
	}
	if err := all.budget(100, 1, 1, 100+spareFiles+bootFiles-1); !errors.Is(err, ErrFiles) {
		t.Errorf("one descriptor too few: %v", err)
	}
	all.most = 1
	var booting atomic.Bool
	a, b := newLink(all, netip.Addr{}, &booting), newLink(all, netip.MustParseAddr("127.0.0.9"), &booting)
	dial := func(l2 *link) (net.Conn, error) { return l2.dial(context.Background(), "tcp", l.Addr().String()) }
	var open []net.Conn
	for i, from := range []*link{a, a, b} {
		c, err := dial(from)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if host, _, _ := net.SplitHostPort(open[2].LocalAddr().String()); host != "127.0.0.9" {
		t.Errorf("a phone connects from %s", host)
	}
	if _, err := dial(b); !errors.Is(err, errBackup) {
		t.Errorf("a back-up too many: %v", err)
	}
	booting.Store(true)
	if c, err := dial(b); err != nil {
		t.Errorf("a boot cycle: %v", err)
	} else {
		c.Close()
	}
	booting.Store(false)
	open[1].Close()
	open[1].Close()
	if c, err := dial(b); err != nil {
		t.Errorf("after a back-up was closed: %v", err)
	} else {
		c.Close()
	}
}

func TestSharedStore(t *testing.T) {
	s := new(shared)
	if _, err := s.Get("itl"); err == nil {
		t.Error("an empty store has an ITL")
	}
	s.Put("itl", []byte("list"))
	got, err := s.Get("itl")
	if err != nil || string(got) != "list" {
		t.Fatalf("%q, %v", got, err)
	}
	got[0] = 'x'
	if again, _ := s.Get("itl"); string(again) != "list" {
		t.Errorf("the store was changed from outside: %q", again)
	}
	if v := s.Values(); len(v) != 1 || string(v["itl"]) != "list" {
		t.Errorf("%v", v)
	}
	s.Delete("itl")
	if _, err := s.Get("itl"); err == nil {
		t.Error("it was deleted")
	}
}
