package alarm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/sip"
)

func hash(t testing.TB, spaced string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(spaced, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors are the inputs of the two bodies that were traced.
func vectors(t testing.TB) []alarm.Info {
	return []alarm.Info{
		{Device: "SEPC80084AA8743", Address: "192.168.7.104", ITL: hash(t, "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D"), ITLServer: "cucm-115.home.lab", Status: 3},
		{Device: "SEPC80084AA8743", Address: "192.168.7.104", ITL: hash(t, "A3 6D CF 5D 1E 65 4D 76 CD E3 62 4B 22 BD 45 CF 85 75 44 A6"), ITLServer: "clstr-2-pub.home.lab", Status: 3},
	}
}

func vector(t testing.TB, n int) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("testdata/devicetlinfo-%d.xml", n))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBody(t *testing.T) {
	for i, info := range vectors(t) {
		if got, want := info.Body(), vector(t, i+1); !bytes.Equal(got, want) {
			t.Errorf("body %d:\n%s\nwant\n%s", i+1, got, want)
		}
	}
	if got := len(vectors(t)[0].Body()); got != 569 {
		t.Errorf("%d bytes, the trace has 569", got)
	}
	evil := alarm.Info{Device: "SEP</String><x>&", ITL: []byte{1}, ITLServer: "a<b"}
	if got := string(evil.Body()); strings.Contains(got, "<x>") || !strings.Contains(got, "a&lt;b") {
		t.Errorf("a value ends its element:\n%s", got)
	}
}

// mem is a store in memory that can fail.
type mem struct {
	values map[string][]byte
	err    error
}

func (m *mem) Get(key string) ([]byte, error) {
	if v, ok := m.values[key]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (m *mem) Put(key string, value []byte) error {
	if m.err != nil {
		return m.err
	}
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.values[key] = value
	return nil
}

func TestQueue(t *testing.T) {
	m := new(mem)
	q, err := alarm.Open(m, "alarms")
	if err != nil {
		t.Fatal(err)
	}
	for i := range alarm.MaxQueued + 3 {
		if err := q.Add(alarm.Info{Device: "SEP64A0E71502CC", ITL: []byte{byte(i)}, ITLServer: "a \"b\"\n", Status: 3}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time as after a restart
		waiting, dropped := q.Waiting()
		if len(waiting) != alarm.MaxQueued || dropped != 3 || waiting[0].ITL[0] != 3 || waiting[0].ITLServer != "a \"b\"\n" || waiting[0].CTL != nil {
			t.Errorf("%d wait, %d dropped, first %+v", len(waiting), dropped, waiting[0])
		}
		if q, err = alarm.Open(m, "alarms"); err != nil {
			t.Fatal(err)
		}
	}
	sound := m.values["alarms"]
	for name, bad := range map[string][]byte{"rubbish": []byte("rubbish"), "cut": sound[:len(sound)-5], "too many": append(bytes.Clone(sound), sound[2:]...), "large": make([]byte, 20<<10), "negative": []byte("-1\n")} {
		m.values["alarms"] = bad
		q, err := alarm.Open(m, "alarms")
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := q.Add(vectors(t)[0]); err != nil {
			t.Errorf("%s: the queue cannot be used: %v", name, err)
		}
	}
	m.err = errors.New("flash is full")
	if err := q.Add(vectors(t)[0]); err == nil {
		t.Error("a failing store gives no error")
	}
}

func sender() *alarm.Sender {
	return &alarm.Sender{Dial: new(net.Dialer).DialContext, Rand: rand.Reader, Now: time.Now, UserAgent: "Cisco-CP7821/12.1.1", PerServer: 5 * time.Second}
}

func queue(t *testing.T, infos ...alarm.Info) *alarm.Queue {
	t.Helper()
	q, err := alarm.Open(new(mem), "alarms")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		if err := q.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// sipp, a SIP tester with a parser of its own, takes the alarm over TCP and UDP, and
// the body that it logs is that of the trace.
func TestSIPp(t *testing.T) {
	sipp, err := exec.LookPath("sipp")
	if err != nil {
		t.Skip("SKIPPED: sipp is not installed (package sip-tester)")
	}
	for transport, flag := range map[sip.Transport]string{sip.TCP: "t1", sip.UDP: "u1"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		_, port, _ := net.SplitHostPort(address)
		l.Close()
		log := filepath.Join(t.TempDir(), "messages")
		cmd := exec.CommandContext(t.Context(), sipp, "-sf", "testdata/refer.xml", "-i", "127.0.0.1", "-p", port, "-t", flag, "-m", "1", "-nostdin",
			"-trace_msg", "-message_file", log, "-timeout", "60s")
		cmd.Env = append(os.Environ(), "TERM=dumb")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		q := queue(t, vectors(t)[0])
		sent := 0
		for deadline := time.Now().Add(30 * time.Second); sent == 0; { // until it listens
			if sent, err = sender().Deliver(t.Context(), q, []sip.Server{{Address: address, Transport: transport}}); time.Now().After(deadline) {
				break
			}
		}
		werr := cmd.Wait()
		data, _ := os.ReadFile(log)
		if sent != 1 || err != nil || werr != nil || !bytes.Contains(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), vector(t, 1)) {
			t.Errorf("%s: %d sent (%v), sipp ended with %v\n%s\n%s", transport, sent, err, werr, data, &out)
		}
		if waiting, _ := q.Waiting(); len(waiting) != 0 {
			t.Errorf("%s: %d still wait", transport, len(waiting))
		}
	}
}

// server answers each request over TCP with what answer makes of its Call-ID.
func server(t *testing.T, answer func(callID string) string) sip.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 8192)
				n, _ := conn.Read(buf)
				_, rest, _ := strings.Cut(string(buf[:n]), "Call-ID: ")
				id, _, _ := strings.Cut(rest, "\r\n")
				if text := answer(id); text != "" {
					io.WriteString(conn, text)
					return
				}
				conn.Read(buf) // silence, until the phone has enough
			}()
		}
	}()
	return sip.Server{Address: l.Addr().String(), Transport: sip.TCP}
}

func accepted(id string) string {
	return "SIP/2.0 202 Accepted\r\nCall-ID: " + id + "\r\nContent-Length: 0\r\n\r\n"
}

// After an answer that is none, or one for the moment, the alarm waits, and the next
// server gets it.
func TestAnswers(t *testing.T) {
	good := server(t, accepted)
	for name, answer := range map[string]func(string) string{
		"503":             func(id string) string { return "SIP/2.0 503 Service Unavailable\r\nCall-ID: " + id + "\r\n\r\n" },
		"garbage":         func(string) string { return "\x00\x01\x02garbage\r\n\r\n" },
		"a code of 99":    func(id string) string { return "SIP/2.0 99 Low\r\nCall-ID: " + id + "\r\n\r\n" },
		"a code of 700":   func(id string) string { return "SIP/2.0 700 High\r\nCall-ID: " + id + "\r\n\r\n" },
		"half a message":  func(id string) string { return "SIP/2.0 202 Accepted\r\nCall-ID" },
		"another call's":  func(string) string { return accepted("x@y") },
		"another's 400":   func(string) string { return "SIP/2.0 400 Bad Request\r\nCall-ID: x@y\r\n\r\n" },
		"endless headers": func(string) string { return "SIP/2.0 202 Accepted\r\n" + strings.Repeat("X: y\r\n", 10_000) },
		"a huge body": func(id string) string {
			return "SIP/2.0 202 Accepted\r\nCall-ID: " + id + "\r\nContent-Length: 99999999\r\n\r\n"
		},
		"a body of -1 bytes": func(id string) string {
			return "SIP/2.0 202 Accepted\r\nCall-ID: " + id + "\r\nContent-Length: -1\r\n\r\n"
		},
		"silence": func(string) string { return "" },
	} {
		s := sender()
		s.PerServer = 300 * time.Millisecond
		bad := server(t, answer)
		q := queue(t, vectors(t)...)
		if sent, err := s.Deliver(t.Context(), q, []sip.Server{bad}); sent != 0 || err == nil {
			t.Errorf("%s: %d sent, %v", name, sent, err)
		}
		if waiting, _ := q.Waiting(); len(waiting) != 2 {
			t.Errorf("%s: %d wait", name, len(waiting))
		}
		if sent, err := s.Deliver(t.Context(), q, []sip.Server{bad, good}); sent != 2 || err != nil {
			t.Errorf("%s, then a sound server: %d sent, %v", name, sent, err)
		}
	}
	// A provisional answer is not the last word.
	slow := server(t, func(id string) string { return "SIP/2.0 100 Trying\r\nCall-ID: " + id + "\r\n\r\n" + accepted(id) })
	if sent, err := sender().Deliver(t.Context(), queue(t, vectors(t)[0]), []sip.Server{slow}); sent != 1 || err != nil {
		t.Errorf("after 100: %d sent, %v", sent, err)
	}
	if _, err := sender().Deliver(t.Context(), queue(t, vectors(t)[0]), nil); err == nil {
		t.Error("without servers: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if sent, err := sender().Deliver(ctx, queue(t, vectors(t)[0]), []sip.Server{good}); sent != 0 || err == nil {
		t.Errorf("after the end: %d sent, %v", sent, err)
	}
}

func TestBackoff(t *testing.T) {
	for failed, want := range map[int]time.Duration{0: 5 * time.Second, 1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 8: 10 * time.Minute, 1000: 10 * time.Minute} {
		if got := alarm.Backoff(failed); got != want {
			t.Errorf("after %d: %v, want %v", failed, got, want)
		}
	}
}

// A queue that is damaged in any way can be used.
func FuzzQueue(f *testing.F) {
	m := new(mem)
	q, err := alarm.Open(m, "alarms")
	if err != nil {
		f.Fatal(err)
	}
	for _, i := range vectors(f) {
		if err := q.Add(i); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(m.values["alarms"])
	f.Add([]byte("0\n"))
	f.Add([]byte(oldQueue))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, _ := alarm.Open(&mem{values: map[string][]byte{"alarms": data}}, "alarms")
		if err := q.Add(alarm.Info{Device: "SEP64A0E71502CC"}); err != nil {
			t.Fatal(err)
		}
		if waiting, _ := q.Waiting(); len(waiting) == 0 || len(waiting) > alarm.MaxQueued {
			t.Fatalf("%d wait", len(waiting))
		}
	})
}
