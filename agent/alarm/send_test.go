package alarm_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/logger"
	"itlagent/agent/sip"
)

func answering(code int) func(string) string {
	return func(id string) string {
		return fmt.Sprintf("SIP/2.0 %d Phrase\x1b[2J\u202e\r\nCall-ID: %s\r\n\r\n", code, id)
	}
}

// pipes is a network of servers that answer each request with a status.
type pipes struct {
	mu     sync.Mutex
	status map[string]func(body string) int // by address
	asked  []string
}

func (p *pipes) dial(_ context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	status := p.status[address]
	p.asked = append(p.asked, address)
	p.mu.Unlock()
	if status == nil {
		return nil, errors.New("connection refused")
	}
	phone, server := net.Pipe()
	go func() {
		defer server.Close()
		buf := make([]byte, 8192)
		n, _ := server.Read(buf)
		_, rest, _ := strings.Cut(string(buf[:n]), "Call-ID: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		io.WriteString(server, answering(status(string(buf[:n])))(id))
	}()
	return phone, nil
}

// A refusal for good ends the alarm, which is counted and logged, and the next one
// goes out: at every final status that there is.
func TestEveryStatus(t *testing.T) {
	temporary := map[int]bool{408: true, 429: true, 491: true}
	for code := 500; code < 600; code++ {
		temporary[code] = code != 501 && code != 505 && code != 513
	}
	for code := 200; code < 700; code++ {
		m := new(mem)
		q, err := alarm.Open(m, "alarms")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range vectors(t) {
			if err := q.Add(i); err != nil {
				t.Fatal(err)
			}
		}
		net := &pipes{status: map[string]func(string) int{"192.0.2.1:5060": func(body string) int {
			if strings.Contains(body, "cucm-115") {
				return code
			}
			return 202
		}}}
		var log []string
		s := sender()
		s.Dial = net.dial
		note := func(level string) func(string, ...any) {
			return func(format string, args ...any) { log = append(log, level+fmt.Sprintf(format, args...)) }
		}
		s.Log = logger.Logger{Notice: note("notice: "), Debug: note("debug: ")}
		sent, err := s.Deliver(t.Context(), q, []sip.Server{{Address: "192.0.2.1:5060", Transport: sip.TCP}})
		waiting, dropped := q.Waiting()
		got := [4]int{sent, len(waiting), q.Refused(), dropped}
		want := [4]int{1, 0, 1, 0}
		switch {
		case code < 300:
			want = [4]int{2, 0, 0, 0}
		case temporary[code]:
			want = [4]int{0, 2, 0, 0}
		}
		if got != want || (err != nil) != temporary[code] || err != nil && !errors.Is(err, alarm.ErrRefused) {
			t.Errorf("%d: sent, waiting, refused, dropped %v, want %v (%v)", code, got, want, err)
		}
		text := strings.Join(log, "\n")
		if code >= 300 && !strings.Contains(text, fmt.Sprint(code)) || strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("%d: logged %q", code, text)
		}
		if want[2] == 1 && !strings.Contains(text, "notice: alarm of SEPC80084AA8743: dropped") {
			t.Errorf("%d: logged %q", code, text)
		}
		again, err := alarm.Open(m, "alarms")
		if waiting, _ := again.Waiting(); err != nil || len(waiting) != want[1] || again.Refused() != want[2] {
			t.Errorf("%d, after a restart: %d wait, %d refused, %v", code, len(waiting), again.Refused(), err)
		}
	}
}

// Other servers are asked after a refusal for good, unless it speaks for them too;
// only then does the alarm end.
func TestSeveralServers(t *testing.T) {
	for _, test := range []struct {
		codes   []int // of the servers in order; 0 is not reached
		sent    int
		refused int
		asked   int
	}{
		{[]int{404, 202}, 1, 0, 2}, {[]int{302, 200}, 1, 0, 2}, {[]int{603, 202}, 0, 1, 1}, {[]int{404, 0}, 0, 1, 2}, {[]int{0, 404}, 0, 1, 2},
		{[]int{503, 404}, 0, 1, 2}, {[]int{404, 503}, 0, 1, 2}, {[]int{503, 202}, 1, 0, 2}, {[]int{503, 0}, 0, 0, 2}, {[]int{0, 0}, 0, 0, 2}, {[]int{404, 405, 501}, 0, 1, 3},
	} {
		net := &pipes{status: map[string]func(string) int{}}
		var servers []sip.Server
		for n, code := range test.codes {
			address := fmt.Sprintf("192.0.2.%d:5060", n+1)
			servers = append(servers, sip.Server{Address: address, Transport: sip.TCP})
			if code != 0 {
				net.status[address] = func(string) int { return code }
			}
		}
		q := queue(t, vectors(t)[0])
		s := sender()
		s.Dial = net.dial
		sent, err := s.Deliver(t.Context(), q, servers)
		waiting, _ := q.Waiting()
		if sent != test.sent || q.Refused() != test.refused || len(waiting) != 1-sent-q.Refused() || len(net.asked) != test.asked || (err != nil) != (len(waiting) == 1) {
			t.Errorf("%v: %d sent, %d refused, %d wait, asked %v, %v", test.codes, sent, q.Refused(), len(waiting), net.asked, err)
		}
	}
	// What ends while servers are still to be asked is not their last word.
	ctx, cancel := context.WithCancel(t.Context())
	net := &pipes{status: map[string]func(string) int{"192.0.2.1:5060": func(string) int { cancel(); return 400 }}}
	q := queue(t, vectors(t)[0])
	s := sender()
	s.Dial = net.dial
	sent, err := s.Deliver(ctx, q, []sip.Server{{Address: "192.0.2.1:5060", Transport: sip.TCP}, {Address: "192.0.2.2:5060", Transport: sip.TCP}})
	if waiting, _ := q.Waiting(); sent != 0 || err == nil || len(waiting) != 1 || len(net.asked) != 1 {
		t.Errorf("ended: %d sent, %v, %d wait, asked %v", sent, err, len(waiting), net.asked)
	}
}

// The alarm has the phone's own address: that of the connection where none is set.
func TestOwnAddress(t *testing.T) {
	for _, test := range []struct {
		listen, network    string
		address, address6  string
		want4, want6, from string
	}{
		{"127.0.0.1:0", "tcp", "", "", "127.0.0.1", "", "@127.0.0.1>"},
		{"127.0.0.1:0", "udp", "", "", "127.0.0.1", "", "@127.0.0.1>"},
		{"127.0.0.1:0", "tcp", "192.0.2.7", "2001:db8::7", "192.0.2.7", "2001:db8::7", "@192.0.2.7>"},
		{"[::1]:0", "tcp", "", "", "", "::1", "@[::1]>"},
		{"[::1]:0", "tcp", "192.0.2.7", "", "192.0.2.7", "::1", "@[::1]>"},
	} {
		requests := make(chan string, 1)
		s := sip.Server{Transport: sip.Transport(test.network)}
		if test.network == "udp" {
			s.Address = udpServer(t, test.listen, func(n int, req string) string {
				requests <- req
				return accepted(callID(req))
			})
		} else {
			l, err := net.Listen("tcp", test.listen)
			if err != nil {
				t.Skipf("SKIPPED: no IPv6 here: %v", err)
			}
			defer l.Close()
			s.Address = l.Addr().String()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				buf := make([]byte, 8192)
				n, _ := conn.Read(buf)
				requests <- string(buf[:n])
				io.WriteString(conn, accepted(callID(string(buf[:n]))))
			}()
		}
		info := vectors(t)[0]
		info.Address, info.Address6 = test.address, test.address6
		q := queue(t, info)
		if sent, err := sender().Deliver(t.Context(), q, []sip.Server{s}); sent != 1 || err != nil {
			t.Errorf("%+v: %d sent, %v", test, sent, err)
			continue
		}
		request := <-requests
		for _, part := range []string{`<String name="IPv4Address">` + test.want4 + `</String>`, `<String name="IPv6Address">` + test.want6 + `</String>`, test.from} {
			if !strings.Contains(request, part) {
				t.Errorf("%+v: no %s in\n%s", test, part, request)
			}
		}
		if host, _, _ := net.SplitHostPort(s.Address); strings.Contains(host, ":") && !strings.HasPrefix(request, "REFER sip:["+host+"] SIP/2.0\r\n") {
			t.Errorf("request line of %s:\n%s", s.Address, request)
		}
	}
}

// What is stored of an alarm, and what a phone is called, make no header lines.
func TestHeaderLines(t *testing.T) {
	var request string
	net := &pipes{status: map[string]func(string) int{"192.0.2.1:5060": func(req string) int { request = req; return 202 }}}
	s := sender()
	s.Dial, s.UserAgent, s.Line = net.dial, "x\r\nEvil: 1", "x\r\nEvil: 2"
	q := queue(t, alarm.Info{Device: "SEP\r\nEvil: 3", Address: "192.0.2.7\r\nEvil: 4", ITL: []byte{1}})
	if sent, err := s.Deliver(t.Context(), q, []sip.Server{{Address: "192.0.2.1:5060", Transport: sip.TCP}}); sent != 1 || err != nil {
		t.Errorf("%d sent, %v", sent, err)
	}
	if strings.Contains(request, "\nEvil") {
		t.Errorf("%q", request)
	}
}

func callID(request string) string {
	_, rest, _ := strings.Cut(request, "Call-ID: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// udpServer answers the n-th datagram, from 1, with what answer makes of it.
func udpServer(t *testing.T, listen string, answer func(n int, req string) string) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 8192)
		for n := 1; ; {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if !strings.HasPrefix(string(buf[:size]), "REFER ") {
				continue // another program's, for whoever had the port before
			}
			text := answer(n, string(buf[:size]))
			if n++; text != "" {
				conn.WriteTo([]byte(text), from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// A receiver that loses the first request gets it again, the same, over a real
// socket.
func TestUDP(t *testing.T) {
	received := make(chan string, 10)
	address := udpServer(t, "127.0.0.1:0", func(n int, req string) string {
		received <- req
		if n == 1 {
			return "rubbish"
		}
		return accepted(callID(req))
	})
	q := queue(t, vectors(t)[0])
	sent, err := sender().Deliver(t.Context(), q, []sip.Server{{Address: address, Transport: sip.UDP}})
	first, second := <-received, <-received
	if waiting, _ := q.Waiting(); sent != 1 || err != nil || len(waiting) != 0 || len(received) > 0 || first != second || !strings.Contains(first, "Via: SIP/2.0/UDP ") || !strings.Contains(first, ";transport=udp>") {
		t.Errorf("%d sent, %v, %d wait, received %q", sent, err, len(waiting), []string{first, second})
	}
	closed := udpServer(t, "127.0.0.1:0", func(int, string) string { return answering(400)("x") })
	s := sender()
	s.PerServer = time.Millisecond
	if sent, err := s.Deliver(t.Context(), queue(t, vectors(t)[0]), []sip.Server{{Address: closed, Transport: sip.UDP}}); sent != 0 || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("another's answers: %d sent, %v", sent, err)
	}
}

// link is a network that notes when datagrams come, and answers them.
type link struct {
	began  time.Time
	at     []time.Duration
	answer func(n int, req string) string // to the n-th, from 1
}

func (l *link) dial(_ context.Context, _, _ string) (net.Conn, error) {
	phone, server := net.Pipe()
	l.began = time.Now()
	go func() {
		buf := make([]byte, 8192)
		for n := 1; ; n++ {
			size, err := server.Read(buf)
			if err != nil {
				return
			}
			l.at = append(l.at, time.Since(l.began))
			if text := l.answer(n, string(buf[:size])); text != "" {
				go server.Write([]byte(text))
			}
		}
	}()
	return phone, nil
}

// Pauses by UDP are those of RFC 3261, up to timer F or the server's time.
func TestTimers(t *testing.T) {
	ms := func(all ...int) (out []time.Duration) {
		for _, n := range all {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for _, test := range []struct {
		name   string
		per    time.Duration
		answer func(n int, req string) string
		want   []time.Duration
		ended  time.Duration
		sent   int
	}{
		{"silence for the time of a server", 0, func(int, string) string { return "" }, ms(0, 500, 1500, 3500), 4 * time.Second, 0},
		{"silence without end", time.Hour, func(int, string) string { return "" }, ms(0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500), 32 * time.Second, 0},
		{"the third arrives", 0, func(n int, req string) string {
			if n < 3 {
				return ""
			}
			return accepted(callID(req))
		}, ms(0, 500, 1500), 1500 * time.Millisecond, 1},
		{"others' answers do not help", 0, func(int, string) string { return accepted("x@y") }, ms(0, 500, 1500, 3500), 4 * time.Second, 0},
		{"after a provisional answer", time.Hour, func(n int, req string) string {
			switch n {
			case 1:
				return "SIP/2.0 100 Trying\r\nCall-ID: " + callID(req) + "\r\n\r\n"
			case 3:
				return accepted(callID(req))
			}
			return ""
		}, ms(0, 500, 4500), 4500 * time.Millisecond, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &link{answer: test.answer}
			s := &alarm.Sender{Dial: l.dial, Rand: rand.Reader, Now: time.Now, PerServer: test.per}
			began := time.Now()
			sent, err := s.Deliver(t.Context(), queue(t, vectors(t)[0]), []sip.Server{{Address: "192.0.2.1:5060", Transport: sip.UDP}})
			synctest.Wait()
			if took := time.Since(began); sent != test.sent || (err == nil) != (test.sent == 1) || took != test.ended || !slices.Equal(l.at, test.want) {
				t.Errorf("%s: %d sent in %v, %v; requests after %v, want %v", test.name, sent, took, err, l.at, test.want)
			}
		})
	}
}
