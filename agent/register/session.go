package register

import (
	"context"
	"errors"
	"fmt"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

// link is a connection to one server, by SIP or by SCCP. Its methods are called by one
// goroutine, but for done.
type link interface {
	first(ctx context.Context)                       // sends what waits
	register(ctx context.Context, cause Cause) error // for as long as the server grants
	renew(ctx context.Context) error                 // the same again, before that is over
	refresh() (granted, after time.Duration)         // what was granted, and when to renew
	leave()                                          // unregisters, within leaveTime
	alive(ctx context.Context) error                 // keeps a back-up alive
	mayReturn(ctx context.Context) bool              // asks for the token of one of higher priority
	done() <-chan struct{}                           // closed when the connection is
	lost() error                                     // why
	close()
}

// session is a phone that registers with some servers until it leaves them.
type session struct {
	c       *Client
	servers []sip.Server
	soon    chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}
}

// hurry lets the session send what waits, or try again now.
func (s *session) hurry() {
	select {
	case s.soon <- struct{}{}:
	default:
	}
}

// run registers, and again, until the context ends.
func (s *session) run(ctx context.Context, cause Cause) {
	defer close(s.done)
	for failed := 0; ctx.Err() == nil; {
		s.c.set(func(st *State) { st.Cause = cause })
		l, rank, err := s.any(ctx, cause)
		var later time.Duration
		if err == nil {
			began := time.Now()
			cause, err = s.stay(ctx, l, rank)
			if time.Since(began) >= shortest {
				failed = 0
				continue
			}
		} else if no := (*refusal)(nil); errors.As(err, &no) {
			later = no.later
		}
		if ctx.Err() != nil {
			return
		}
		failed++
		s.c.set(func(st *State) { st.Failure = err })
		pause := max(Backoff(failed), later)
		s.c.conf.Log.Debugf("registration: %v; again in %v", err, pause)
		s.wait(ctx, s.c.spread(pause))
	}
}

// wait waits, or until somebody is in a hurry.
func (s *session) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.soon:
	case <-t.C:
	}
}

// spread varies a pause by up to a quarter, so that the phones of a cluster that was away
// do not come back at the same moment.
func (c *Client) spread(d time.Duration) time.Duration {
	b := make([]byte, 1)
	if _, err := c.conf.Rand.Read(b); err != nil {
		return d
	}
	return d - d/4 + d/2*time.Duration(b[0])/255
}

// any registers with the first server that accepts the phone, and returns its rank.
func (s *session) any(ctx context.Context, cause Cause) (l link, rank int, err error) {
	var all []error
	for rank, server := range s.servers {
		l, err := s.register(ctx, server, cause)
		if err == nil {
			return l, rank, nil
		}
		s.c.conf.Log.Debugf("registration with %s: %v", printable.Text(server.Address), err)
		all = append(all, fmt.Errorf("%s: %w", printable.Text(server.Address), err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, 0, errors.Join(all...)
}

// connect connects to a server.
func (s *session) connect(ctx context.Context, server sip.Server) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if server.Transport == SCCP {
		return s.c.connectSCCP(ctx, server)
	}
	return s.c.connectSIP(ctx, server)
}

// register registers with one server: what waits goes first, on the same connection.
func (s *session) register(ctx context.Context, server sip.Server, cause Cause) (link, error) {
	l, err := s.connect(ctx, server)
	if err != nil {
		return nil, err
	}
	l.first(ctx)
	if err := l.register(ctx, cause); err != nil {
		if ctx.Err() != nil {
			l.leave() // it may have been on its way
		}
		l.close()
		return nil, err
	}
	now := s.c.conf.Now()
	granted, _ := l.refresh()
	s.c.set(func(st *State) {
		st.Server, st.Transport, st.Since, st.Granted, st.Failure = server.Address, server.Transport, now, granted, nil
	})
	s.c.conf.Log.Debugf("registered with %s for %v, Last=%v", printable.Text(server.Address), granted, cause)
	return l, nil
}

// stay keeps a registration until it is lost, or there is a better one. It returns why the
// phone registers again.
func (s *session) stay(ctx context.Context, l link, rank int) (cause Cause, err error) {
	others, stop := context.WithCancel(ctx)
	better := make(chan struct{}, 1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.watch(others, rank, better)
	}()
	defer func() {
		stop()
		<-watched
		if ctx.Err() != nil {
			l.leave()
		}
		l.close()
		s.c.set(func(st *State) { st.Server, st.Standby = "", "" })
	}()
	for {
		_, after := l.refresh()
		refresh := time.NewTimer(after)
		select {
		case <-ctx.Done():
			return cause, ctx.Err()
		case <-better:
			l.leave()
			return Failback, errors.New("a call manager of higher priority is back")
		case <-l.done():
			err := l.lost()
			s.c.conf.Log.Debugf("%s: connection lost: %v", printable.Text(s.servers[rank].Address), err)
			return ClosedTCP, fmt.Errorf("connection lost: %w", err)
		case <-s.soon:
			l.first(ctx)
		case <-refresh.C:
			err := l.renew(ctx)
			if no := (*refusal)(nil); errors.As(err, &no) {
				return Rejected, err
			} else if err != nil {
				return KeepaliveTO, err
			}
			granted, _ := l.refresh()
			s.c.set(func(st *State) { st.Granted = granted })
		}
		refresh.Stop()
	}
}

// watch keeps the back-up alive, and asks servers of higher priority whether the phone may
// come back.
func (s *session) watch(ctx context.Context, rank int, better chan<- struct{}) {
	if len(s.servers) == 1 {
		return
	}
	standby := &standby{s: s}
	defer standby.close()
	next := time.Duration(0)
	for since := time.Duration(0); ; since += failbackTime {
		if since >= next && rank+1 < len(s.servers) {
			standby.alive(ctx, s.servers[rank+1])
			next = since + standbyTime
		}
		t := time.NewTimer(failbackTime)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		for _, server := range s.servers[:rank] {
			if s.mayReturn(ctx, server) {
				better <- struct{}{}
				return
			}
		}
	}
}

// standby is the connection to a back-up.
type standby struct {
	s *session
	l link
}

func (b *standby) close() {
	if b.l != nil {
		b.l.close()
	}
	b.l = nil
}

// alive keeps the back-up alive.
func (b *standby) alive(ctx context.Context, server sip.Server) {
	var err error
	if b.l == nil {
		b.l, err = b.s.connect(ctx, server)
	}
	name := server.Address
	if err == nil {
		err = b.l.alive(ctx)
	}
	if err != nil {
		b.s.c.conf.Log.Debugf("back-up %s: %v", printable.Text(name), err)
		b.close()
		name = ""
	}
	b.s.c.set(func(st *State) { st.Standby = name })
}

// mayReturn asks a server of higher priority for its token.
func (s *session) mayReturn(ctx context.Context, server sip.Server) bool {
	l, err := s.connect(ctx, server)
	if err != nil {
		return false
	}
	defer l.close()
	return l.mayReturn(ctx)
}
