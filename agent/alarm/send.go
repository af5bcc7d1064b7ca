package alarm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"itlagent/agent/logger"
	"itlagent/agent/printable"
)

// Sender sends alarms. Dial, Rand and Now must be set.
type Sender struct {
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Rand      io.Reader
	Now       func() time.Time
	UserAgent string        // "Cisco-CP7821/12.1.1"
	Line      string        // the phone's number; Device where ""
	PerServer time.Duration // DefaultPerServer where 0
	Log       logger.Logger
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

// Deliver sends the alarms that wait, oldest first, each to the first server that
// accepts it, and returns how many were accepted. One that no server accepts, and
// one refuses for good, is dropped, logged and counted. Deliver ends with an error
// at the first alarm that another try may help: that one and those behind it go on
// waiting.
func (s *Sender) Deliver(ctx context.Context, q *Queue, servers []Server) (sent int, err error) {
	if len(servers) == 0 {
		return 0, errors.New("no server to send alarms to")
	}
	for {
		waiting, _ := q.Waiting()
		if len(waiting) == 0 {
			return sent, nil
		}
		refused, err := s.toAny(ctx, servers, waiting[0])
		switch {
		case err == nil:
			sent++
		case refused:
			s.Log.Noticef("alarm of %s: dropped, no server accepts it: %v", printable.Text(waiting[0].Device), err)
		default:
			return sent, err
		}
		if err := q.remove(waiting[0], refused); err != nil {
			return sent, err
		}
	}
}

// toAny sends an alarm to the first server that accepts it. refused says that none
// does, and that one refuses it for good.
func (s *Sender) toAny(ctx context.Context, servers []Server, i Info) (refused bool, err error) {
	var all []error
	for _, server := range servers {
		err := s.sendIn(ctx, server, i)
		if err == nil {
			return false, nil
		}
		s.Log.Debugf("alarm to %s: %v", printable.Text(server.Address), err)
		all = append(all, fmt.Errorf("%s: %w", printable.Text(server.Address), err))
		if ctx.Err() != nil {
			return false, errors.Join(all...)
		}
		var no *refusal
		if errors.As(err, &no) && refusesForGood(no.code) {
			refused = true
			if endsEverywhere(no.code) {
				break
			}
		}
	}
	return refused, errors.Join(all...)
}

// sendIn is send within the time of one server.
func (s *Sender) sendIn(ctx context.Context, server Server, i Info) error {
	per := s.PerServer
	if per == 0 {
		per = DefaultPerServer
	}
	ctx, cancel := context.WithTimeout(ctx, per)
	defer cancel()
	err := s.send(ctx, server, i)
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// send sends one alarm to one server and waits until that accepts or refuses it.
// The connection closes when the context ends.
func (s *Sender) send(ctx context.Context, server Server, i Info) error {
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
		return exchangeUDP(conn, req, callID, deadline)
	}
	if _, err := conn.Write(req); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(conn, MaxAnswer))
	for {
		a, err := readAnswer(in)
		switch {
		case err != nil:
			return err
		case a.callID == callID && !a.provisional():
			return a.err()
		}
	}
}

// Timers of RFC 3261 for a request that is no INVITE, by UDP.
const (
	timerT1 = 500 * time.Millisecond // the first pause; each is twice the one before
	timerT2 = 4 * time.Second        // the longest pause, and each after a provisional answer
	timerF  = 64 * timerT1           // until the server counts as silent
)

// exchangeUDP sends a request, again after each pause, until a final answer comes
// or its time is over: that of timer F, or the deadline.
func exchangeUDP(conn net.Conn, req []byte, callID string, deadline time.Time) error {
	if f := time.Now().Add(timerF); f.Before(deadline) {
		deadline = f
	}
	buf := make([]byte, MaxAnswer)
	for pause := timerT1; ; pause = min(2*pause, timerT2) {
		if _, err := conn.Write(req); err != nil {
			return err
		}
		until := time.Now().Add(pause)
		last := !until.Before(deadline)
		if last {
			until = deadline
		}
		conn.SetReadDeadline(until)
		for {
			n, err := conn.Read(buf)
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() && !last {
				break
			}
			if err != nil {
				return fmt.Errorf("no answer: %w", err)
			}
			a, err := readAnswer(bufio.NewReader(bytes.NewReader(buf[:n])))
			switch {
			case err != nil || a.callID != callID: // another's, or broken
			case a.provisional():
				pause = timerT2
			default:
				return a.err()
			}
		}
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
