package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	"itlagent/testbench/lockout"
)

const itl = "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D "

func TestParseLine(t *testing.T) {
	at := time.Date(2019, 3, 9, 18, 32, 45, 0, time.UTC)
	const tags = "%[DeviceName=SEPC80084AA8743][IPv4Address=192.168.7.104][IPv6Address=][CTL_Signature=Not Installed][CTL_TFTP_Server=N/A][ITL_Signature=" +
		itl + "][ITL_TFTP_Server=cucm-115.home.lab][StatusCode=3]"
	for _, c := range []struct {
		name, line string
		at         time.Time
		err        error
	}{
		{"application log", "7: pub: Mar 09 2019 18:32:45 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: " + tags + ": text", at, nil},
		{"milliseconds", "7: pub: Mar  9 2019 18:32:45.250 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: " + tags + ": text", at.Add(250 * time.Millisecond), nil},
		{"syslog in front", "<190>Jan  1 00:00:00 host 31 local7 6 : 41679: pub.home.lab Mar 09 2019 18:32:45 UTC :   %UC_CALLMANAGER-6-DeviceTLInfo: " + tags + ": text", at, nil},
		{"no year", "Mar  9 18:32:45 pub %UC_CALLMANAGER-6-DeviceTLInfo: " + tags, time.Time{}, nil},
		{"another order", "DeviceTLInfo %[StatusCode=3][ITL_Signature=" + itl + "][AppID=Cisco CallManager][DeviceName=SEPC80084AA8743]", time.Time{}, nil},
		{"other letters", "DeviceTLInfo: %[devicename=sepc80084aa8743][itl_signature=1BA1C907E99E4D3C539DC81424AF6C9F7DCE4D6D]", time.Time{}, nil},
		{"another alarm", "7: pub: %UC_CALLMANAGER-3-EndPointUnregistered: %[DeviceName=SEPC80084AA8743]: text", time.Time{}, audit.ErrOther},
		{"the name in a text", "an administrator asked what a DeviceTLInfo is", time.Time{}, audit.ErrOther},
		{"nothing", "", time.Time{}, audit.ErrOther},
		{"cut off", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743][ITL_Signature=1B A1", time.Time{}, audit.ErrUnusable},
		{"no device", "DeviceTLInfo: %[ITL_Signature=" + itl + "]", time.Time{}, audit.ErrUnusable},
		{"no list", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743]", time.Time{}, audit.ErrUnusable},
		{"half a hash", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743][ITL_Signature=1B A1]", time.Time{}, audit.ErrUnusable},
		{"two devices", "DeviceTLInfo: %[DeviceName=SEPC80084AA8743][DeviceName=SEPC80084AA8744][ITL_Signature=" + itl + "]", time.Time{}, audit.ErrUnusable},
	} {
		r, err := audit.ParseLine([]byte(c.line))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if err != nil {
			continue
		}
		if r.MAC.String() != "C80084AA8743" || r.ITL.String() != "1ba1c907e99e4d3c539dc81424af6c9f7dce4d6d" || r.CTL.String() != "" || !r.Time.Equal(c.at) {
			t.Errorf("%s: read as %v %v %v %v", c.name, r.MAC, r.ITL, r.CTL, r.Time)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("7: pub: Mar 09 2019 18:32:45 UTC: %UC_CALLMANAGER-6-DeviceTLInfo: %[DeviceName=SEPC80084AA8743][ITL_Signature=" + itl + "]: text"))
	f.Add([]byte("DeviceTLInfo [][=]]["))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := audit.ParseLine(line)
		if err == nil && r.MAC == (audit.MAC{}) && !strings.Contains(strings.ToUpper(string(line)), "SEP000000000000") {
			t.Fatal("a report of no phone")
		}
		if err != nil && !errors.Is(err, audit.ErrOther) && !errors.Is(err, audit.ErrUnusable) {
			t.Fatalf("error %v", err)
		}
	})
}

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
	way    string
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
		hash, err := lockout.Hash(all[i].itl)
		if err != nil {
			panic(err)
		}
		p, _, err := w.Recall("001122334455", hash, "")
		if err != nil {
			panic(err)
		}
		e, err := lockout.Explain(context.Background(), w, p, lockout.Hints{})
		if err != nil {
			panic(err)
		}
		all[i].want = e.Report.Reason()
		if len(e.Ways) > 0 {
			all[i].way = e.Ways[0].Name
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
		a := audit.New()
		begin := time.Now()
		if err := a.Read(log, nil); err != nil {
			t.Fatal(err)
		}
		read := time.Since(begin)
		grown[i] = heap() - before
		counts := make(map[audit.Status]int)
		n := 0
		for p, err := range a.Phones(audit.NewJudge(t.Context(), w)) {
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
			way := ""
			if p.Way != nil {
				way = p.Way.Name
			}
			if p.Status != k.status || p.Judged != k.judged || p.Verdict != k.want || way != k.way {
				t.Fatalf("phone %v: %s, judged %v, %v, %q; want %s, %v, %v, %q", p.MAC, p.Status, p.Judged, p.Verdict, way, k.status, k.judged, k.want, k.way)
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

// What is odd in logs is counted, and never taken for more than it is.
func TestOddLogs(t *testing.T) {
	line := func(at, device, hash string) string {
		return fmt.Sprintf("1: pub: %s UTC: %%UC_CALLMANAGER-6-DeviceTLInfo: %%[DeviceName=%s][ITL_Signature=%s]: x\n", at, device, hash)
	}
	one, two := strings.Repeat("11 ", 20), strings.Repeat("22 ", 20)
	log := line("Feb 26 2014 18:00:02", "SEP000000000001", one) + line("Feb 26 2014 18:00:01", "SEP000000000001", two) + // out of order
		line("Feb 26 2014 18:00:02", "SEP000000000002", one) + line("Feb 26 2014 18:00:02", "SEP000000000002", two) + // the later line of the log
		line("Feb 26 2014 18:00:02", "SEP000000000003", "rubbish") +
		strings.Repeat("x", 3*audit.MaxLine) + "DeviceTLInfo\n" +
		strings.TrimSuffix(line("Feb 26 2014 18:00:02", "SEP000000000004", one), "\n") // the last line does not end
	a := audit.New()
	if err := a.Read(strings.NewReader(log), nil); err != nil {
		t.Fatal(err)
	}
	if a.Lines != 7 || a.Reports != 5 || a.Unusable != 1 || a.Long != 1 || a.Len() != 3 || len(a.Faults) != 1 || !strings.HasPrefix(a.Faults[0], "line 5: ") {
		t.Errorf("%d lines, %d reports, %d unusable, %d long, %d phones, faults %q", a.Lines, a.Reports, a.Unusable, a.Long, a.Len(), a.Faults)
	}
	w := site(t)
	got := make(map[string]string)
	for p, err := range a.Phones(audit.NewJudge(t.Context(), w)) {
		if err != nil {
			t.Fatal(err)
		}
		got[p.MAC.String()] = fmt.Sprintf("%s %.2s", p.Status, p.ITL)
	}
	delete(got, w[0].State().Phones[0].MAC)
	want := map[string]string{"000000000001": "foreign 11", "000000000002": "foreign 22", "000000000004": "foreign 11"}
	for mac, w := range want {
		if got[mac] != w {
			t.Errorf("phone %s: %q, want %q", mac, got[mac], w)
		}
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
	a := audit.New()
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
	if a.Len() != 1 || a.Reports != 1 {
		t.Errorf("%d phones, %d reports", a.Len(), a.Reports)
	}
	for p, err := range a.Phones(audit.NewJudge(t.Context(), slices.Concat(lockout.World{c}, w))) {
		if err != nil || p.Status != audit.Current || !p.Follows() {
			t.Errorf("%v: %s, %v, %v", p.MAC, p.Status, p.Verdict, err)
		}
	}
}

// Of two reports of one time the sequence number decides, then the place in the log;
// what the logs of two hosts say at one time stays in dispute.
func TestOneTime(t *testing.T) {
	const device = "SEP000000000001"
	one, two := strings.Repeat("11 ", 20), strings.Repeat("22 ", 20)
	line := func(seq int, host, stamp, hash string) string {
		return fmt.Sprintf("%d: %s: Feb 26 2014 18:00:%s UTC: %%UC_CALLMANAGER-6-DeviceTLInfo: %%[DeviceName=%s][ITL_Signature=%s]: x\n", seq, host, stamp, device, hash)
	}
	for name, test := range map[string]struct {
		logs     []string
		want     byte
		disputed bool
	}{
		"numbers, in order":          {[]string{line(7, "pub", "02", one) + line(8, "pub", "02", two)}, 0x22, false},
		"numbers, out of order":      {[]string{line(8, "pub", "02", two) + line(7, "pub", "02", one)}, 0x22, false},
		"numbers in two logs":        {[]string{line(8, "pub", "02.000", two), line(7, "pub", "02.000", one)}, 0x22, false},
		"no numbers":                 {[]string{strings.ReplaceAll(line(0, "pub", "02", one)+line(0, "pub", "02", two), "0: pub: ", "")}, 0x22, false},
		"two hosts in one log":       {[]string{line(9, "sub", "02", one) + line(8, "pub", "02", two)}, 0x22, false},
		"two hosts in two logs":      {[]string{line(9, "sub", "02", one), line(8, "pub", "02", two)}, 0x22, true},
		"two hosts of one opinion":   {[]string{line(9, "sub", "02", one), line(8, "pub", "02", one)}, 0x11, false},
		"a later time is decisive":   {[]string{line(8, "pub", "02.001", one) + line(9, "pub", "02", two)}, 0x11, false},
		"a priority of syslog first": {[]string{"<190>31 uc local7: " + line(8, "pub", "02", two) + "<190>31 uc local7: " + line(7, "pub", "02", one)}, 0x22, false},
	} {
		a := audit.New()
		for _, log := range test.logs {
			if err := a.Read(strings.NewReader(log), nil); err != nil {
				t.Fatal(err)
			}
		}
		m, _ := audit.ParseMAC(device)
		r, ok, err := a.Last(m)
		if !ok || r.ITL[0] != test.want || errors.Is(err, audit.ErrDisputed) != test.disputed {
			t.Errorf("%s: list %x, %v; want %x, disputed %v", name, r.ITL[:1], err, test.want, test.disputed)
		}
	}
}
