package audit

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"itlagent/agent/accept"
	"itlagent/testbench/evidence"
	"itlagent/testbench/sip"
)

// Limits of a listener.
const (
	liveConns   = 1024
	liveIdle    = 2 * time.Minute  // between requests
	liveRequest = 10 * time.Second // from the first byte of a request to its last
)

// Listener takes the alarms of phones by SIP, over tcp and udp.
type Listener struct {
	tcp net.Listener
	udp *net.UDPConn
}

// Listen opens a listener on "host:port"; port 0 takes a free one.
func Listen(address string) (*Listener, error) {
	_, port, _ := net.SplitHostPort(address) // net.Listen says what is wrong with it
	for tries := 1; ; tries++ {
		l, err := listen(address)
		if err == nil || port != "0" || tries == 10 || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
	}
}

// listen takes a port by TCP, which may be any one, and the same by UDP, where somebody
// else may have it.
func listen(address string) (*Listener, error) {
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
	return &Listener{tcp, udp}, nil
}

// Addr returns where it listens.
func (l *Listener) Addr() string { return l.tcp.Addr().String() }

// Collect adds the alarms that arrive until the context ends, and closes the
// listener.
func (l *Listener) Collect(ctx context.Context, reports *evidence.Reports) error {
	var mu sync.Mutex // of the reports
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
			var r evidence.Report
			if err == nil {
				r, err = evidence.FromAlarm(alarm, time.Now())
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, evidence.ErrOther):
			case err != nil:
				status = "400 Bad Request"
				reports.Fault("alarm by SIP: %v", err)
			default:
				if err := reports.Add(r); err != nil && failed == nil {
					failed = err
				}
			}
		}
		return req.Answer(status, time.Now(), l.Addr(), transport)
	}
	conns := accept.Serve(l.tcp, accept.Limits{Conns: liveConns, First: liveIdle}, func(conn net.Conn) { serve(conn, take) })
	var datagrams sync.WaitGroup
	datagrams.Go(func() { l.datagrams(take) })
	<-ctx.Done()
	l.udp.Close()
	conns.Close()
	datagrams.Wait()
	return failed
}

func serve(conn net.Conn, take func(*sip.Request, string) []byte) {
	in := sip.NewReader(conn)
	for {
		conn.SetDeadline(time.Now().Add(liveIdle))
		if in.Wait() == nil {
			conn.SetDeadline(time.Now().Add(liveRequest))
		}
		req, err := in.Next()
		if err != nil {
			return
		}
		if answer := take(req, "tcp"); answer != nil {
			if _, err := conn.Write(answer); err != nil {
				return
			}
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
		req, err := sip.NewReader(bytes.NewReader(buf[:n])).Next()
		if err != nil {
			continue
		}
		if answer := take(req, "udp"); answer != nil {
			l.udp.WriteToUDP(answer, from)
		}
	}
}
