// Package siptest is a phone as a call manager sees it, for tests: it registers, reports a
// list, and answers a NOTIFY. It keeps to the traces of phones, and trusts nothing.
//
//	p, err := siptest.Dial("tcp", "127.0.0.1:5060", "SEP64A0E71502CC", nil)
//	code, err := p.Register(3600, "initialized")
//	action, err := p.Notified(200)
//	p.Close()
//
// A Phone is not safe for concurrent use. Every wait ends after WaitTime.
package siptest

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// WaitTime bounds every wait: generous, since it guards against hanging alone.
const WaitTime = 60 * time.Second

// Phone is a phone with one connection to a call manager.
type Phone struct {
	Device  string
	CallID  string // of its REGISTER
	Expires int    // that was granted last, in seconds
	Fresh   bool   // the last answer called the registration new
	// RetryAfter stands in answers to a NOTIFY that are not 200, in seconds; 0 leaves it out.
	RetryAfter int

	conn    net.Conn
	in      *textproto.Reader
	network string
	cseq    int
	waiting []message // read while an answer was awaited
}

// message is a message that the phone got.
type message struct {
	first  string
	header textproto.MIMEHeader
	body   string
}

// Dial connects a phone by "tcp", "udp" or, with a configuration, "tls".
func Dial(network, address, device string, conf *tls.Config) (*Phone, error) {
	transport := network
	if network == "tls" {
		transport = "tcp"
	}
	conn, err := net.DialTimeout(transport, address, WaitTime)
	if err != nil {
		return nil, err
	}
	if network == "tls" {
		secure := tls.Client(conn, conf)
		secure.SetDeadline(time.Now().Add(WaitTime))
		if err := secure.Handshake(); err != nil {
			conn.Close()
			return nil, err
		}
		conn = secure
	}
	return &Phone{Device: device, CallID: rand.Text()[:12] + "@127.0.0.1", conn: conn, network: network,
		in: textproto.NewReader(bufio.NewReaderSize(conn, 4096))}, nil
}

// Again gives the phone another Call-ID, as a reset does.
func (p *Phone) Again() { p.CallID = rand.Text()[:12] + "@127.0.0.1" }

// Close closes the connection.
func (p *Phone) Close() { p.conn.Close() }

// Send sends bytes as they are.
func (p *Phone) Send(b []byte) error {
	p.conn.SetWriteDeadline(time.Now().Add(WaitTime))
	_, err := p.conn.Write(b)
	return err
}

func (p *Phone) mac() string { return strings.ToLower(strings.TrimPrefix(p.Device, "SEP")) }

// request writes a request with the lines that every one has.
func (p *Phone) request(method, callID, lines, body string) error {
	p.cseq++
	host, _, _ := net.SplitHostPort(p.conn.RemoteAddr().String())
	me := p.conn.LocalAddr().String()
	text := fmt.Sprintf("%s sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%.8s\r\nFrom: <sip:1000@%s>;tag=%s00000000-11111111\r\n"+
		"To: <sip:1000@%s>\r\nCall-ID: %s\r\nMax-Forwards: 70\r\nCSeq: %d %s\r\nUser-Agent: Cisco-CP7965G/9.3.1\r\n"+
		"Contact: <sip:0a1b2c3d@%s;transport=%s>;+sip.instance=\"<urn:uuid:00000000-0000-0000-0000-%s>\";+u.sip!devicename.ccm.cisco.com=\"%s\";+u.sip!model.ccm.cisco.com=\"436\"\r\n"+
		"%sContent-Length: %d\r\n\r\n%s", method, host, strings.ToUpper(p.network), me, rand.Text(), host, p.mac(), host, callID, p.cseq, method,
		me, p.network, p.mac(), p.Device, lines, len(body), body)
	return p.Send([]byte(text))
}

// Register asks for a registration of so many seconds, and returns the code of the answer.
// last is how the phone has reset, for the first REGISTER after that; else "". Expires 0
// ends the registration.
func (p *Phone) Register(expires int, last string) (code int, err error) {
	lines := fmt.Sprintf("Expires: %d\r\n", expires)
	if last != "" {
		lines = fmt.Sprintf("Reason: SIP;cause=200;text=\"cisco-alarm:23 Name=%s ActiveLoad=SIP45.9-3-1.loads InactiveLoad=SIP45.8-4.loads Last=%s\"\r\n", p.Device, last) + lines
	}
	if err := p.request("REGISTER", p.CallID, lines, ""); err != nil {
		return 0, err
	}
	m, err := p.answer()
	if err != nil {
		return 0, err
	}
	p.Expires, _ = strconv.Atoi(m.header.Get("Expires"))
	p.Fresh = strings.Contains(m.header.Get("Contact"), "x-cisco-newreg")
	return m.code(), nil
}

// Report sends the alarm DeviceTLInfo with the SHA-1 of an ITL in hex, "Not Installed"
// where there is none, and returns the code of the answer.
func (p *Phone) Report(itl string) (code int, err error) {
	if itl == "" {
		itl = "Not Installed"
	}
	body := "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<x-cisco-alarm>\n<Alarm Name=\"DeviceTLInfo\">\n<ParameterList>\n" +
		"<String name=\"DeviceName\">" + p.Device + "</String>\n<String name=\"CTL_Signature\">Not Installed</String>\n" +
		"<String name=\"ITL_Signature\">" + itl + "</String>\n<String name=\"StatusCode\">3</String>\n</ParameterList>\n</Alarm>\n</x-cisco-alarm>"
	err = p.request("REFER", rand.Text()[:12]+"@127.0.0.1", "Refer-To: cid:1@127.0.0.1\r\nContent-Type: application/x-cisco-alarm+xml\r\n", body)
	if err != nil {
		return 0, err
	}
	m, err := p.answer()
	return m.code(), err
}

// Notified waits for a NOTIFY, answers it with a code, and returns what the phone is told
// to do. A NOTIFY that speaks of another registration is an error.
func (p *Phone) Notified(code int) (action string, err error) {
	var m message
	if len(p.waiting) > 0 {
		m, p.waiting = p.waiting[0], p.waiting[1:]
	} else if m, err = p.read(); err != nil {
		return "", err
	}
	if !strings.HasPrefix(m.first, "NOTIFY ") || m.header.Get("Event") != "service-control" {
		return "", fmt.Errorf("not a NOTIFY with service-control: %q", m.first)
	}
	for line := range strings.SplitSeq(m.body, "\r\n") {
		name, value, _ := strings.Cut(line, "=")
		switch {
		case name == "action":
			action = value
		case name == "RegisterCallId" && value != "{"+p.CallID+"}":
			return action, fmt.Errorf("RegisterCallId %s, the phone's is %s", value, p.CallID)
		}
	}
	later := ""
	if code != 200 && p.RetryAfter > 0 {
		later = fmt.Sprintf("Retry-After: %d\r\n", p.RetryAfter)
	}
	text := fmt.Sprintf("SIP/2.0 %d X\r\n%sVia: %s\r\nFrom: %s\r\nTo: %s;tag=1\r\nCall-ID: %s\r\nCSeq: %s\r\nContent-Length: 0\r\n\r\n", code, later,
		m.header.Get("Via"), m.header.Get("From"), m.header.Get("To"), m.header.Get("Call-ID"), m.header.Get("Cseq"))
	return action, p.Send([]byte(text))
}

// Closed waits until the call manager closes the connection.
func (p *Phone) Closed() error {
	for {
		_, err := p.read()
		if netErr := net.Error(nil); errors.As(err, &netErr) && netErr.Timeout() {
			return err
		}
		if err != nil {
			return nil
		}
	}
}

// answer waits for a final answer, past requests that come in between.
func (p *Phone) answer() (message, error) {
	for {
		m, err := p.read()
		if err != nil {
			return m, err
		}
		if code := m.code(); code >= 200 {
			return m, nil
		} else if code == 0 {
			p.waiting = append(p.waiting, m)
		}
	}
}

// code is that of an answer, 0 of a request.
func (m *message) code() int {
	rest, ok := strings.CutPrefix(m.first, "SIP/2.0 ")
	if !ok {
		return 0
	}
	digits, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(digits)
	return n
}

func (p *Phone) read() (m message, err error) {
	p.conn.SetReadDeadline(time.Now().Add(WaitTime))
	for m.first == "" { // keep-alives
		if m.first, err = p.in.ReadLine(); err != nil {
			return m, err
		}
	}
	if m.header, err = p.in.ReadMIMEHeader(); err != nil {
		return m, err
	}
	length, err := strconv.Atoi(m.header.Get("Content-Length"))
	if err != nil || length < 0 || length > 1<<16 {
		return m, fmt.Errorf("body of %q bytes", m.header.Get("Content-Length"))
	}
	body := make([]byte, length)
	_, err = io.ReadFull(p.in.R, body)
	m.body = string(body)
	return m, err
}
