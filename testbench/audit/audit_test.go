package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trust"
	"itlagent/testbench/audit"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
)

// site is a cluster that has served several lists, and another one.
func site(t *testing.T) lockout.World {
	t.Helper()
	var w lockout.World
	for i, name := range []string{"note", "10.5"} {
		p, err := profile.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		p.Name, p.Installed = name, profile.Note().Installed
		for n := range p.Nodes {
			p.Nodes[n].Host = fmt.Sprintf("127.0.%d.%d", 60+i, n+1)
		}
		c, err := cluster.New(p, cluster.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		w = append(w, c)
	}
	for _, u := range []profile.Unit{profile.CallManager, profile.TVS} {
		if err := w[0].Apply(operation.Advance(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, n := range w[0].Nodes() {
			if u == profile.TVS || n.IsPublisher() {
				if err := w[0].Apply(operation.Regenerate(n.Name(), u)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, n := range w[0].Nodes() {
			if err := errors.Join(w[0].Apply(operation.RestartTVS(n.Name())), w[0].Apply(operation.RestartTFTP(n.Name()))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

// kind is one kind of phone, and what an audit must say of it.
type kind struct {
	itl    string // as phones report it; "" reports nothing that counts
	status audit.Status
	want   trust.Reason
	remedy string
	judged bool
}

func kinds(w lockout.World) (all []kind) {
	for _, s := range w[0].State().Lists() {
		k := kind{itl: s.SHA1, status: audit.Stale, judged: true}
		if s.Until.IsZero() {
			k.status = audit.Current
		}
		all = append(all, k)
	}
	all = append(all, kind{itl: w[1].State().Lists()[0].SHA1, status: audit.Foreign, judged: true},
		kind{itl: strings.Repeat("5A ", 20), status: audit.Foreign},
		kind{itl: "Not Installed", status: audit.None, judged: true})
	// What becomes of each is known from a phone on paper that holds it.
	for i := range all {
		if !all[i].judged {
			continue
		}
		hash, err := evidence.ParseHash(all[i].itl)
		if err != nil {
			panic(err)
		}
		p, _, err := evidence.Recall(w, "001122334455", hash, "")
		if err != nil {
			panic(err)
		}
		e, err := lockout.Explain(context.Background(), w, p, lockout.Hints{})
		if err != nil {
			panic(err)
		}
		all[i].want = e.Report.Reason()
		if len(e.Remedies) > 0 {
			all[i].remedy = e.Remedies[0].Name
		}
	}
	return all
}

// synthetic is a log of many phones, made as it is read: junk, other alarms, older
// reports, tags in any order.
type synthetic struct {
	r      *rand.Rand
	kinds  []kind
	phones int
	rounds int
	next   int
	buf    []byte
	bytes  int
}

func (s *synthetic) kindOf(phone int) kind { return s.kinds[phone%len(s.kinds)] }

func (s *synthetic) Read(p []byte) (int, error) {
	for len(s.buf) == 0 {
		if s.next == s.phones*s.rounds {
			return 0, io.EOF
		}
		phone, round := s.next%s.phones, s.next/s.phones
		s.next++
		k := s.kindOf(phone)
		if round < s.rounds-1 { // an older report, which must not count
			k = s.kinds[s.r.IntN(len(s.kinds))]
		}
		tags := []string{fmt.Sprintf("[DeviceName=SEP%012X]", phone+1), "[IPv4Address=10.0.0.1]", "[CTL_Signature=Not Installed]",
			"[ITL_Signature=" + k.itl + "]", "[StatusCode=3]", "[ClusterID=StandAloneCluster]"}
		s.r.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
		at := profile.Note().Installed.Add(time.Duration(round) * time.Hour)
		s.buf = fmt.Appendf(s.buf, "%d: pub: %s UTC: %%UC_CALLMANAGER-6-DeviceTLInfo: %%%s: Alarm of a phone\n", s.next, at.Format("Jan 02 2006 15:04:05.000"), strings.Join(tags, ""))
		switch s.r.IntN(20) {
		case 0:
			s.buf = append(s.buf, "\x00\xff\x80 junk [[[ ]]] DeviceTLInfo ]=[\n"...)
		case 1:
			s.buf = append(s.buf, "9: pub: Feb 26 2014 18:00:00 UTC: %UC_CALLMANAGER-3-EndPointUnregistered: %[DeviceName=SEP0000000000FF]: gone\n"...)
		}
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	s.bytes += n
	return n, nil
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A hundred thousand phones: each is told right, and memory does not grow with the
// length of the log.
func TestHundredThousandPhones(t *testing.T) {
	w := site(t)
	all := kinds(w)
	const phones = 100_000
	var grown [2]uint64
	for i, rounds := range []int{1, 3} {
		log := &synthetic{r: rand.New(rand.NewPCG(1, 1)), kinds: all, phones: phones, rounds: rounds}
		before := heap()
		a := evidence.New()
		begin := time.Now()
		if err := a.Read(log, nil); err != nil {
			t.Fatal(err)
		}
		read := time.Since(begin)
		grown[i] = heap() - before
		counts := make(map[audit.Status]int)
		n := 0
		for p, err := range audit.NewJudge(t.Context(), w).Phones(a) {
			if err != nil {
				t.Fatal(err)
			}
			if p.MAC.String() == w[0].State().Phones[0].MAC {
				if p.Status != audit.Unknown {
					t.Errorf("a phone that has not reported is %s", p.Status)
				}
				continue
			}
			k := log.kindOf(n)
			n++
			remedy := ""
			if p.Remedy != nil {
				remedy = p.Remedy.Name
			}
			if p.Status != k.status || p.Judged != k.judged || p.Verdict != k.want || remedy != k.remedy {
				t.Fatalf("phone %v: %s, judged %v, %v, %q; want %s, %v, %v, %q", p.MAC, p.Status, p.Judged, p.Verdict, remedy, k.status, k.judged, k.want, k.remedy)
			}
			counts[p.Status]++
		}
		if n != phones {
			t.Errorf("%d phones, want %d", n, phones)
		}
		t.Logf("%d phones, %d lines, %d MB: read in %v, told after %v; %d bytes a phone; %v", phones, a.Lines, log.bytes>>20, read, time.Since(begin), grown[i]/phones, counts)
	}
	const most = 256 // bytes a phone
	if grown[0] > most*phones || grown[1] > grown[0]+grown[0]/4 {
		t.Errorf("%d bytes for a report a phone, %d for three: at most %d a phone, and no more for a longer log", grown[0], grown[1], most*phones)
	}
}

// Phones report to a listener by SIP, with the code that phones have.
func TestLive(t *testing.T) {
	l, err := audit.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := site(t)
	p, err := profile.Builtin("note")
	if err != nil {
		t.Fatal(err)
	}
	p.Installed = time.Time{}
	c, err := cluster.New(p, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	a := evidence.New()
	done := make(chan error)
	go func() { done <- l.Collect(ctx, a) }()
	sent, err := report(t, c, l.Addr())
	if err != nil || sent != 1 {
		t.Errorf("%d alarms sent, %v", sent, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if a.Len() != 1 || a.Count != 1 {
		t.Errorf("%d phones, %d reports", a.Len(), a.Count)
	}
	for p, err := range audit.NewJudge(t.Context(), slices.Concat(lockout.World{c}, w)).Phones(a) {
		if err != nil || p.Status != audit.Current || !p.Follows() {
			t.Errorf("%v: %s, %v, %v", p.MAC, p.Status, p.Verdict, err)
		}
	}
}

// An ACK over UDP is answered by nothing, not even an empty datagram.
func TestACK(t *testing.T) {
	l, err := audit.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Collect(ctx, evidence.New()) }()
	conn, err := net.Dial("udp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	for _, method := range []string{"ACK", "OPTIONS"} {
		fmt.Fprintf(conn, "%s sip:a SIP/2.0\r\nCSeq: 1 %s\r\n\r\n", method, method)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS") {
		t.Errorf("first answer %q, %v", buf[:n], err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
