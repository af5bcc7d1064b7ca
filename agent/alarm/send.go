package alarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"itlagent/agent/logger"
	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// Sender sends alarms. Dial, Rand and Now must be set.
type Sender struct {
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Rand      io.Reader
	Now       func() time.Time
	UserAgent string        // "Cisco-CP7821/12.1.1"
	Line      string        // the phone's number; Device where ""
	PerServer time.Duration // DefaultPerServer where 0
	Over      *sip.Conn     // a connection that is used for its server; nil: each alarm has one of its own
	Log       logger.Logger
}

// DefaultPerServer is how long one server may take for one alarm.
const DefaultPerServer = 4 * time.Second

// Deliver sends the alarms that wait, oldest first, each to the first server that
// accepts it, and returns how many were accepted. One that no server accepts, and
// one refuses for good, is dropped, logged and counted. Deliver ends with an error
// at the first alarm that another try may help: that one and those behind it go on
// waiting.
func (s *Sender) Deliver(ctx context.Context, q *Queue, servers []sip.Server) (sent int, err error) {
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
func (s *Sender) toAny(ctx context.Context, servers []sip.Server, i Info) (refused bool, err error) {
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
func (s *Sender) sendIn(ctx context.Context, server sip.Server, i Info) error {
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
func (s *Sender) send(ctx context.Context, server sip.Server, i Info) error {
	conn := s.Over
	if conn == nil || conn.Server().Address != server.Address {
		var err error
		if conn, err = sip.Dial(ctx, s.Dial, server); err != nil {
			return err
		}
		conn.Serve(nil)
		defer conn.Close()
	}
	req, err := s.request(conn.Local(), server, i)
	if err != nil {
		return err
	}
	m, err := conn.Ask(ctx, req)
	if err != nil {
		return err
	}
	return judge(m)
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
