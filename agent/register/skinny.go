package register

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/sccp"
	"itlagent/agent/sip"
)

// SCCP is the transport of a server that is reached by SCCP, over TLS where the server's
// configuration for it is set.
const SCCP sip.Transport = "sccp"

// skinny is a link by SCCP.
type skinny struct {
	c       *Client
	conn    net.Conn
	server  sip.Server
	every   time.Duration // between keep-alives
	answers chan sccp.Message
	asked   atomic.Bool // the phone asks to be registered here
	has     atomic.Bool // the server has accepted it: resets count
	told    int         // refusals that were told

	ended chan struct{}
	mu    sync.Mutex
	err   error
}

func (c *Client) connectSCCP(ctx context.Context, server sip.Server) (link, error) {
	conn, err := c.conf.Dial(ctx, "tcp", server.Address)
	if err != nil {
		return nil, err
	}
	if server.TLS != nil {
		secure := tls.Client(conn, server.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		conn = secure
	}
	l := &skinny{c: c, conn: conn, server: server, answers: make(chan sccp.Message, 1), ended: make(chan struct{})}
	go l.read()
	return l, nil
}

// read reads messages until the connection ends.
func (l *skinny) read() {
	var err error
	for err == nil {
		var m sccp.Message
		if m, err = sccp.Read(l.conn); err == nil {
			l.handle(m)
		}
	}
	l.conn.Close()
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	close(l.ended)
}

// handle takes a message of the server: an answer, or a reset.
func (l *skinny) handle(m sccp.Message) {
	switch m.ID {
	case sccp.RegisterAck, sccp.RegisterReject, sccp.KeepAliveAck, sccp.UnregisterAck:
		if m.ID == sccp.RegisterAck && l.asked.Load() {
			l.has.Store(true) // a reset may follow right behind
		}
		select {
		case l.answers <- m:
		default: // nobody asked
		}
	case sccp.ResetPhone:
		if err := l.order(m); err != nil {
			l.c.refuse(&l.told, l.server.Address, "SCCP reset: "+err.Error())
		}
	}
}

// order passes a reset on.
func (l *skinny) order(m sccp.Message) error {
	action, ok := m.Reset()
	o := Order{Action: map[sccp.Action]Action{sccp.Reset: Reset, sccp.Restart: Restart, sccp.ApplyConfig: ApplyConfig}[action]}
	switch {
	case !ok:
		return errors.New("unknown action")
	case !l.has.Load():
		return errors.New("the phone is not registered there")
	case !l.c.mayObey():
		return fmt.Errorf("%v: more than %d orders, then one each %v", o.Action, orderBurst, orderEvery)
	}
	l.c.obey(o)
	return nil
}

func (l *skinny) send(m sccp.Message) error {
	l.conn.SetWriteDeadline(time.Now().Add(answerTime))
	_, err := l.conn.Write(m.Bytes())
	return err
}

// ask sends a message, and waits for one of its answers.
func (l *skinny) ask(ctx context.Context, limit time.Duration, m sccp.Message, answers ...sccp.ID) (sccp.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.send(m); err != nil {
		return sccp.Message{}, err
	}
	for {
		select {
		case a := <-l.answers:
			for _, id := range answers {
				if a.ID == id {
					return a, nil
				}
			}
		case <-ctx.Done():
			return sccp.Message{}, fmt.Errorf("%w: %w", sip.ErrSilent, ctx.Err())
		case <-l.ended:
			return sccp.Message{}, fmt.Errorf("%w: %w", sip.ErrSilent, l.lost())
		}
	}
}

func (l *skinny) first(context.Context) {
	l.c.conf.Alarms(l.conn.LocalAddr(), func(xml []byte) error { return l.send(sccp.Alarm(xml)) })
}

// register tells the server of the phone: the cause stands in an alarm in front.
func (l *skinny) register(ctx context.Context, cause Cause) error {
	l.c.mu.Lock()
	r := sccp.Register{Device: l.c.conf.Device, MAC: strings.TrimPrefix(l.c.conf.Device, "SEP"), Load: l.c.load}
	l.c.mu.Unlock()
	if end, err := netip.ParseAddrPort(l.conn.LocalAddr().String()); err == nil {
		r.Address = end.Addr()
	}
	if n, err := strconv.ParseUint(l.c.conf.Model.Number(), 10, 32); err == nil {
		r.Type = uint32(n)
	}
	load, _, _ := strings.Cut(printable.Clip(r.Load, 31), " ")
	if err := l.send(sccp.Restarting(fmt.Sprintf("%d: Name=%s Load=%s Last=%v", cause.Code(), r.Device, load, cause))); err != nil {
		return err
	}
	l.asked.Store(true)
	a, err := l.ask(ctx, answerTime, r.Message(), sccp.RegisterAck, sccp.RegisterReject)
	if err == nil && a.ID == sccp.RegisterReject {
		text, _, _ := strings.Cut(string(a.Body), "\x00")
		err = fmt.Errorf("refused: %s", printable.Clip(text, 33))
	}
	l.every = a.KeepAlive()
	return err
}

func (l *skinny) renew(ctx context.Context) error {
	_, err := l.ask(ctx, answerTime, sccp.Message{ID: sccp.KeepAlive}, sccp.KeepAliveAck)
	return err
}

func (l *skinny) refresh() (granted, after time.Duration) { return l.every, l.every }

func (l *skinny) leave() {
	l.asked.Store(false)
	l.has.Store(false)
	if _, err := l.ask(context.Background(), leaveTime, sccp.Message{ID: sccp.UnregisterMe}, sccp.UnregisterAck); err != nil {
		l.c.conf.Log.Debugf("unregister: %v", err)
	}
}

func (l *skinny) alive(ctx context.Context) error { return l.renew(ctx) }

// mayReturn takes a server that answers a keep-alive for one that is back.
func (l *skinny) mayReturn(ctx context.Context) bool { return l.renew(ctx) == nil }

func (l *skinny) done() <-chan struct{} { return l.ended }

func (l *skinny) lost() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		return io.EOF
	}
	return l.err
}

func (l *skinny) close() {
	l.conn.Close()
	<-l.ended
}
