package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"itlagent/testbench/sip"
)

// Limits of a listener.
const (
	liveConns = 1024
	liveIdle  = 2 * time.Minute
)

// Listener takes the alarms of phones by SIP, over tcp and udp.
type Listener struct {
	tcp net.Listener
	udp *net.UDPConn
}

// Listen opens a listener on "host:port"; port 0 takes a free one.
func Listen(address string) (*Listener, error) {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	at := tcp.Addr().(*net.TCPAddr)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
	if err != nil {
		tcp.Close()
		return nil, err
	}
	return &Listener{netutil.LimitListener(tcp, liveConns), udp}, nil
}

// Addr returns where it listens.
func (l *Listener) Addr() string { return l.tcp.Addr().String() }

// Collect adds the alarms that arrive until the context ends, and closes the
// listener.
func (l *Listener) Collect(ctx context.Context, a *Audit) error {
	var mu sync.Mutex // of the audit
	var failed error
	take := func(req *sip.Request, transport string) []byte {
		status := "405 Method Not Allowed"
		switch req.Method {
		case "ACK":
			return nil
		case "REGISTER", "OPTIONS":
			status = "200 OK"
		case "REFER":
			status = "202 Accepted"
			alarm, err := req.Alarm()
			var r Report
			if err == nil {
				r, err = FromAlarm(alarm, time.Now())
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrOther):
			case err != nil:
				status = "400 Bad Request"
				a.fault("alarm by SIP: %v", err)
			default:
				if err := a.Add(r); err != nil && failed == nil {
					failed = err
				}
			}
		}
		return req.Answer(status, time.Now(), l.Addr(), transport)
	}
	var conns sync.WaitGroup
	open := make(map[net.Conn]bool)
	var opening sync.Mutex
	conns.Go(func() { l.datagrams(take) })
	conns.Go(func() {
		for {
			conn, err := l.tcp.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
				continue
			}
			opening.Lock()
			open[conn] = true
			opening.Unlock()
			conns.Go(func() {
				serve(conn, take)
				conn.Close()
				opening.Lock()
				delete(open, conn)
				opening.Unlock()
			})
		}
	})
	<-ctx.Done()
	l.tcp.Close()
	l.udp.Close()
	opening.Lock()
	for conn := range open {
		conn.Close()
	}
	opening.Unlock()
	conns.Wait()
	return failed
}

func serve(conn net.Conn, take func(*sip.Request, string) []byte) {
	in := bufio.NewReaderSize(conn, sip.MaxHead)
	for {
		conn.SetDeadline(time.Now().Add(liveIdle))
		req, err := sip.Read(in)
		if err != nil {
			return
		}
		if _, err := conn.Write(take(req, "tcp")); err != nil {
			return
		}
	}
}

func (l *Listener) datagrams(take func(*sip.Request, string) []byte) {
	buf := make([]byte, sip.MaxHead+sip.MaxBody)
	for {
		n, from, err := l.udp.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		req, err := sip.Read(bufio.NewReaderSize(bytes.NewReader(buf[:n]), sip.MaxHead))
		if err != nil && err != io.EOF {
			continue
		}
		if req != nil {
			l.udp.WriteToUDP(take(req, "udp"), from)
		}
	}
}
