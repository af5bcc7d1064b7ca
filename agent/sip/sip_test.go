package sip_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"itlagent/agent/sip"
)

const notify = "NOTIFY sip:x@192.0.2.104:51778;transport=tcp SIP/2.0\r\nv: SIP/2.0/TCP 192.0.2.200:5060;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP 192.0.2.201;branch=z9hG4bK2\r\n" +
	"f: <sip:192.0.2.200>;tag=1\r\nTO : <sip:2222@192.0.2.104>\r\ni: 1@192.0.2.200\r\nCSeq: 101 NOTIFY\r\no: service-control\r\nSubject: a\r\n  b\r\n\tc\r\nl: 14\r\n\r\naction=reset\r\n"

// Messages are read one after the other, in whatever pieces they come, with short names,
// continued lines, and what keeps a connection alive between them.
func TestReader(t *testing.T) {
	stream := "\r\n\r\n" + notify + "\r\n\r\nSIP/2.0 202 Accepted at last\r\nCall-ID: 2@x\nCSeq: 1 REFER\r\n\r\n" + notify
	for name, in := range map[string]io.Reader{"at once": strings.NewReader(stream), "byte by byte": iotest.OneByteReader(strings.NewReader(stream))} {
		r := sip.NewReader(in)
		m, err := r.Next()
		if err != nil || m.Method != "NOTIFY" || m.URI != "sip:x@192.0.2.104:51778;transport=tcp" || m.Get("event") != "service-control" || m.Get("subject") != "a b c" || m.Get("to") != "<sip:2222@192.0.2.104>" || string(m.Body) != "action=reset\r\n" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		answer := string(m.Answer("200 OK", "tag", sip.Field{Name: "X", Value: "y"}))
		want := "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.200:5060;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP 192.0.2.201;branch=z9hG4bK2\r\nFrom: <sip:192.0.2.200>;tag=1\r\n" +
			"To: <sip:2222@192.0.2.104>;tag=tag\r\nCall-ID: 1@192.0.2.200\r\nCSeq: 101 NOTIFY\r\nX: y\r\nContent-Length: 0\r\n\r\n"
		if answer != want {
			t.Errorf("%s: answer\n%s, want\n%s", name, answer, want)
		}
		if m, err = r.Next(); err != nil || m.Code != 202 || m.Phrase != "Accepted at last" || m.Method != "" || len(m.Body) != 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m, err = r.Next(); err != nil || m.Method != "NOTIFY" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if _, err = r.Next(); err != io.EOF {
			t.Errorf("%s: at the end %v", name, err)
		}
	}
}

// What breaks the form or a limit is refused; one less of each is not.
func TestLimits(t *testing.T) {
	head := "OPTIONS sip:x SIP/2.0\r\n"
	fields := func(n int) string { return head + strings.Repeat("X: y\r\n", n) + "\r\n" }
	line := func(n int) string { return head + "X: " + strings.Repeat("y", n-len("X: \r\n")) + "\r\n\r\n" }
	long := func(n int) string { // a head of n bytes
		text := head + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 7)
		return text + "X: " + strings.Repeat("y", n-len(text)-len("X: \r\n\r\n")) + "\r\n\r\n"
	}
	body := func(n int) string {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, n, strings.Repeat("y", n))
	}
	for name, test := range map[string]struct {
		text string
		good bool
	}{
		"64 fields": {fields(64), true}, "65 fields": {fields(65), false},
		"a line of 4096": {line(4096), true}, "a line of 4097": {line(4097), false},
		"a head of 8192": {long(8192), true}, "a head of 8193": {long(8193), false},
		"a body of 16384": {body(16384), true}, "a body of 16385": {body(16385), false},
		"a negative body": {head + "Content-Length: -1\r\n\r\n", false}, "a body of words": {head + "Content-Length: x\r\n\r\n", false},
		"the same length twice": {head + "Content-Length: 1\r\nl: 1\r\n\r\nx", true},
		"no colon":              {head + "X\r\n\r\n", false}, "no name": {head + ": x\r\n\r\n", false}, "two names": {head + "X Y: x\r\n\r\n", false},
		"a continued start": {head + " x\r\n\r\n", false}, "a zero": {head + "X: a\x00b\r\n\r\n", false}, "a return": {head + "X: a\rb\r\n\r\n", false}, "a delete": {head + "X: \x7f\r\n\r\n", false},
		"a zero in a continuation": {head + "X: a\r\n b\x00\r\n\r\n", false}, "a tab": {head + "X: a\tb\r\n\r\n", true},
		"lower-case method": {"options sip:x SIP/2.0\r\n\r\n", false}, "no version": {"OPTIONS sip:x\r\n\r\n", false}, "another version": {"OPTIONS sip:x SIP/3.0\r\n\r\n", false},
		"two blanks": {"OPTIONS  sip:x SIP/2.0\r\n\r\n", false}, "code 99": {"SIP/2.0 99 x\r\n\r\n", false}, "code 700": {"SIP/2.0 700 x\r\n\r\n", false}, "code 2000": {"SIP/2.0 2000 x\r\n\r\n", false},
		"code of words": {"SIP/2.0 OK 200\r\n\r\n", false}, "no phrase": {"SIP/2.0 200\r\n\r\n", true}, "cut": {head + "X: y\r\n", false}, "cut in a line": {head + "X: y", false},
	} {
		m, err := sip.NewReader(strings.NewReader(test.text)).Next()
		if (err == nil) != test.good || (m == nil) == (err == nil) {
			t.Errorf("%s: %v, %v", name, m != nil, err)
		}
		if d, err := sip.Parse([]byte(test.text)); (err == nil) != test.good || (d == nil) == (err == nil) {
			t.Errorf("%s, as a datagram: %v, %v", name, d != nil, err)
		}
	}
	if m, err := sip.Parse([]byte(head + "X: y\r\n\r\nrest")); err != nil || string(m.Body) != "rest" {
		t.Errorf("a datagram without a length: %+v, %v", m, err)
	}
	if _, err := sip.Parse([]byte(head + "l: 5\r\n\r\nrest")); err == nil {
		t.Error("a datagram with less than it says is read")
	}
}

// By UDP, what is no message, or another's, counts as a stray, and a request that comes
// twice reaches the handler twice: whoever answers knows it.
func TestDatagrams(t *testing.T) {
	peer, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	conn, err := sip.Dial(t.Context(), new(net.Dialer).DialContext, sip.Server{Address: peer.LocalAddr().String(), Transport: sip.UDP})
	if err != nil {
		t.Fatal(err)
	}
	handled := make(chan string, 8)
	conn.Serve(func(m *sip.Message, answer func([]byte) error) {
		handled <- m.Method
		answer(m.Answer("200 OK", "t"))
	})
	go func() {
		buf := make([]byte, 4096)
		n, from, err := peer.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, text := range []string{"rubbish", "SIP/2.0 200 OK\r\nCall-ID: other@x\r\n\r\n", notify, notify, "ACK sip:x SIP/2.0\r\n\r\n", "SIP/2.0 100 Trying\r\nCall-ID: 1@x\r\nCSeq: 1 X\r\n\r\n", "SIP/2.0 200 OK\r\nCall-ID: 1@x\r\nCSeq: 1 X\r\n\r\n"} {
			peer.WriteTo([]byte(text), from)
		}
		_ = n
	}()
	m, err := conn.Ask(t.Context(), sip.Request{Bytes: []byte("X sip:x SIP/2.0\r\nCall-ID: 1@x\r\nCSeq: 1 X\r\n\r\n"), CallID: "1@x", CSeq: "1 X"})
	if err != nil || m.Code != 200 {
		t.Errorf("%+v, %v", m, err)
	}
	if a, b := <-handled, <-handled; a != "NOTIFY" || b != "NOTIFY" || len(handled) != 0 || conn.Strays() != 2 {
		t.Errorf("handled %s, %s and %d more, %d strays", a, b, len(handled), conn.Strays())
	}
	conn.Close()
	select {
	case <-conn.Done():
	default:
		t.Error("closed, and not done")
	}
	if _, err := conn.Ask(t.Context(), sip.Request{Bytes: []byte("x")}); err == nil {
		t.Error("a closed connection asks")
	}
}

// A question ends with its context.
func TestAskEnds(t *testing.T) {
	mine, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs)
	conn, err := sip.Dial(t.Context(), func(context.Context, string, string) (net.Conn, error) { return mine, nil }, sip.Server{Transport: sip.TCP})
	if err != nil {
		t.Fatal(err)
	}
	conn.Serve(nil)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := conn.Ask(ctx, sip.Request{Bytes: []byte("x"), CallID: "1"}); err == nil || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
}

// Any bytes are read within the limits or refused, an answer to what was read is read
// back, and a datagram says the same as a stream.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(notify))
	f.Add([]byte("SIP/2.0 200 OK\r\nExpires: 120\r\nContact: <sip:x>;expires=1\r\nl: 2\r\n\r\nab"))
	f.Add([]byte("\r\nOPTIONS sip:x SIP/2.0\nX:\n y\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := sip.NewReader(bytes.NewReader(data))
		for n := 0; ; n++ {
			m, err := r.Next()
			if err != nil {
				return
			}
			if len(m.Body) > sip.MaxBody || len(m.Fields) > 64 || (m.Method == "") == (m.Code == 0) {
				t.Fatalf("%+v", m)
			}
			if n == 0 && m.Get("content-length") != "" {
				if d, err := sip.Parse(data); err != nil || d.Code != m.Code || d.Method != m.Method || !bytes.Equal(d.Body, m.Body) {
					t.Fatalf("as a datagram %+v, %v; as a stream %+v", d, err, m)
				}
			}
			back, err := sip.NewReader(bytes.NewReader(m.Answer("200 OK", "tag"))).Next()
			if err != nil && len(m.Fields) < 64 {
				t.Fatalf("the answer to %+v: %v", m, err)
			}
			if err == nil && (back.Code != 200 || back.Get("call-id") != m.Get("call-id") || len(back.Body) != 0) {
				t.Fatalf("the answer to %+v is %+v", m, back)
			}
		}
	})
}
