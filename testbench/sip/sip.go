// Package sip reads what phones send to a call manager by SIP, as far as the bench
// needs it: the REFER with an alarm, and what else comes along.
//
//	req, err := sip.Read(bufio.NewReaderSize(conn, sip.MaxHead))
//	alarm, err := req.Alarm()
//	conn.Write(req.Answer("202 Accepted", now, "192.0.2.1:5060", "tcp"))
//
// A request has at most MaxHead bytes of start line and headers and MaxBody bytes of
// body; no more are ever held. Values are not changed once they are read. Sources: RFC
// 3261, RFC 3515, and traces of phones.
package sip

import (
	"bufio"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Limits of a request, in bytes.
const (
	MaxHead = 8 << 10 // start line and headers
	MaxBody = 16 << 10
)

// Request is what is read of a request.
type Request struct {
	Method string
	Kind   string // Content-Type
	Body   []byte

	copied []string // header lines that the answer repeats, To without a tag
	to     string
}

// Read reads one request. The reader's buffer should be of MaxHead bytes.
func Read(in *bufio.Reader) (*Request, error) {
	req := new(Request)
	length, head := 0, 0
	for first := true; ; {
		line, err := in.ReadString('\n')
		if head += len(line); err != nil || head > MaxHead {
			if err == io.EOF && head > 0 {
				err = io.ErrUnexpectedEOF
			}
			if err == nil {
				err = fmt.Errorf("more than %d bytes of headers", MaxHead)
			}
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		if first {
			if line == "" {
				head = 0 // a keep-alive between requests
				continue
			}
			first = false
			method, rest, _ := strings.Cut(line, " ")
			if !strings.HasSuffix(rest, " SIP/2.0") {
				return nil, fmt.Errorf("not a SIP request: %.40q", line)
			}
			req.Method = method
			continue
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok {
			return nil, fmt.Errorf("header line %.40q", line)
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "via", "v", "from", "f", "call-id", "i", "cseq":
			req.copied = append(req.copied, line)
		case "to", "t":
			req.to = line
		case "content-type", "c":
			req.Kind = value
		case "content-length", "l":
			if length, ok = atoi(value); !ok || length > MaxBody {
				return nil, fmt.Errorf("body of %.20s bytes, at most %d", value, MaxBody)
			}
		}
	}
	req.Body = make([]byte, length)
	if _, err := io.ReadFull(in, req.Body); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return req, nil
}

func atoi(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

// Answer writes the response to a request, with a status such as "202 Accepted" and
// the address "host:port" and transport ("tcp") where the server is reached.
func (req *Request) Answer(status string, now time.Time, contact, transport string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %s\r\n", status)
	for _, line := range req.copied {
		fmt.Fprintf(&b, "%s\r\n", line)
	}
	if req.to != "" {
		to := req.to
		if !strings.Contains(to, ";tag=") {
			to += ";tag=" + strings.ToLower(rand.Text()[:10])
		}
		fmt.Fprintf(&b, "%s\r\n", to)
	}
	fmt.Fprintf(&b, "Date: %s\r\nContact: <sip:%s;transport=%s>\r\nContent-Length: 0\r\n\r\n",
		now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), contact, transport)
	return []byte(b.String())
}

// Alarm is an alarm of a phone.
type Alarm struct {
	Name       string // "DeviceTLInfo"
	Parameters []Parameter
}

// Parameter is a parameter of an alarm.
type Parameter struct{ Name, Value string }

// Get returns the value of a parameter, or "".
func (a *Alarm) Get(name string) string {
	for _, p := range a.Parameters {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Alarm reads the alarm in a request's body.
func (req *Request) Alarm() (*Alarm, error) {
	var doc struct {
		XMLName xml.Name `xml:"x-cisco-alarm"`
		Alarm   struct {
			Name       string `xml:"Name,attr"`
			Parameters []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:",chardata"`
			} `xml:"ParameterList>String"`
		} `xml:"Alarm"`
	}
	if err := xml.Unmarshal(req.Body, &doc); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	const maxParameters = 32
	if doc.Alarm.Name == "" || len(doc.Alarm.Parameters) > maxParameters {
		return nil, errors.New("not an alarm")
	}
	a := &Alarm{Name: doc.Alarm.Name}
	for _, c := range a.Name {
		if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return nil, fmt.Errorf("alarm name %.40q", a.Name)
		}
	}
	for _, p := range doc.Alarm.Parameters {
		a.Parameters = append(a.Parameters, Parameter{p.Name, strings.TrimSpace(p.Value)})
	}
	return a, nil
}
