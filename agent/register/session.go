package register

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/sip"
)

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
		r, rank, err := s.any(ctx, cause)
		var later time.Duration
		if err == nil {
			began := time.Now()
			cause, err = s.stay(ctx, r, rank)
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
func (s *session) any(ctx context.Context, cause Cause) (r *registration, rank int, err error) {
	var all []error
	for rank, server := range s.servers {
		r, err := s.register(ctx, server, cause)
		if err == nil {
			return r, rank, nil
		}
		s.c.conf.Log.Debugf("registration with %s: %v", printable.Text(server.Address), err)
		all = append(all, fmt.Errorf("%s: %w", printable.Text(server.Address), err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, 0, errors.Join(all...)
}

// connect connects to a server, and begins a dialog there.
func (s *session) connect(ctx context.Context, server sip.Server) (*registration, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := sip.Dial(ctx, s.c.conf.Dial, server)
	if err != nil {
		return nil, err
	}
	r := &registration{c: s.c, conn: conn}
	r.dialog, err = s.c.dialog(conn)
	conn.Serve(r.handle)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// register registers with one server: what waits goes first, on the same connection.
func (s *session) register(ctx context.Context, server sip.Server, cause Cause) (*registration, error) {
	r, err := s.connect(ctx, server)
	if err != nil {
		return nil, err
	}
	s.c.conf.First(ctx, r.conn)
	if err := r.renew(ctx, r.dialog.phone.reason(cause)); err != nil {
		if ctx.Err() != nil {
			r.leave() // it may have been on its way
		}
		r.conn.Close()
		return nil, err
	}
	now := s.c.conf.Now()
	s.c.set(func(st *State) {
		st.Server, st.Transport, st.Since, st.Granted, st.Failure = server.Address, server.Transport, now, r.granted, nil
	})
	s.c.conf.Log.Debugf("registered with %s for %v, Last=%v", printable.Text(server.Address), r.granted, cause)
	return r, nil
}

// stay keeps a registration until it is lost, or there is a better one. It returns why the
// phone registers again.
func (s *session) stay(ctx context.Context, r *registration, rank int) (cause Cause, err error) {
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
			r.leave()
		}
		r.conn.Close()
		s.c.set(func(st *State) { st.Server, st.Standby = "", "" })
	}()
	for {
		refresh := time.NewTimer(refreshAfter(r.granted))
		select {
		case <-ctx.Done():
			return cause, ctx.Err()
		case <-better:
			r.leave()
			return Failback, errors.New("a call manager of higher priority is back")
		case <-r.conn.Done():
			err := r.conn.Err()
			s.c.conf.Log.Debugf("%s: connection lost: %v", printable.Text(r.conn.Server().Address), err)
			return ClosedTCP, fmt.Errorf("connection lost: %w", err)
		case <-s.soon:
			s.c.conf.First(ctx, r.conn)
		case <-refresh.C:
			err := r.renew(ctx, "")
			if no := (*refusal)(nil); errors.As(err, &no) {
				return Rejected, err
			} else if err != nil {
				return KeepaliveTO, err
			}
			s.c.set(func(st *State) { st.Granted = r.granted })
		}
		refresh.Stop()
	}
}

// registration is a phone's dialog with one server.
type registration struct {
	c        *Client
	conn     *sip.Conn
	dialog   *dialog
	granted  time.Duration
	accepted atomic.Bool // the server has the phone: its orders count

	// Of the reader of the connection alone.
	told int    // refusals that were told
	last string // transaction of the request before, and what was answered
	said []byte
}

// ask sends a REGISTER and returns its answer.
func (r *registration) ask(ctx context.Context, limit time.Duration, expires int, reason string, seen func(*sip.Message)) (*sip.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := r.dialog.register(expires, reason, r.c.conf.Now(), r.c.conf.Rand)
	if err != nil {
		return nil, err
	}
	req.Seen = seen
	return r.conn.Ask(ctx, req)
}

// renew registers for the time that the server grants.
func (r *registration) renew(ctx context.Context, reason string) error {
	m, err := r.ask(ctx, answerTime, askedExpires, reason, func(m *sip.Message) {
		_, err := granted(m)
		r.accepted.Store(err == nil) // an order may follow right behind the answer
	})
	if err != nil {
		return err
	}
	if r.granted, err = granted(m); err != nil {
		return err
	}
	if at, ok := date(m); ok {
		r.c.conf.Dated(at)
	}
	return nil
}

// leave unregisters. Its own time counts, for the session's is over.
func (r *registration) leave() {
	r.accepted.Store(false)
	if _, err := r.ask(context.Background(), leaveTime, 0, "", nil); err != nil {
		r.c.conf.Log.Debugf("unregister: %v", err)
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
	r *registration
}

func (b *standby) close() {
	if b.r != nil {
		b.r.conn.Close()
	}
	b.r = nil
}

// alive sends the back-up a REGISTER for no time, which is its keep-alive.
func (b *standby) alive(ctx context.Context, server sip.Server) {
	var err error
	if b.r == nil {
		b.r, err = b.s.connect(ctx, server)
	}
	name := server.Address
	if err == nil {
		_, err = b.r.ask(ctx, answerTime, 0, "", nil)
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
	r, err := s.connect(ctx, server)
	if err != nil {
		return false
	}
	defer r.conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := r.dialog.tokenRequest(s.c.conf.Now(), s.c.conf.Rand)
	if err != nil {
		return false
	}
	m, err := r.conn.Ask(ctx, req)
	return err == nil && (m.Code/100 == 2 || tokenMissing(m.Code))
}
