package sip

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// A request is read within its limits, whatever the bytes.
func FuzzSIP(f *testing.F) {
	f.Add([]byte("REFER sip:a SIP/2.0\r\nTo: <sip:a>\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("\r\n\r\nOPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := NewReader(bytes.NewReader(data))
		for range 10 {
			req, err := in.Next()
			if err != nil {
				return
			}
			if a, err := req.Alarm(); err == nil && a.Name == "" {
				t.Fatal("an alarm without a name")
			}
			if len(req.Body) > MaxBody || req.Method == "" && !bytes.Contains(data, []byte(" ")) {
				t.Fatalf("%d bytes of body, method %q", len(req.Body), req.Method)
			}
			for _, line := range append(req.copied, req.to) {
				if strings.ContainsAny(line, "\n") || len(line) > MaxHead {
					t.Fatalf("header line %q", line)
				}
			}
		}
	})
}

// endless is a line without end. It counts what is asked of it.
type endless struct {
	first string
	read  int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.first != "" {
		n := copy(p, e.first)
		e.first = e.first[n:]
		return n, nil
	}
	for i := range p {
		p[i] = 'a'
	}
	e.read += len(p)
	return len(p), nil
}

// What has no end is not read to it, wherever in a head it stands.
func TestEndless(t *testing.T) {
	for name, first := range map[string]string{
		"a first line":    "",
		"a header":        "REFER sip:a SIP/2.0\r\nTo: ",
		"a continuation":  "REFER sip:a SIP/2.0\r\nTo: a\r\n ",
		"an unnamed line": "REFER sip:a SIP/2.0\r\n",
	} {
		in := &endless{first: first}
		if _, err := NewReader(in).Next(); err == nil || name != "an unnamed line" && !strings.Contains(err.Error(), "more than 8192 bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if in.read > MaxHead {
			t.Errorf("%s: %d bytes were read, at most %d", name, in.read, MaxHead)
		}
	}
}

// One request ends where the next one begins, and keep-alives stand between them.
func TestRequestsInARow(t *testing.T) {
	one := "\r\n\r\nREFER sip:a SIP/2.0\r\nTo: <sip:a>\r\n ;x=1\r\nContent-Length: 16384\r\n\r\n" + strings.Repeat("b", MaxBody)
	in := NewReader(strings.NewReader(strings.Repeat(one, 5)))
	for i := range 5 {
		req, err := in.Next()
		if err != nil || len(req.Body) != MaxBody || req.to != "To: <sip:a> ;x=1" {
			t.Fatalf("request %d: %v, %+v", i, err, req)
		}
	}
	if _, err := in.Next(); err != io.EOF {
		t.Errorf("after the last: %v, want %v", err, io.EOF)
	}
}

// Whatever a REGISTER says, the words that are kept of it are short and visible, and
// neither the answer nor a NOTIFY to the phone can be made more than one message.
func FuzzRegister(f *testing.F) {
	for _, contact := range []string{
		`<sip:a1@192.0.2.1:5060;transport=tcp>;+sip.instance="<urn:uuid:0>";+u.sip!devicename.ccm.cisco.com="SEP64A0E71502CC";+u.sip!model.ccm.cisco.com="437"`,
		`<sips:@>;+u.sip!devicename.ccm.cisco.com=x;expires=0`, `<sip:a`, ``,
	} {
		f.Add(contact, "3600", `SIP;cause=200;text="cisco-alarm:23 Name=SEP64A0E71502CC ActiveLoad=a Last=reset-restart"`, "1@a")
	}
	f.Fuzz(func(t *testing.T, contact, expires, reason, callID string) {
		data := "REGISTER sip:ccm SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:a>\r\nCSeq: 1 REGISTER\r\nCall-ID: " + callID +
			"\r\nContact: " + contact + "\r\nExpires: " + expires + "\r\nReason: " + reason + "\r\nContent-Length: 0\r\n\r\n"
		req, err := NewReader(strings.NewReader(data)).Next()
		if err != nil || req.Method != "REGISTER" {
			return
		}
		reg, err := req.Register()
		if err != nil {
			return
		}
		for _, word := range []string{reg.Device, reg.User, reg.Host, reg.Model, reg.CallID, reg.ActiveLoad, reg.InactiveLoad, reg.Last} {
			if len(word) > maxWord || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Fatalf("kept %q of %q", word, data)
			}
		}
		if reg.Device == "" || reg.Expires < 0 {
			t.Fatalf("%+v of %q", reg, data)
		}
		for _, message := range [][]byte{req.Trying(time.Time{}), req.Granted(Grant{Server: "s", Expires: 120, Fresh: true}), req.Granted(Grant{Server: "s"})} {
			in := NewReader(bytes.NewReader(message))
			if _, answer, err := in.Message(); err != nil || answer == nil {
				t.Fatalf("the answer %q: %v", message, err)
			}
			if _, _, err := in.Message(); err != io.EOF {
				t.Fatalf("behind the answer %q: %v", message, err)
			}
		}
	})
}
