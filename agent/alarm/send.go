package alarm

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// MaxAnswer bounds what is read of a server's answer, in bytes.
const MaxAnswer = 8 << 10

// Sender sends alarms. Dial, Rand and Now must be set.
type Sender struct {
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Rand      io.Reader
	Now       func() time.Time
	UserAgent string        // "Cisco-CP7821/12.1.1"
	Line      string        // the phone's number; Device where ""
	PerServer time.Duration // DefaultPerServer where 0
	Logf      func(format string, args ...any)
}

// DefaultPerServer is how long one server may take for one alarm.
const DefaultPerServer = 4 * time.Second

// Transport is how a server is reached.
type Transport string

// The transports.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
	TLS Transport = "tls"
)

// Server is a call manager.
type Server struct {
	Address   string // "host:port"
	Transport Transport
	TLS       *tls.Config // for TLS
}

// ErrRefused says that a server answered, but not with 202.
var ErrRefused = errors.New("the alarm was refused")

// Deliver sends the alarms that wait, oldest first, each to the first server that
// takes it, and returns how many were. It ends at the first alarm that nobody
// takes: that one and those behind it go on waiting.
func (s *Sender) Deliver(ctx context.Context, q *Queue, servers []Server) (sent int, err error) {
	if len(servers) == 0 {
		return 0, errors.New("no server to send alarms to")
	}
	for {
		waiting, _ := q.Waiting()
		if len(waiting) == 0 {
			return sent, nil
		}
		if err := s.toAny(ctx, servers, waiting[0]); err != nil {
			return sent, err
		}
		sent++
		if err := q.sent(waiting[0]); err != nil {
			return sent, err
		}
	}
}

func (s *Sender) toAny(ctx context.Context, servers []Server, i Info) error {
	var all []error
	for _, server := range servers {
		err := s.send(ctx, server, i)
		if err == nil {
			return nil
		}
		s.logf("alarm to %s: %v", server.Address, err)
		all = append(all, fmt.Errorf("%s: %w", server.Address, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(all...)
}

// send sends one alarm to one server and waits for 202. By UDP the request is
// repeated, as RFC 3261 has it: after 500 ms, 1 s, 2 s.
func (s *Sender) send(ctx context.Context, server Server, i Info) error {
	per := s.PerServer
	if per == 0 {
		per = DefaultPerServer
	}
	ctx, cancel := context.WithTimeout(ctx, per)
	defer cancel()
	network := "tcp"
	if server.Transport == UDP {
		network = "udp"
	}
	conn, err := s.Dial(ctx, network, server.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if server.Transport == TLS {
		secure := tls.Client(conn, server.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		conn = secure
	}
	req, callID, err := s.request(conn.LocalAddr(), server, i)
	if err != nil {
		return err
	}
	if server.Transport == UDP {
		return s.exchangeUDP(conn, req, callID, deadline)
	}
	if _, err := conn.Write(req); err != nil {
		return err
	}
	return answered(bufio.NewReader(io.LimitReader(conn, MaxAnswer)), callID)
}

func (s *Sender) exchangeUDP(conn net.Conn, req []byte, callID string, deadline time.Time) error {
	buf := make([]byte, MaxAnswer)
	for wait := 500 * time.Millisecond; ; wait *= 2 {
		if _, err := conn.Write(req); err != nil {
			return err
		}
		until := time.Now().Add(wait)
		last := !until.Before(deadline)
		if last {
			until = deadline
		}
		conn.SetReadDeadline(until)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				if last {
					return err
				}
				break // silence, or a port that is closed yet
			}
			if err = answered(bufio.NewReader(strings.NewReader(string(buf[:n]))), callID); err == nil || errors.Is(err, ErrRefused) {
				return err
			}
		}
	}
}

// answered reads responses until a final one to the call: 202 it must be.
func answered(in *bufio.Reader, callID string) error {
	for {
		status, id := "", ""
		length := 0
		for first := true; ; first = false {
			line, err := in.ReadString('\n')
			if err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				break
			}
			if first {
				status = line
				continue
			}
			name, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimSpace(value); strings.ToLower(strings.TrimSpace(name)) {
			case "call-id", "i":
				id = value
			case "content-length", "l":
				var err error
				if length, err = strconv.Atoi(value); err != nil {
					return fmt.Errorf("answer with a body of %.20q bytes", value)
				}
			}
		}
		rest, ok := strings.CutPrefix(status, "SIP/2.0 ")
		if !ok || len(rest) < 3 {
			return fmt.Errorf("not a SIP answer: %.60q", status)
		}
		if length < 0 || length > MaxAnswer {
			return fmt.Errorf("answer with %d bytes", length)
		}
		if _, err := in.Discard(length); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		switch {
		case id != callID || rest[0] == '1': // another call's, or not the last word
		case rest[:3] == "202":
			return nil
		default:
			return fmt.Errorf("%w: %.60s", ErrRefused, rest)
		}
	}
}

// token returns n random bytes in hex.
func (s *Sender) token(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.Rand, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// request writes the REFER. Its header lines and their order are those of the
// traces.
func (s *Sender) request(local net.Addr, server Server, i Info) (req []byte, callID string, err error) {
	var parts [8]string
	for n, size := range []int{4, 12, 4, 16, 16, 4, 4, 4} {
		if parts[n], err = s.token(size); err != nil {
			return nil, "", err
		}
	}
	host, _, err := net.SplitHostPort(server.Address)
	if err != nil {
		return nil, "", err
	}
	me := i.Address
	at := me
	if local != nil {
		if h, port, err := net.SplitHostPort(local.String()); err == nil {
			if me == "" {
				me = h
			}
			at = net.JoinHostPort(me, port)
		}
	}
	line := s.Line
	if line == "" {
		line = i.Device
	}
	mac := strings.ToLower(strings.TrimPrefix(i.Device, "SEP"))
	transport := string(server.Transport)
	callID = fmt.Sprintf("%s-%.4s0006-%s-%s@%s", mac[:min(8, len(mac))], mac[min(8, len(mac)):], parts[2], parts[5], me)
	content := parts[6] + "@" + me
	body := i.Body()
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	put("REFER sip:%s SIP/2.0", host)
	put("Via: SIP/2.0/%s %s;branch=z9hG4bK%s", strings.ToUpper(transport), at, parts[0])
	put("From: \"%s\" <sip:%s@%s>;tag=%s%s-%s", line, line, me, mac, parts[1], parts[7])
	put("To: <sip:%s>", host)
	put("Call-ID: %s", callID)
	put("Session-ID: %s;remote=00000000000000000000000000000000", parts[3])
	put("Date: %s", s.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	put("CSeq: 1000 REFER")
	put("User-Agent: %s", s.UserAgent)
	put("Expires: 10")
	put("Max-Forwards: 70")
	contact := parts[4]
	put("Contact: <sip:%s-%s-%s-%s-%s@%s;transport=%s>;+u.sip!devicename.ccm.cisco.com=\"%s\"",
		contact[:8], contact[8:12], contact[12:16], contact[16:20], contact[20:], at, transport, i.Device)
	put("Require: norefersub")
	put("Referred-By: \"%s\" <sip:%s@%s>", line, line, me)
	put("Refer-To: cid:%s", content)
	put("Content-Id: <%s>", content)
	put("Allow: ACK,BYE,CANCEL,INVITE,NOTIFY,OPTIONS,REFER,REGISTER,UPDATE,SUBSCRIBE")
	put("Content-Length: %d", len(body))
	put("Content-Type: application/x-cisco-alarm+xml")
	put("Content-Disposition: session;handling=required")
	put("")
	return append([]byte(b.String()), body...), callID, nil
}

func (s *Sender) logf(format string, args ...any) {
	if s.Logf != nil {
		s.Logf(format, args...)
	}
}

// Backoff returns how long to wait before the next try, after so many that
// failed: 5 s, doubled each time, at most 10 minutes.
func Backoff(failed int) time.Duration {
	const least, most = 5 * time.Second, 10 * time.Minute
	if failed > 7 {
		return most
	}
	return min(least<<max(0, failed-1), most)
}
