package cluster

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pin/tftp/v3"
	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
)

// Limits of the servers, a node.
const (
	httpReadTime = 5 * time.Second // as CUCM's
	httpConns    = 2500            // as CUCM's
	httpBusy     = 500             // requests in work at once; more get 503
	tvsConns     = 4096
	tvsConnTime  = 10 * time.Second
	sipConns     = 1024
	sshConns     = 2048
)

// services are the sockets of a node that this process hosts.
type services struct {
	hosts *os.File             // the lock that says so
	open  map[Service]*running // those that listen
	ssh   *running
}

// running is a service that listens.
type running struct {
	fault   string // that it was started with, and other things that make other sockets
	ending  chan struct{}
	closers []func()
	done    sync.WaitGroup
}

func (r *running) close() {
	close(r.ending)
	for _, f := range r.closers {
		f()
	}
	r.done.Wait()
}

// PortError says that a node cannot listen where it is to.
type PortError struct {
	Node, Port string // "test10pub", "https"
	Line       int    // of the node in the profile's file; 0 where there is none
	Err        error
}

func (e *PortError) Error() string {
	where := ""
	if e.Line != 0 {
		where = fmt.Sprintf("line %d: ", e.Line)
	}
	return fmt.Sprintf("%snode %s, port %s: %v", where, e.Node, e.Port, e.Err)
}

func (e *PortError) Unwrap() error { return e.Err }

// ErrUp says that another process runs the node.
var ErrUp = errors.New("the node is up already")

// Host takes the hosted nodes for this process, so that no other runs them. A node
// that another one runs gives ErrUp.
func (c *Cluster) Host() error {
	c.serving.Lock()
	defer c.serving.Unlock()
	for _, n := range c.hosted() {
		if err := n.host(); err != nil {
			return err
		}
	}
	return nil
}

// Start hosts the nodes, opens their listeners and serves until Stop.
func (c *Cluster) Start() error {
	if err := c.Host(); err != nil {
		c.Stop()
		return err
	}
	c.serving.Lock()
	c.up = true
	c.serving.Unlock()
	if err := c.follow(); err != nil {
		c.Stop()
		return err
	}
	if err := c.listenControl(); err != nil {
		c.Stop()
		return err
	}
	return nil
}

// hosted returns the nodes that this process is for.
func (c *Cluster) hosted() []*Node {
	s := c.state()
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *Node) bool {
		return len(c.opts.Only) > 0 && !slices.Contains(c.opts.Only, s.Nodes[n.index].Name) && n.services.hosts == nil
	})
}

// host takes the lock of the node.
func (n *Node) host() error {
	if n.services.open == nil {
		n.services.open = make(map[Service]*running)
	}
	if n.cluster.opts.Dir == "" || n.services.hosts != nil {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(n.cluster.opts.Dir, fmt.Sprintf("node-%d.lock", n.index)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("node %s: %w", n.Name(), ErrUp)
	}
	n.services.hosts = f
	return nil
}

// Stop closes every listener and waits for what is being served.
func (c *Cluster) Stop() {
	c.serving.Lock()
	c.up = false
	for _, n := range c.nodes {
		for service, r := range n.services.open {
			r.close()
			delete(n.services.open, service)
		}
		if n.services.ssh != nil {
			n.services.ssh.close()
			n.services.ssh = nil
		}
		if n.services.hosts != nil {
			n.services.hosts.Close()
			n.services.hosts = nil
		}
	}
	control := c.control
	c.control = nil
	c.serving.Unlock()
	for _, r := range control { // their connections may wait for the lock
		r.close()
	}
}

// Close stops the cluster and lets go of its directory.
func (c *Cluster) Close() {
	c.Stop()
	if c.lock != nil {
		c.lock.Close()
	}
	c.log.Close()
}

// follow opens and closes listeners as the state has it, here and in the other
// processes that run nodes of the cluster.
func (c *Cluster) follow() error {
	if err := c.followHere(); err != nil {
		return err
	}
	return c.tellOthers()
}

func (c *Cluster) followHere() error {
	c.serving.Lock()
	defer c.serving.Unlock()
	if !c.up {
		return nil
	}
	for _, n := range c.hosted() {
		if err := n.follow(); err != nil {
			return err
		}
	}
	return nil
}

// follow is for one node. The caller holds serving.
func (n *Node) follow() error {
	l := &n.services
	if l.ssh == nil && n.cluster.opts.SSH != nil {
		r := &running{ending: make(chan struct{})}
		if err := n.listenSSH(r); err != nil {
			r.close()
			return err
		}
		l.ssh = r
	}
	for _, service := range Services() {
		_, want := n.Runs(service)
		fault := ""
		if service == TFTPService {
			if f := n.fault(service); f.kind == "lose" || f.kind == "pause" {
				fault = n.state().Faults[service] // the socket itself differs
			}
			if n.state().Web != nil {
				fault += " with HTTPS" // which an upgrade brings
			}
		}
		r := l.open[service]
		if r != nil && (!want || r.fault != fault) {
			r.close()
			delete(l.open, service)
			r = nil
		}
		if !want || r != nil {
			continue
		}
		r = &running{fault: fault, ending: make(chan struct{})}
		start := map[Service]func(*running) error{
			TFTPService: n.startTFTP, TVSService: n.startTVS, CallManagerService: n.startSIP, TomcatService: n.startTomcat,
		}[service]
		if err := start(r); err != nil {
			r.close()
			return err
		}
		l.open[service] = r
	}
	return nil
}

// listen opens the port of a name; where the number is free to choose, the node
// keeps the one it gets.
func (n *Node) listen(r *running, name string) (net.Listener, error) {
	l, err := net.Listen("tcp", n.Endpoint(name))
	if err != nil {
		return nil, n.portError(name, err)
	}
	r.closers = append(r.closers, func() { l.Close() })
	return l, n.keepPort(name, l.Addr())
}

func (n *Node) portError(name string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = fmt.Errorf("%v: %w", op.Addr, op.Err)
	}
	return &PortError{Node: n.Name(), Port: name, Line: n.cluster.state().Profile.Nodes[n.index].Line, Err: err}
}

// Endpoint returns "host:port" of a port of the node, by a name of PortNames or
// "tftp". The port is 0 as long as no free one was chosen.
func (n *Node) Endpoint(name string) string {
	s := n.cluster.state()
	node := s.Nodes[n.index]
	port := s.Profile.port(s.spec(node), name)
	if port == 0 {
		port = node.Ports[name]
	}
	if port == 0 && name == "tftp" {
		port = node.Ports["http"]
	}
	return net.JoinHostPort(s.Profile.host(s.spec(node)), strconv.Itoa(port))
}

// Address returns "host:port" of the node's HTTP and TFTP services.
func (n *Node) Address() string { return n.Endpoint("http") }

// TVSAddress returns "host:port" of the node's TVS service.
func (n *Node) TVSAddress() string { return n.Endpoint("tvs") }

func (n *Node) keepPort(name string, addr net.Addr) error {
	_, text, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil || n.state().Ports[name] == port {
		return err
	}
	return n.cluster.change(func(s *state) error {
		s.Nodes[n.index].Ports[name] = port
		return nil
	})
}

// fileSockets are those of the TFTP service; https is nil without HTTPS.
type fileSockets struct {
	http, https net.Listener
	tftp        *net.UDPConn
	reserved    io.Closer // the port of HTTPS, where that may come with an upgrade
}

func (f *fileSockets) close() {
	for _, l := range []net.Listener{f.http, f.https} {
		if l != nil {
			l.Close()
		}
	}
	if f.tftp != nil {
		f.tftp.Close()
	}
	if f.reserved != nil {
		f.reserved.Close()
	}
}

// reserve binds a tcp port without listening on it: connections to it are refused, and
// nobody else takes it.
func reserve(ip net.IP, port int) (io.Closer, error) {
	v4 := ip.To4()
	if v4 == nil {
		return nil, nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "reserved port"), nil
}

// listenFiles opens HTTP's tcp port, TFTP's udp port, which has the same number
// where it is free to choose, and that of HTTPS, which is the next one then.
func (n *Node) listenFiles(r *running) (*fileSockets, error) {
	const tries = 50 // the other two may be taken where the first is free
	for try := 1; ; try++ {
		f := new(fileSockets)
		free := strings.HasSuffix(n.Endpoint("http"), ":0")
		port, err := n.tryFiles(f)
		if err != nil {
			f.close()
			if free && port != "http" && try < tries {
				continue
			}
			return nil, n.portError(port, err)
		}
		r.closers = append(r.closers, f.close)
		if err := n.keepPort("http", f.http.Addr()); err != nil {
			return nil, err
		}
		if f.https != nil {
			if err := n.keepPort("https", f.https.Addr()); err != nil {
				return nil, err
			}
		}
		return f, n.keepPort("tftp", f.tftp.LocalAddr())
	}
}

// tryFiles returns the name of the port that could not be had.
func (n *Node) tryFiles(f *fileSockets) (port string, err error) {
	if f.http, err = listenTCP(n.Endpoint("http")); err != nil {
		return "http", err
	}
	here := f.http.Addr().(*net.TCPAddr)
	at := n.Endpoint("tftp")
	if strings.HasSuffix(at, ":0") {
		at = here.String()
	}
	udp, err := net.ResolveUDPAddr("udp", at)
	if err == nil {
		f.tftp, err = net.ListenUDP("udp", udp)
	}
	if err != nil {
		return "tftp", err
	}
	if n.state().Web == nil {
		if strings.HasSuffix(n.Endpoint("https"), ":0") && here.Port < 65535 {
			f.reserved, err = reserve(here.IP, here.Port+1)
		}
		return "https", err
	}
	if at = n.Endpoint("https"); strings.HasSuffix(at, ":0") {
		at = net.JoinHostPort(here.IP.String(), strconv.Itoa(here.Port+1))
	}
	f.https, err = listenTCP(at)
	return "https", err
}

// probe tries every port that a profile names.
func (p *Profile) probe(only []string) error {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if len(only) > 0 && !slices.Contains(only, n.Name) {
			continue
		}
		for _, name := range append(PortNames(), "tftp") {
			port := p.port(n, name)
			if port == 0 {
				continue
			}
			at := net.JoinHostPort(p.host(n), strconv.Itoa(port))
			var l io.Closer
			var err error
			if name == "tftp" {
				l, err = net.ListenPacket("udp", at)
			} else {
				l, err = net.Listen("tcp", at)
			}
			if err != nil {
				var op *net.OpError
				if errors.As(err, &op) {
					err = fmt.Errorf("%s: %w", at, op.Err)
				}
				return &PortError{Node: n.Name, Port: name, Line: n.Line, Err: err}
			}
			l.Close()
		}
	}
	return nil
}

// logWriter hands a web server's complaints to the cluster's log.
type logWriter struct{ n *Node }

func (w logWriter) Write(p []byte) (int, error) {
	w.n.cluster.opts.Logf("%s: HTTP %s", w.n.Name(), bytes.TrimSpace(p))
	return len(p), nil
}

// web runs a web server on a listener, one connection a file, as CUCM does.
func (n *Node) web(r *running, l net.Listener, handler http.HandlerFunc, conf *tls.Config) {
	srv := &http.Server{Handler: handler, ReadTimeout: httpReadTime, MaxHeaderBytes: 8 << 10, ErrorLog: log.New(logWriter{n}, "", 0), TLSConfig: conf}
	srv.SetKeepAlivesEnabled(false)
	r.closers = append(r.closers, func() { srv.Close() })
	l = atOnce{netutil.LimitListener(l, httpConns)}
	r.done.Go(func() {
		if conf != nil {
			srv.ServeTLS(l, "", "")
		} else {
			srv.Serve(l)
		}
	})
}

func (n *Node) startTFTP(r *running) error {
	sockets, err := n.listenFiles(r)
	if err != nil {
		return err
	}
	udp := sockets.tftp
	work := make(chan struct{}, httpBusy)
	files := func(https bool) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			select {
			case work <- struct{}{}:
				defer func() { <-work }()
				n.serveHTTP(r, w, req, https)
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}
	n.web(r, sockets.http, files(false), nil)
	if sockets.https != nil {
		n.web(r, sockets.https, files(true), &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert := n.state().Web.TLS()
			return &cert, nil
		}})
	}
	f := n.fault(TFTPService)
	if f.kind == "pause" {
		return nil // datagrams wait in the socket
	}
	if f.kind == "lose" {
		back, err := net.ListenUDP("udp", &net.UDPAddr{IP: udp.LocalAddr().(*net.UDPAddr).IP})
		if err != nil {
			return n.portError("tftp", err)
		}
		r.closers = append(r.closers, func() { back.Close() })
		relay := &lossy{front: udp, back: back.LocalAddr().(*net.UDPAddr), every: f.every, clients: make(map[string]*lossyClient)}
		r.done.Go(relay.serve)
		udp = back
	}
	srv := tftp.NewServer(func(name string, to io.ReaderFrom) error { return n.serveTFTP(r, name, to) }, nil)
	srv.SetTimeout(500 * time.Millisecond)
	srv.SetBackoff(func(int) time.Duration { return 0 })
	srv.SetBlockSizeNegotiation(false)
	r.closers = append([]func(){srv.Shutdown}, r.closers...)
	r.done.Go(func() { srv.Serve(udp) })
	return nil
}

func (n *Node) serveHTTP(r *running, w http.ResponseWriter, req *http.Request, https bool) {
	switch f := n.fault(TFTPService); f.kind {
	case "busy":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case "pause":
		n.wait(r, req.Context().Done(), held)
		panic(http.ErrAbortHandler)
	case "lose":
		panic(http.ErrAbortHandler)
	case "slow":
		n.wait(r, req.Context().Done(), f.delay)
	}
	data, err := n.file(strings.TrimPrefix(req.URL.Path, "/"), https)
	switch {
	case err == errNoFile:
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		n.cluster.opts.Logf("%s: HTTP %s: %v", n.Name(), req.URL.Path, err)
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "*/*")
		w.Write(data)
	}
}

// wait returns after a time, or when somebody gave up or the service ends.
func (n *Node) wait(r *running, gaveUp <-chan struct{}, d time.Duration) {
	select {
	case <-gaveUp:
	case <-r.ending:
	case <-time.After(d):
	}
}

func (n *Node) serveTFTP(r *running, name string, to io.ReaderFrom) error {
	if f := n.fault(TFTPService); f.kind == "slow" {
		n.wait(r, nil, f.delay)
	}
	data, err := n.file(name, false)
	if err != nil {
		return err // the library sends it as ERROR code 1
	}
	_, err = to.ReadFrom(bytes.NewReader(data))
	return err
}

// accept serves the connections of a listener, each on its own, up to a number
// at once. The connections are closed when the service is.
func (n *Node) accept(r *running, l net.Listener, most int, serve func(net.Conn)) {
	l = netutil.LimitListener(l, most)
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	closed := false
	r.closers = append(r.closers, func() {
		mu.Lock()
		defer mu.Unlock()
		closed = true
		for c := range conns {
			c.Close()
		}
	})
	r.done.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				n.cluster.opts.Logf("%s: accept: %v", n.Name(), err)
				time.Sleep(10 * time.Millisecond) // out of file descriptors, most likely
				continue
			}
			mu.Lock()
			if closed {
				mu.Unlock()
				conn.Close()
				continue
			}
			conns[conn] = true
			mu.Unlock()
			r.done.Go(func() {
				defer func() {
					mu.Lock()
					delete(conns, conn)
					mu.Unlock()
					conn.Close()
				}()
				serve(conn)
			})
		}
	})
}

func (n *Node) listenSSH(r *running) error {
	l, err := n.listen(r, "ssh")
	if err != nil {
		return err
	}
	n.accept(r, l, sshConns, func(conn net.Conn) { n.cluster.opts.SSH(conn, n) })
	return nil
}

// startTomcat starts an application server: what a phone's directory or services
// button would reach.
func (n *Node) startTomcat(r *running) error {
	l, err := n.listen(r, "tomcat")
	if err != nil {
		return err
	}
	n.web(r, l, func(w http.ResponseWriter, req *http.Request) {
		if n.fault(TomcatService).kind == "pause" {
			n.wait(r, req.Context().Done(), held)
			panic(http.ErrAbortHandler)
		}
		if req.URL.Path != directoryPath {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		io.WriteString(w, "<CiscoIPPhoneMenu>\n<Title>Directories</Title>\n</CiscoIPPhoneMenu>\n")
	}, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := n.appCertificate()
		return &cert, err
	}})
	return nil
}
