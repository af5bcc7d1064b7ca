// Package registertest is a call manager in memory for tests of phones: it accepts
// registrations, answers alarms, and sends NOTIFYs.
//
//	m := registertest.New(t)
//	client := register.New(register.Config{Dial: m.Dial, ...})
//	first := m.Next("REGISTER")
//	answer := m.Notify("action=reset\r\nRegisterCallId={" + first.Get("call-id") + "}\r\n")
//
// It is reached by pipes, so that tests may run in a bubble of testing/synctest. It reads
// with package sip, which is fuzzed, and checked against other programs' parsers, where it
// stands. Methods are safe for concurrent use.
package registertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"itlagent/agent/sip"
)

// Manager is one call manager.
type Manager struct {
	t testing.TB

	// Answer, if not nil, gives the bytes to answer a request with; nil bytes give none.
	// It is set before the first connection.
	Answer func(m *sip.Message) []byte

	requests chan *sip.Message

	mu      sync.Mutex
	down    bool
	conns   map[*buffer]bool
	with    *buffer // of the last REGISTER that asked for time
	answers chan *sip.Message
	sent    int
	order   []string // methods, as they came
}

// New returns a call manager that accepts every phone for 120 s.
func New(t testing.TB) *Manager {
	return &Manager{t: t, requests: make(chan *sip.Message, 4096), conns: make(map[*buffer]bool), answers: make(chan *sip.Message, 4096)}
}

// Accept answers a request as CUCM does, granting so many seconds.
func Accept(m *sip.Message, seconds int) []byte {
	status, more := "200 OK", []sip.Field{{Name: "Date", Value: "Sat, 09 Mar 2019 18:32:45 GMT"}, {Name: "Server", Value: "Cisco-CUCM11.5"}}
	switch m.Method {
	case "REFER":
		status = "202 Accepted"
	case "REGISTER":
		more = append(more, sip.Field{Name: "Expires", Value: fmt.Sprint(seconds)}, sip.Field{Name: "Contact", Value: m.Get("contact") + ";x-cisco-newreg"})
	}
	return m.Answer(status, "1234567", more...)
}

// ErrDown is what connecting to a call manager that is down gives.
var ErrDown = errors.New("connection refused")

// Dial connects to the call manager, whatever the address.
func (m *Manager) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || ctx.Err() != nil {
		return nil, ErrDown
	}
	phone, pipe := net.Pipe()
	mine := buffered(pipe)
	m.conns[mine] = true
	go m.serve(mine)
	return phone, nil
}

// Serve answers on a connection that was made otherwise, until it ends.
func (m *Manager) Serve(conn net.Conn) {
	mine := buffered(conn)
	m.mu.Lock()
	m.conns[mine] = true
	m.mu.Unlock()
	m.serve(mine)
}

func (m *Manager) serve(conn *buffer) {
	defer func() {
		conn.Close()
		m.mu.Lock()
		delete(m.conns, conn)
		m.mu.Unlock()
	}()
	in := sip.NewReader(conn)
	for {
		msg, err := in.Next()
		if err != nil {
			if err != io.EOF && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
				m.t.Logf("call manager: %v", err)
			}
			return
		}
		if msg.Method == "" {
			m.answers <- msg
			continue
		}
		m.mu.Lock()
		m.order = append(m.order, msg.Method)
		if msg.Method == "REGISTER" && msg.Get("expires") != "0" {
			m.with = conn
		}
		m.mu.Unlock()
		answer := Accept(msg, 120)
		if m.Answer != nil {
			answer = m.Answer(msg)
		}
		var failed error
		if answer != nil {
			_, failed = conn.Write(answer)
		}
		m.requests <- msg // whoever takes it may send an order, which then is behind the answer
		if failed != nil {
			return
		}
	}
}

// Next returns the next request that was answered, which must have the method; others before it are passed
// over.
func (m *Manager) Next(method string) *sip.Message {
	for {
		if msg := <-m.requests; msg.Method == method {
			return msg
		}
	}
}

// Waiting returns how many requests nobody has taken with Next.
func (m *Manager) Waiting() int { return len(m.requests) }

// Methods returns the methods of all requests, in their order.
func (m *Manager) Methods() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.order...)
}

// Notify sends a NOTIFY for service-control on the connection of the last registration,
// and returns the phone's answer; nil where it has no connection.
func (m *Manager) Notify(body string) *sip.Message {
	return m.Ask("NOTIFY", "service-control", body)
}

// Ask sends any request there.
func (m *Manager) Ask(method, event, body string) *sip.Message {
	m.mu.Lock()
	conn := m.with
	m.sent++
	n := m.sent
	m.mu.Unlock()
	if conn == nil {
		return nil
	}
	if _, err := conn.Write(Request(n, method, event, body)); err != nil {
		return nil
	}
	select {
	case answer := <-m.answers:
		return answer
	case <-conn.closed:
	}
	select { // the answer may be what came last
	case answer := <-m.answers:
		return answer
	default:
		return nil
	}
}

// buffer is a connection whose writes do not wait for the other end, as those of a network:
// with a bare pipe a phone that answers an order and a call manager that answers a phone
// would wait for each other.
type buffer struct {
	net.Conn
	out    chan []byte
	once   sync.Once
	closed chan struct{}
}

func buffered(conn net.Conn) *buffer {
	b := &buffer{Conn: conn, out: make(chan []byte, 64), closed: make(chan struct{})}
	go func() {
		for {
			select {
			case text := <-b.out:
				if _, err := conn.Write(text); err != nil {
					b.Close()
				}
			case <-b.closed:
				return
			}
		}
	}()
	return b
}

func (b *buffer) Write(text []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, io.ErrClosedPipe
	case b.out <- append([]byte(nil), text...):
		return len(text), nil
	}
}

func (b *buffer) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

// Request writes a request of a call manager, the n-th.
func Request(n int, method, event, body string) []byte {
	var b strings.Builder
	for _, line := range []string{
		method + " sip:04984998-fe29-08c0-6d47-5593bf4ce606@192.0.2.104:51778;transport=tcp SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/TCP 192.0.2.200:5060;branch=z9hG4bK%d", n), "From: <sip:192.0.2.200>;tag=1690263215", "To: <sip:2222@192.0.2.104>",
		fmt.Sprintf("Call-ID: %d-notify@192.0.2.200", n), "CSeq: 101 " + method, "Max-Forwards: 70", "Date: Sat, 09 Mar 2019 18:32:45 GMT", "User-Agent: Cisco-CUCM12.5",
		"Event: " + event, "Subscription-State: active", "Contact: <sip:192.0.2.200:5060;transport=tcp>", "Content-Type: text/plain",
		fmt.Sprintf("Content-Length: %d", len(body)), "", body,
	} {
		b.WriteString(line + "\r\n")
	}
	return []byte(strings.TrimSuffix(b.String(), "\r\n"))
}

// Down ends all connections, and takes no new ones until Up.
func (m *Manager) Down() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = true
	for conn := range m.conns {
		conn.Close()
	}
}

// Up takes connections again.
func (m *Manager) Up() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = false
}

// Conns returns how many connections there are.
func (m *Manager) Conns() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}

// Answered returns the next answer of the phone.
func (m *Manager) Answered() *sip.Message { return <-m.answers }
