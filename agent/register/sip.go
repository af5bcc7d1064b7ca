package register

import (
	"context"
	"sync/atomic"
	"time"

	"itlagent/agent/sip"
)

// connectSIP connects to a server, and begins a dialog there.
func (c *Client) connectSIP(ctx context.Context, server sip.Server) (link, error) {
	conn, err := sip.Dial(ctx, c.conf.Dial, server)
	if err != nil {
		return nil, err
	}
	r := &registration{c: c, conn: conn}
	r.dialog, err = c.dialog(conn)
	conn.Serve(r.handle)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
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

// register registers for the first time on this connection.
func (r *registration) register(ctx context.Context, cause Cause) error {
	return r.askTime(ctx, r.dialog.phone.reason(cause))
}

func (r *registration) renew(ctx context.Context) error { return r.askTime(ctx, "") }

func (r *registration) refresh() (granted, after time.Duration) {
	return r.granted, refreshAfter(r.granted)
}

func (r *registration) first(ctx context.Context) { r.c.conf.First(ctx, r.conn) }
func (r *registration) done() <-chan struct{}     { return r.conn.Done() }
func (r *registration) lost() error               { return r.conn.Err() }
func (r *registration) close()                    { r.conn.Close() }

// askTime registers for the time that the server grants.
func (r *registration) askTime(ctx context.Context, reason string) error {
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

// alive sends a back-up a REGISTER for no time, which is its keep-alive.
func (r *registration) alive(ctx context.Context) error {
	_, err := r.ask(ctx, answerTime, 0, "", nil)
	return err
}

// mayReturn sends the REFER that asks for a token.
func (r *registration) mayReturn(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := r.dialog.tokenRequest(r.c.conf.Now(), r.c.conf.Rand)
	if err != nil {
		return false
	}
	m, err := r.conn.Ask(ctx, req)
	return err == nil && (m.Code/100 == 2 || tokenMissing(m.Code))
}
