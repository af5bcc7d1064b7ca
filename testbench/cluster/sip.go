package cluster

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/events"
)

// Limits of the SIP service.
const (
	sipHead     = 8 << 10  // bytes of start line and headers
	sipBody     = 16 << 10 // bytes
	sipIdle     = 2 * time.Minute
	sipDatagram = sipHead + sipBody
)

// startSIP starts what a phone reports to: it takes alarms and answers 202. Calls
// are not its matter.
func (n *Node) startSIP(r *running) error {
	const tries = 20 // a free tcp port may be taken for udp
	for try := 1; ; try++ {
		free := strings.HasSuffix(n.Endpoint("sip"), ":0")
		l, err := net.Listen("tcp", n.Endpoint("sip"))
		if err != nil {
			return n.portError("sip", err)
		}
		addr := l.Addr().(*net.TCPAddr)
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: addr.Port})
		if err != nil {
			l.Close()
			if free && try < tries {
				continue
			}
			return n.portError("sip", err)
		}
		r.closers = append(r.closers, func() { l.Close(); udp.Close() })
		if err := n.keepPort("sip", l.Addr()); err != nil {
			return err
		}
		n.accept(r, l, sipConns, func(conn net.Conn) { n.serveSIP(r, conn) })
		r.done.Go(func() { n.serveSIPDatagrams(r, udp) })
		return nil
	}
}

func (n *Node) serveSIP(r *running, conn net.Conn) {
	in := bufio.NewReaderSize(conn, sipHead)
	for {
		conn.SetReadDeadline(time.Now().Add(sipIdle))
		req, err := readSIP(in)
		if err != nil {
			if err != io.EOF {
				n.cluster.opts.Logf("%s: SIP %v: %v", n.Name(), conn.RemoteAddr(), err)
			}
			return
		}
		answer := n.answerSIP(r, req, "TCP")
		if answer == nil {
			return
		}
		conn.SetWriteDeadline(time.Now().Add(sipIdle))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func (n *Node) serveSIPDatagrams(r *running, udp *net.UDPConn) {
	buf := make([]byte, sipDatagram)
	for {
		size, from, err := udp.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		req, err := readSIP(bufio.NewReaderSize(bytes.NewReader(buf[:size]), sipHead))
		if err != nil {
			n.cluster.opts.Logf("%s: SIP %v: %v", n.Name(), from, err)
			continue
		}
		if answer := n.answerSIP(r, req, "UDP"); answer != nil {
			udp.WriteToUDP(answer, from)
		}
	}
}

// sipRequest is what is read of a request.
type sipRequest struct {
	method string
	copied []string // header lines that the answer repeats, To without a tag
	to     string
	kind   string // Content-Type
	body   []byte
}

// readSIP reads one request. It holds at most sipHead and sipBody bytes.
func readSIP(in *bufio.Reader) (*sipRequest, error) {
	req := new(sipRequest)
	length, head := 0, 0
	for first := true; ; {
		line, err := in.ReadString('\n')
		if head += len(line); err != nil || head > sipHead {
			if err == io.EOF && head > 0 {
				err = io.ErrUnexpectedEOF
			}
			if err == nil {
				err = fmt.Errorf("more than %d bytes of headers", sipHead)
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
			req.method = method
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
			req.kind = value
		case "content-length", "l":
			if length, ok = atoi(value); !ok || length > sipBody {
				return nil, fmt.Errorf("body of %.20s bytes, at most %d", value, sipBody)
			}
		}
	}
	req.body = make([]byte, length)
	if _, err := io.ReadFull(in, req.body); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return req, nil
}

func atoi(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0
}

// answerSIP handles a request and returns the response; nil gives none.
func (n *Node) answerSIP(r *running, req *sipRequest, transport string) []byte {
	switch f := n.fault(CallManagerService); f.kind {
	case "close":
		return nil
	case "pause":
		n.wait(r, nil, held)
		return nil
	case "slow":
		n.wait(r, nil, f.delay)
	}
	status := "405 Method Not Allowed"
	switch req.method {
	case "REFER":
		status = "202 Accepted"
		if err := n.alarm(req); err != nil {
			n.cluster.opts.Logf("%s: SIP REFER: %v", n.Name(), err)
			status = "400 Bad Request"
		}
	case "REGISTER", "OPTIONS":
		status = "200 OK"
	case "ACK":
		return nil
	}
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
	endpoint := n.Endpoint("sip")
	fmt.Fprintf(&b, "Date: %s\r\nContact: <sip:%s;transport=%s>\r\nContent-Length: 0\r\n\r\n",
		n.cluster.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), endpoint, strings.ToLower(transport))
	return []byte(b.String())
}

// alarm puts an alarm of a phone into the event log. Beside the phone's own
// parameters stands what comes of comparing its ITL with those that the nodes
// serve.
func (n *Node) alarm(req *sipRequest) error {
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
	if err := xml.Unmarshal(req.body, &doc); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	const maxParameters = 32
	if doc.Alarm.Name == "" || len(doc.Alarm.Parameters) > maxParameters {
		return errors.New("not an alarm")
	}
	e := events.Event{Time: n.cluster.Now(), Node: n.Name(), App: appCCM, Severity: 6, Name: doc.Alarm.Name, Text: "Alarm of a phone"}
	for _, c := range e.Name {
		if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return fmt.Errorf("alarm name %.40q", e.Name)
		}
	}
	for _, p := range doc.Alarm.Parameters {
		e.Tags = append(e.Tags, events.Tag{Key: p.Name, Value: strings.TrimSpace(p.Value)})
	}
	if held := e.Tag("ITL_Signature"); held != "" {
		e.Tags = append(e.Tags, events.Tag{Key: "ITLStatus", Value: n.cluster.compareITL(held)})
	}
	return n.cluster.log.Add(e)
}

// compareITL compares the hash that a phone reports with the lists served now.
func (c *Cluster) compareITL(hash string) string {
	if strings.EqualFold(hash, "Not Installed") {
		return "Not Installed"
	}
	for _, n := range c.state().Nodes {
		sum := sha1.Sum(n.ITL)
		if strings.EqualFold(strings.ReplaceAll(hash, " ", ""), strings.ReplaceAll(trustlist.FormatSerial(sum[:]), ":", "")) {
			return "Match"
		}
	}
	return "MisMatch"
}
