// Package sip is SIP (RFC 3261) as far as a phone needs it: messages are read and
// written, and a connection by TCP, UDP or TLS carries requests both ways.
//
//	conn, err := sip.Dial(ctx, dial, sip.Server{Address: "192.0.2.1:5060", Transport: sip.TCP})
//	conn.Serve(func(m *sip.Message, answer func([]byte) error) { answer(m.Answer("405 Method Not Allowed", tag)) })
//	answer, err := conn.Ask(ctx, request)
//
// A message has at most MaxHead bytes of start line and headers and MaxBody bytes of
// body; no more is read of one, and what breaks the form ends the connection. A Reader is
// not safe for concurrent use, a Conn is. What RFC 3261 leaves open is in quirks.go.
package sip

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of a message.
const (
	MaxHead = 8 << 10  // bytes of start line and headers
	MaxBody = 16 << 10 // bytes

	maxLine   = 4 << 10 // bytes of one line
	maxFields = 64      // header lines
)

// Field is a header line. The name has lower-case letters, in its long form.
type Field struct{ Name, Value string }

// Message is a request or an answer as it was read. It is not changed.
type Message struct {
	Method string // of a request; "" of an answer
	URI    string // of a request
	Code   int    // of an answer: 100 to 699
	Phrase string // of an answer

	Fields []Field
	Body   []byte
}

// Get returns the value of the first header line with a name in lower-case letters, ""
// without one.
func (m *Message) Get(name string) string {
	for _, f := range m.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// long are the long forms of names that have a short one.
var long = map[string]string{
	"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "c": "content-type", "l": "content-length",
	"o": "event", "k": "supported", "s": "subject", "e": "content-encoding", "u": "allow-events",
}

// Reader reads messages from a connection.
type Reader struct {
	in   *bufio.Reader
	head int // bytes of the message's head so far
}

// NewReader returns a reader of messages.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, maxLine)} }

// Wait returns once something of the next message is there, past the empty lines that
// keep a connection alive: until then a peer may be silent, from then on it has to go on.
// Between messages the error is io.EOF.
func (r *Reader) Wait() error {
	for {
		b, err := r.in.Peek(1)
		if err != nil {
			return err
		}
		if b[0] != '\r' && b[0] != '\n' {
			return nil
		}
		r.in.Discard(1)
	}
}

// Next reads one message. One without Content-Length has no body.
func (r *Reader) Next() (*Message, error) {
	m, length, err := r.readHead()
	if err != nil {
		return nil, err
	}
	m.Body = make([]byte, max(length, 0))
	if _, err := io.ReadFull(r.in, m.Body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("body: %w", err)
	}
	return m, nil
}

// Parse reads the message of a datagram. One without Content-Length has the rest for a
// body.
func Parse(datagram []byte) (*Message, error) {
	in := bytes.NewReader(datagram)
	r := NewReader(in)
	m, length, err := r.readHead()
	if err != nil {
		return nil, err
	}
	rest := datagram[len(datagram)-in.Len()-r.in.Buffered():]
	if length < 0 {
		length = len(rest)
	}
	if length > min(len(rest), MaxBody) {
		return nil, fmt.Errorf("body of %d bytes, %d are there, at most %d", length, len(rest), MaxBody)
	}
	m.Body = bytes.Clone(rest[:length])
	return m, nil
}

// readHead reads up to the empty line. length is that of the body, -1 where the message
// does not say it.
func (r *Reader) readHead() (m *Message, length int, err error) {
	if err := r.Wait(); err != nil {
		return nil, 0, err
	}
	r.head = 0
	first, err := r.line()
	if err != nil {
		return nil, 0, err
	}
	m = new(Message)
	if err := m.start(first); err != nil {
		return nil, 0, err
	}
	for {
		line, err := r.line()
		switch {
		case err != nil:
			return nil, 0, err
		case line == "":
			length, err = m.length()
			return m, length, err
		case line[0] == ' ' || line[0] == '\t': // it continues the one before (section 7.3.1)
			if len(m.Fields) == 0 {
				return nil, 0, fmt.Errorf("header line %.40q continues none", line)
			}
			if strings.ContainsFunc(line, control) {
				return nil, 0, fmt.Errorf("control character in header line %.40q", line)
			}
			last := &m.Fields[len(m.Fields)-1]
			last.Value = strings.TrimSpace(last.Value + " " + strings.TrimSpace(line))
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimRight(name, " \t"))
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, 0, fmt.Errorf("header line %.40q", line)
		}
		if len(m.Fields) == maxFields {
			return nil, 0, fmt.Errorf("more than %d header lines", maxFields)
		}
		if strings.ContainsFunc(value, control) { // an answer would repeat it
			return nil, 0, fmt.Errorf("control character in header line %.40q", line)
		}
		if full := long[name]; full != "" {
			name = full
		}
		m.Fields = append(m.Fields, Field{name, strings.TrimSpace(value)})
	}
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// line reads a line without its end.
func (r *Reader) line() (string, error) {
	line, err := r.in.ReadSlice('\n')
	r.head += len(line)
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("header line of more than %d bytes", maxLine)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	case r.head > MaxHead:
		return "", fmt.Errorf("more than %d bytes of headers", MaxHead)
	}
	return strings.TrimSuffix(string(line[:len(line)-1]), "\r"), nil
}

const version = "SIP/2.0"

// start reads "SIP/2.0 202 Accepted" or "NOTIFY sip:... SIP/2.0".
func (m *Message) start(line string) error {
	if rest, ok := strings.CutPrefix(line, version+" "); ok {
		digits, phrase, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || len(digits) != 3 || n < 100 || n > 699 {
			return fmt.Errorf("not a SIP answer: %.60q", line)
		}
		m.Code, m.Phrase = int(n), phrase
		return nil
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != version || parts[0] == "" || parts[1] == "" || strings.Trim(parts[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return fmt.Errorf("not a SIP message: %.60q", line)
	}
	m.Method, m.URI = parts[0], parts[1]
	return nil
}

// length returns what Content-Length says, -1 without one. Two that differ are refused.
func (m *Message) length() (int, error) {
	length := -1
	for _, f := range m.Fields {
		if f.Name != "content-length" {
			continue
		}
		n, err := strconv.ParseUint(f.Value, 10, 31)
		if err != nil || n > MaxBody {
			return 0, fmt.Errorf("body of %.20q bytes, at most %d", f.Value, MaxBody)
		}
		if length >= 0 && length != int(n) {
			return 0, fmt.Errorf("body of %d and of %d bytes", length, n)
		}
		length = int(n)
	}
	return length, nil
}

// Answer writes the answer to a request, without a body: with a status such as "200 OK",
// and a tag for To where the request has none there.
func (m *Message) Answer(status, tag string, more ...Field) []byte {
	var b strings.Builder
	b.WriteString(version + " " + status + "\r\n")
	put := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	for _, f := range m.Fields {
		switch f.Name {
		case "via":
			put("Via", f.Value)
		case "from":
			put("From", f.Value)
		case "to":
			if tag != "" && !strings.Contains(strings.ToLower(f.Value), ";tag=") {
				f.Value += ";tag=" + tag
			}
			put("To", f.Value)
		case "call-id":
			put("Call-ID", f.Value)
		case "cseq":
			put("CSeq", f.Value)
		}
	}
	for _, f := range more {
		put(f.Name, f.Value)
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return []byte(b.String())
}
