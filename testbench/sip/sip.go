// Package sip reads and writes what phones and a call manager say to each other by SIP, as
// far as trust needs it: the REFER with an alarm, REGISTER, the NOTIFY that resets a phone,
// and their answers.
//
//	in := sip.NewReader(conn)
//	req, err := in.Next()
//	alarm, err := req.Alarm()
//	conn.Write(req.Answer("202 Accepted", now, "192.0.2.1:5060", "tcp"))
//
// A message has at most MaxHead bytes of start line and headers and MaxBody bytes of
// body; no more is ever read of one. Values are not changed once they are read. Sources: RFC
// 3261, RFC 3515, and traces of phones.
package sip

import (
	"bufio"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/textproto"
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

	CallID    string
	Contact   string // as it stands in the header
	Reason    string
	ReferTo   string
	UserAgent string
	Expires   int // seconds; -1 where it is absent or not a number of 32 bits

	retryAfter time.Duration // of an answer

	copied []string // header lines that the answer repeats, To without a tag
	to     string
}

// Reader reads requests from a connection, or one from a datagram. It is not safe for
// concurrent use.
type Reader struct {
	limit io.LimitedReader // what one request may still have
	in    *bufio.Reader
	text  *textproto.Reader
}

// NewReader returns a reader that asks for no more than a request may have.
func NewReader(r io.Reader) *Reader {
	reader := &Reader{limit: io.LimitedReader{R: r}}
	reader.in = bufio.NewReader(&reader.limit)
	reader.text = textproto.NewReader(reader.in)
	return reader
}

// Wait returns once something of the next request is there: until then a peer may be
// silent, from then on it has to go on.
func (r *Reader) Wait() error {
	r.limit.N = MaxHead
	_, err := r.in.Peek(1)
	return err
}

// line returns a line with those that continue it (RFC 3261, section 7.3.1).
func (r *Reader) line() (string, error) {
	line, err := r.text.ReadContinuedLine()
	switch {
	case err != nil && r.limit.N <= 0:
		return "", fmt.Errorf("more than %d bytes of headers", MaxHead)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	}
	return line, err
}

// ErrAnswer says that a message is an answer, where a request is wanted.
var ErrAnswer = errors.New("an answer, not a request")

// Next reads one request. Between requests the error is io.EOF.
func (r *Reader) Next() (*Request, error) {
	req, _, err := r.Message()
	if err == nil && req == nil {
		err = ErrAnswer
	}
	return req, err
}

// Answer is what is read of an answer.
type Answer struct {
	Code   int // 100 to 699
	CallID string
	// RetryAfter is when the other side would rather be asked again; 0 where it does not say,
	// or not in whole seconds. At most a day.
	RetryAfter time.Duration
}

// maxRetryAfter bounds Answer.RetryAfter.
const maxRetryAfter = 24 * time.Hour

// Message reads one request, or an answer to one that was sent. One of both is nil.
// Between messages the error is io.EOF.
func (r *Reader) Message() (*Request, *Answer, error) {
	first, err := r.first()
	if err != nil {
		return nil, nil, err
	}
	req := &Request{Expires: -1}
	var answer *Answer
	if rest, ok := strings.CutPrefix(first, "SIP/2.0 "); ok {
		digits, _, _ := strings.Cut(rest, " ")
		code, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || len(digits) != 3 || code < 100 || code > 699 {
			return nil, nil, fmt.Errorf("not a SIP answer: %.40q", first)
		}
		answer = &Answer{Code: int(code)}
	} else {
		method, rest, _ := strings.Cut(first, " ")
		if !strings.HasSuffix(rest, " SIP/2.0") {
			return nil, nil, fmt.Errorf("not a SIP request: %.40q", first)
		}
		req.Method = method
	}
	length, err := r.headers(req)
	if err != nil {
		return nil, nil, err
	}
	r.limit.N = int64(max(length-r.in.Buffered(), 0))
	req.Body = make([]byte, length)
	if _, err := io.ReadFull(r.in, req.Body); err != nil {
		return nil, nil, io.ErrUnexpectedEOF
	}
	if answer != nil {
		answer.CallID, answer.RetryAfter = req.CallID, req.retryAfter
		return nil, answer, nil
	}
	return req, nil, nil
}

// first reads the start line of a message, past the keep-alives in front of it.
func (r *Reader) first() (string, error) {
	r.limit.N = MaxHead
	for { // past the keep-alives between requests
		b, err := r.in.Peek(1)
		if err != nil {
			if r.limit.N <= 0 {
				err = fmt.Errorf("more than %d bytes between requests", MaxHead)
			}
			return "", err
		}
		if b[0] != '\r' && b[0] != '\n' {
			break
		}
		r.in.Discard(1)
	}
	first, err := r.text.ReadLine()
	if err != nil {
		if r.limit.N <= 0 {
			err = fmt.Errorf("more than %d bytes of headers", MaxHead)
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	return first, err
}

// headers reads up to the empty line, and returns the length of the body.
func (r *Reader) headers(req *Request) (length int, err error) {
	for {
		line, err := r.line()
		if err != nil {
			return 0, err
		}
		if line == "" {
			return length, nil
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok {
			return 0, fmt.Errorf("header line %.40q", line)
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "via", "v", "from", "f", "cseq":
			req.copied = append(req.copied, line)
		case "call-id", "i":
			req.copied, req.CallID = append(req.copied, line), value
		case "contact", "m":
			req.Contact = value
		case "refer-to", "r":
			req.ReferTo = value
		case "reason":
			req.Reason = value
		case "user-agent":
			req.UserAgent = value
		case "expires":
			if n, err := strconv.ParseUint(value, 10, 32); err == nil {
				req.Expires = int(n)
			}
		case "retry-after":
			digits, _, _ := strings.Cut(value, ";")
			digits, _, _ = strings.Cut(digits, "(")
			if n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32); err == nil {
				req.retryAfter = min(time.Duration(n)*time.Second, maxRetryAfter)
			}
		case "to", "t":
			req.to = line
		case "content-type", "c":
			req.Kind = value
		case "content-length", "l":
			if length, err = strconv.Atoi(value); err != nil || length < 0 || length > MaxBody {
				return 0, fmt.Errorf("body of %.20q bytes, at most %d", value, MaxBody)
			}
		}
	}
}

// Answer writes the response to a request, with a status such as "202 Accepted" and
// the address "host:port" and transport ("tcp") where the server is reached.
func (req *Request) Answer(status string, now time.Time, contact, transport string) []byte {
	return req.answer(status, now, fmt.Sprintf("Contact: <sip:%s;transport=%s>\r\n", contact, transport), "")
}

// answer writes a response with lines of its own behind those that every one has.
func (req *Request) answer(status string, now time.Time, lines, body string) []byte {
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
	fmt.Fprintf(&b, "Date: %s\r\n%sContent-Length: %d\r\n\r\n%s", now.UTC().Format(dateForm), lines, len(body), body)
	return []byte(b.String())
}

// dateForm is that of the Date header.
const dateForm = "Mon, 02 Jan 2006 15:04:05 GMT"

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
func (req *Request) Alarm() (*Alarm, error) { return ReadAlarm(req.Body) }

// ReadAlarm reads an alarm, as phones send it by SIP and by SCCP.
func ReadAlarm(body []byte) (*Alarm, error) {
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
	if err := xml.Unmarshal(body, &doc); err != nil {
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
