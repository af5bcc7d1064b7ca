package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pin/tftp/v3"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/pki"
)

// Limits of the servers.
const (
	httpReadTime = 5 * time.Second // as CUCM's
	tvsConnTime  = 10 * time.Second
	tvsConns     = 1024 // connections served at once, a node
)

// Faults change what a node answers, for tests. The zero value is a sound node.
type Faults struct {
	HTTPStatus int                // answered to every HTTP request, where not 0
	NoTVS      bool               // TVS closes every connection
	TVS        func(*tvs.Message) // changes each TVS response
}

// SetFaults replaces the node's faults.
func (n *Node) SetFaults(f Faults) {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	n.faults = f
}

func (n *Node) currentFaults() Faults {
	n.cluster.mu.Lock()
	defer n.cluster.mu.Unlock()
	return n.faults
}

// listeners are a node's sockets.
type listeners struct {
	http net.Listener
	udp  *net.UDPConn
	tvs  net.Listener

	web  *http.Server
	tftp *tftp.Server
	done sync.WaitGroup
}

// tvsAddress returns host and port of TVS; before Start, the standard port.
func (l *listeners) tvsAddress() (host, port string) {
	if l.tvs == nil {
		return "127.0.0.1", strconv.Itoa(tvs.DefaultPort)
	}
	host, port, _ = net.SplitHostPort(l.tvs.Addr().String())
	return host, port
}

// Address returns "host:port" of the node's HTTP and TFTP services.
func (n *Node) Address() string { return n.listeners.http.Addr().String() }

// TVSAddress returns "host:port" of the node's TVS service.
func (n *Node) TVSAddress() string { return n.listeners.tvs.Addr().String() }

// Start opens every node's listeners and serves until Close.
func (c *Cluster) Start() error {
	for i, n := range c.nodes {
		port := 0
		if c.opts.Ports != 0 {
			port = c.opts.Ports + 2*i
		}
		if err := n.start(c.opts.Host, port); err != nil {
			c.Close()
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

// Close stops every service and waits for it.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		n.stop()
	}
}

func (n *Node) start(host string, port int) error {
	l := &n.listeners
	if err := l.bindPair(host, port); err != nil {
		return err
	}
	tvsPort := 0
	if port != 0 {
		tvsPort = port + 1
	}
	var err error
	if l.tvs, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(tvsPort))); err != nil {
		return err
	}
	l.web = &http.Server{
		Handler: http.HandlerFunc(n.serveHTTP), ReadTimeout: httpReadTime, MaxHeaderBytes: 8 << 10,
		ErrorLog: log.New(logWriter{n}, "", 0),
	}
	l.web.SetKeepAlivesEnabled(false) // one connection a file, as CUCM
	l.tftp = tftp.NewServer(n.serveTFTP, nil)
	l.tftp.SetTimeout(500 * time.Millisecond)
	l.tftp.SetBackoff(func(int) time.Duration { return 0 })
	l.tftp.SetBlockSizeNegotiation(false)
	for _, serve := range []func(){
		func() { l.web.Serve(l.http) },
		func() { l.tftp.Serve(l.udp) },
		n.serveTVS,
	} {
		l.done.Go(serve)
	}
	return nil
}

// bindPair opens tcp and udp on one port number.
func (l *listeners) bindPair(host string, port int) error {
	const tries = 20 // a free udp port may be taken for tcp
	var err error
	for range tries {
		if l.http, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
			return err
		}
		addr := l.http.Addr().(*net.TCPAddr)
		if l.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: addr.IP, Port: addr.Port}); err == nil {
			return nil
		}
		l.http.Close()
		if port != 0 {
			break
		}
	}
	l.http = nil
	return err
}

// logWriter hands the web server's complaints to the cluster's log.
type logWriter struct{ n *Node }

func (w logWriter) Write(p []byte) (int, error) {
	w.n.cluster.opts.Logf("%s: HTTP %s", w.n.Name, bytes.TrimSpace(p))
	return len(p), nil
}

func (n *Node) stop() {
	l := &n.listeners
	if l.http == nil {
		return
	}
	if l.web != nil {
		l.web.Close()
		l.tftp.Shutdown()
	}
	l.http.Close()
	l.udp.Close()
	if l.tvs != nil {
		l.tvs.Close()
	}
	l.done.Wait()
}

func (n *Node) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if code := n.currentFaults().HTTPStatus; code != 0 {
		w.WriteHeader(code)
		return
	}
	data, err := n.file(strings.TrimPrefix(r.URL.Path, "/"))
	switch {
	case err == errNoFile:
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		n.cluster.opts.Logf("%s: HTTP %s: %v", n.Name, r.URL.Path, err)
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "*/*")
		w.Write(data)
	}
}

func (n *Node) serveTFTP(name string, to io.ReaderFrom) error {
	data, err := n.file(name)
	if err != nil {
		return err // the library sends it as ERROR code 1
	}
	_, err = to.ReadFrom(bytes.NewReader(data))
	return err
}

func (n *Node) serveTVS() {
	slots := make(chan struct{}, tvsConns)
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		conn, err := n.listeners.tvs.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			n.cluster.opts.Logf("%s: TVS accept: %v", n.Name, err)
			continue
		}
		slots <- struct{}{}
		conns.Go(func() {
			defer func() { conn.Close(); <-slots }()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			if err := n.answerTVS(conn); err != nil {
				n.cluster.opts.Logf("%s: TVS %v: %v", n.Name, conn.RemoteAddr(), err)
			}
		})
	}
}

// answerTVS serves one request of one connection.
func (n *Node) answerTVS(raw net.Conn) error {
	faults := n.currentFaults()
	if faults.NoTVS {
		return nil
	}
	raw.SetDeadline(time.Now().Add(tvsConnTime))
	n.cluster.mu.Lock()
	identity := n.vouching
	n.cluster.mu.Unlock()
	conn := tls.Server(raw, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity.TLS()}, SessionTicketsDisabled: true,
	})
	defer conn.Close()
	req, err := tvs.Read(conn)
	if err != nil {
		return err
	}
	res := tvs.Respond(req, directory{n.cluster}, AnswerTTL)
	if res == nil {
		return fmt.Errorf("%v is no request", req.Type)
	}
	res.Reserved = 0xf7 // servers leave rubbish there
	if faults.TVS != nil {
		faults.TVS(res)
	}
	b, err := res.Append(nil)
	if err != nil {
		return err
	}
	_, err = conn.Write(b)
	return err
}

// directory is what the cluster's TVS services know: the certificates of every
// node, the recovery certificate, and what was imported.
type directory struct{ c *Cluster }

type known struct {
	der   []byte
	roles []trustlist.Role
	q     trust.Question
}

func (d directory) all() []known {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	var out []known
	add := func(id *pki.Identity, roles ...trustlist.Role) {
		cert := id.Certificate
		out = append(out, known{cert.Raw, roles, trust.Question{
			Issuer: trustlist.FormatName(cert.Issuer), Serial: cert.SerialNumber.Bytes()}})
	}
	for _, n := range d.c.nodes {
		add(n.units[CallManager], trustlist.SAST, trustlist.CCMTFTP)
		add(n.units[TVS], trustlist.TVS)
		add(n.units[CAPF], trustlist.CAPF)
	}
	add(d.c.recovery, trustlist.SAST)
	for _, id := range d.c.imported {
		add(id, trustlist.SAST, trustlist.TFTP)
	}
	return out
}

// Find looks a certificate up by issuer and serial number.
func (d directory) Find(q trust.Question) ([]byte, []trustlist.Role, bool) {
	for _, k := range d.all() {
		if k.q.Same(q) {
			return k.der, k.roles, true
		}
	}
	return nil, nil, false
}

// Vouch looks a certificate up by its bytes.
func (d directory) Vouch(der []byte) ([]trustlist.Role, bool) {
	for _, k := range d.all() {
		if bytes.Equal(k.der, der) {
			return k.roles, true
		}
	}
	return nil, false
}
