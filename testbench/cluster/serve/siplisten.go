package serve

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"itlagent/agent/accept"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/pki"
	"itlagent/testbench/sip"
)

// Limits of the call manager service.
const (
	// sipIdle is between requests of somebody who is not registered: phones keep a back-up
	// alive every two minutes.
	sipIdle     = 3 * time.Minute
	sipRequest  = 10 * time.Second // from the first byte of a request to its last
	sipWrite    = 10 * time.Second
	sipTLS      = 10 * time.Second // of TLS
	sipDatagram = sip.MaxHead + sip.MaxBody

	// SIPConns is how many connections a node has with phones at once, by SIP, by SIP over
	// TLS, and the same by SCCP, each: 10,000 that are registered, and others. A registered phone's connection never
	// makes room for another one.
	SIPConns = 12_288
	// spareFiles are the descriptors that all else needs: other services, lists, sockets.
	spareFiles = 1024
)

// Descriptors returns how many file descriptors this process may have, and how many of
// them the connections of each of its nodes' phones may be: SIPConns, or fewer.
func Descriptors(nodes int) (limit, phones int) {
	limit = nodes*SIPConns + spareFiles
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil && r.Cur < uint64(1<<30) {
		limit = int(r.Cur) // Go has raised it to the most that there may be
	}
	return limit, max(min(SIPConns, (limit-spareFiles)/nodes), limit/2/nodes, 1)
}

// flow is how a phone is reached: over its connection, or by datagrams to where its own
// come from.
type flow struct {
	transport string // "TCP", "UDP" or "TLS"
	address   string
	key       registrar.Flow
	conn      *phoneConn // nil for UDP
}

// port is the name of the port that the flow has come to.
func (f *flow) port() string {
	if f.transport == "TLS" {
		return "sips"
	}
	return "sip"
}

// phoneConn is a connection that answers and NOTIFYs are written to, each at once.
type phoneConn struct {
	raw        net.Conn   // of the listener
	conn       net.Conn   // raw, or TLS over it
	mu         sync.Mutex // of writing
	registered atomic.Bool
}

// settle keeps a connection over which somebody is registered from making room for
// others, or ends that.
func (c *phoneConn) settle(registered bool) {
	c.registered.Store(registered)
	accept.Settle(c.raw, registered)
	if !registered {
		c.conn.SetReadDeadline(time.Now().Add(sipIdle))
	}
}

func (c *phoneConn) write(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(sipWrite))
	_, err := c.conn.Write(b)
	return err
}

// datagrams is a flow of registrar for a phone that uses UDP.
type datagrams struct {
	socket *net.UDPConn
	to     netip.AddrPort
}

// send sends what a registrar has for a phone.
func (r *running) send(m registrar.Message) {
	switch to := m.To.(type) {
	case *phoneConn:
		if to.write(m.Bytes) != nil {
			to.raw.Close() // its reader notices
		}
	case datagrams:
		to.socket.WriteToUDPAddrPort(m.Bytes, to.to)
	}
}

// startSIP starts what a phone registers with and reports to. Calls are not its matter.
func (n *Node) startSIP(r *running) error {
	const tries = 20 // a free tcp port may be taken for udp
	for try := 1; ; try++ {
		free := strings.HasSuffix(n.Node().Endpoint("sip"), ":0")
		l, err := net.Listen("tcp", n.Node().Endpoint("sip"))
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
		if err := n.setPort("sip", l.Addr()); err != nil {
			return err
		}
		r.accept(l, sipLimits(), func(conn net.Conn) { n.serveSIP(r, conn, conn, "TCP") })
		r.done.Go(func() { n.serveSIPDatagrams(r, udp) })
		break
	}
	r.done.Go(func() { n.tick(r) })
	if id := n.Node().Secure; id != nil {
		if err := n.startSIPS(r, id); err != nil {
			return err
		}
	}
	return n.startSCCP(r)
}

func sipLimits() accept.Limits {
	_, phones := Descriptors(1)
	return accept.Limits{Conns: phones, PerAddress: phones, First: sipIdle}
}

// startSIPS starts SIP by TLS.
func (n *Node) startSIPS(r *running, id *pki.Identity) error {
	l, err := n.listen(r, "sips")
	if err != nil {
		return err
	}
	r.accept(l, sipLimits(), n.byTLS(id, func(raw, secure net.Conn) { n.serveSIP(r, raw, secure, "TLS") }))
	return nil
}

// byTLS serves connections by TLS, with the certificate that CallManager had when it started.
// Phones show theirs, which is not checked: nobody here has issued it.
func (n *Node) byTLS(id *pki.Identity, handle func(raw, secure net.Conn)) func(net.Conn) {
	conf := &tls.Config{MinVersion: tls.VersionTLS10, ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{id.TLS()}}
	return func(conn net.Conn) {
		secure := tls.Server(conn, conf)
		conn.SetDeadline(time.Now().Add(sipTLS))
		if err := secure.Handshake(); err != nil {
			n.Logf("%s: %v: TLS: %v", n.Node().Name, conn.RemoteAddr(), err)
			return
		}
		conn.SetDeadline(time.Time{})
		handle(conn, secure)
	}
}

func (n *Node) serveSIP(r *running, raw, conn net.Conn, transport string) {
	c := &phoneConn{raw: raw, conn: conn}
	from := &flow{transport: transport, address: conn.RemoteAddr().String(), key: c, conn: c}
	defer n.phones.Gone(c)
	in := sip.NewReader(conn)
	for {
		patience := sipIdle
		if c.registered.Load() {
			patience = n.phones.Lifetime()
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		if in.Wait() == nil {
			conn.SetReadDeadline(time.Now().Add(sipRequest))
		}
		req, answer, err := in.Message()
		if err != nil {
			if err != io.EOF {
				n.Logf("%s: SIP %v: %v", n.Node().Name, conn.RemoteAddr(), err)
			}
			return
		}
		if answer != nil {
			n.answered(answer, from)
			continue
		}
		out := n.answerSIP(r, req, from)
		if out == nil || c.write(out) != nil {
			return
		}
	}
}

func (n *Node) serveSIPDatagrams(r *running, udp *net.UDPConn) {
	buf := make([]byte, sipDatagram)
	for {
		size, source, err := udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		from := &flow{transport: "UDP", address: source.String(), key: datagrams{udp, source}}
		req, answer, err := sip.NewReader(bytes.NewReader(buf[:size])).Message()
		switch {
		case err != nil:
			n.Logf("%s: SIP %v: %v", n.Node().Name, source, err)
		case answer != nil:
			n.answered(answer, from)
		default:
			if out := n.answerSIP(r, req, from); out != nil {
				udp.WriteToUDPAddrPort(out, source)
			}
		}
	}
}
