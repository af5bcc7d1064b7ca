package serve

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pin/tftp/v3"

	"itlagent/agent/accept"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
)

// logWriter hands a web server's complaints to the cluster's log.
type logWriter struct{ n *Node }

func (w logWriter) Write(p []byte) (int, error) {
	w.n.Logf("%s: HTTP %s", w.n.Node().Name, bytes.TrimSpace(p))
	return len(p), nil
}

// web runs a web server on a listener, one connection a file, as CUCM does.
func (n *Node) web(r *running, l net.Listener, handler http.HandlerFunc, conf *tls.Config) {
	srv := &http.Server{Handler: handler, ReadTimeout: httpReadTime, MaxHeaderBytes: 8 << 10, ErrorLog: log.New(logWriter{n}, "", 0), TLSConfig: conf}
	srv.SetKeepAlivesEnabled(false)
	r.closers = append(r.closers, func() { srv.Close() })
	l = atOnce{accept.Limit(l, accept.Limits{Conns: httpConns})}
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
			cert := n.Node().Web.TLS()
			return &cert, nil
		}})
	}
	f := n.Node().Fault(profile.TFTPService)
	if f.Kind == "pause" {
		return nil // datagrams wait in the socket
	}
	if f.Kind == "lose" {
		back, err := net.ListenUDP("udp", &net.UDPAddr{IP: udp.LocalAddr().(*net.UDPAddr).IP})
		if err != nil {
			return n.portError("tftp", err)
		}
		r.closers = append(r.closers, func() { back.Close() })
		relay := &lossy{front: udp, back: back.LocalAddr().(*net.UDPAddr), every: f.Every, clients: make(map[string]*lossyClient)}
		r.done.Go(relay.serve)
		udp = back
	}
	srv := tftp.NewServer(func(name string, to io.ReaderFrom) error { return n.serveTFTP(r, name, to) }, nil)
	srv.SetTimeout(500 * time.Millisecond)
	srv.SetBackoff(func(int) time.Duration { return 0 })
	srv.SetBlockSizeNegotiation(false)
	r.closers = append([]func(){srv.Shutdown}, r.closers...)
	r.done.Go(func() { srv.Serve(withoutInterfaces(udp)) })
	return nil
}

// plainPackets hides from the TFTP library that a socket could tell the interface of each
// request, for which the library would list the machine's interfaces every time.
type plainPackets struct{ net.PacketConn }

// withoutInterfaces returns the socket without that where answers come from the right
// address all the same: from the first of the loopback, which is the system's choice. The
// library asks a socket for the address alone in no other way.
func withoutInterfaces(udp *net.UDPConn) net.PacketConn {
	if at, ok := udp.LocalAddr().(*net.UDPAddr); ok && at.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		return plainPackets{udp}
	}
	return udp
}

// refuse answers what no phone asks for: other methods than GET and HEAD, and requests
// that announce a body. One of two lengths (RFC 9112, section 6.3) is among them.
func refuse(w http.ResponseWriter, req *http.Request) bool {
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
	case req.ContentLength != 0 || len(req.TransferEncoding) > 0:
		w.WriteHeader(http.StatusBadRequest)
	default:
		return false
	}
	return true
}

func (n *Node) serveHTTP(r *running, w http.ResponseWriter, req *http.Request, https bool) {
	if refuse(w, req) {
		return
	}
	now := n.Node()
	switch f := now.Fault(profile.TFTPService); f.Kind {
	case "busy":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case "pause":
		r.wait(req.Context().Done(), held)
		panic(http.ErrAbortHandler)
	case "lose":
		panic(http.ErrAbortHandler)
	case "slow":
		r.wait(req.Context().Done(), f.Delay)
		now = n.Node()
	}
	data, err := now.File(strings.TrimPrefix(req.URL.Path, "/"), https)
	switch {
	case err == state.ErrNoFile:
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		n.Logf("%s: HTTP %s: %v", n.Node().Name, req.URL.Path, err)
		w.WriteHeader(http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "*/*")
		w.Write(data)
	}
}

func (n *Node) serveTFTP(r *running, name string, to io.ReaderFrom) error {
	now := n.Node()
	if f := now.Fault(profile.TFTPService); f.Kind == "slow" {
		r.wait(nil, f.Delay)
		now = n.Node()
	}
	data, err := now.File(name, false)
	if err != nil {
		return err // the library sends it as ERROR code 1
	}
	_, err = to.ReadFrom(bytes.NewReader(data))
	return err
}
