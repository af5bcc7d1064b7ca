package portal

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"itlagent/agent/accept"
	"itlagent/testbench/cluster"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/portal/gate"
)

// Limits of a Server.
const (
	maxRequest = 256 << 10 // bytes of a body
	maxHeader  = 32 << 10  // bytes of a request's head
	maxConns   = 1024      // at once
	maxStreams = 256       // of them, waiting for events
	maxWork    = 2         // explanations and plans at a time
	readTime   = 10 * time.Second
	writeTime  = 2 * time.Minute // explanations and plans are among what is written
	workTime   = time.Minute     // for one of those
)

// Options are what a Server shows.
type Options struct {
	Cluster *cluster.Cluster // nil where Audit is given
	Audit   string           // a file that `audit --json` wrote
	Dir     string           // how the command line names the cluster; "" leaves it out
	// Reports are what phones have reported; nil for what the cluster's event log tells.
	Reports *evidence.Reports
	Notes   []string // what is not known of the cluster
	// Gate lets whoever passes it change the cluster; nil lets nobody.
	Gate *gate.Gate
	Logf func(format string, args ...any)
}

// Server serves the pages.
type Server struct {
	o      Options
	source source
	mux    *http.ServeMux
	work   chan struct{} // a place for each explanation or plan
	hub    hub
	said   memory[*lockout.Explanation]
	plans  memory[*planned]

	meters  meters
	running running // the plan that is carried out
}

// New makes a server. A saved audit that cannot be read is an error.
func New(o Options) (*Server, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	s := &Server{o: o, source: source{c: o.Cluster, reports: o.Reports}, work: make(chan struct{}, maxWork), meters: meters{set: metrics.NewSet()}}
	switch {
	case o.Cluster == nil && o.Audit == "":
		return nil, errors.New("neither a cluster nor a saved audit is given")
	case o.Cluster == nil:
		var err error
		if s.source.roster, err = savedAudit(o.Audit); err != nil {
			return nil, err
		}
	case o.Reports != nil:
		var err error
		if _, s.source.next, err = o.Cluster.Events().Since(1 << 62); err != nil {
			return nil, err
		}
		s.source.stale = true
	}
	s.hub.mark = func() any { return s.source.mark() }
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	s.mux.Handle("GET /assets/", http.HandlerFunc(serveAsset))
	s.mux.HandleFunc("GET /stream", s.stream)
	s.mux.HandleFunc("GET /metrics", s.metrics)
	for pattern, show := range map[string]handler{
		"GET /{$}": s.overview, "GET /phones": s.phones, "GET /phones/{device}": s.phone, "/": s.nothing,
	} {
		s.mux.HandleFunc(pattern, s.page(show))
	}
	s.mux.HandleFunc("GET /timeline", s.page(s.timeline))
	if s.o.Cluster == nil {
		return // a saved audit tells of phones alone
	}
	for pattern, show := range map[string]handler{"GET /certificates": s.certificates, "GET /plan": s.plan, "GET /events": s.eventsPage} {
		s.mux.HandleFunc(pattern, s.page(show))
	}
	for pattern, find := range map[string]func(*http.Request) (*download, error){
		"GET /certificates/node/{node}/{unit}": s.ownPEM, "GET /certificates/trust/{number}": s.trustPEM, "GET /lists/{sha1}": s.list,
	} {
		s.mux.HandleFunc(pattern, s.file(find))
	}
	if s.o.Gate != nil {
		s.actionRoutes()
	}
}

// Listen opens a listener on "host:port"; without a host it is one on loopback.
func Listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
}

// Serve answers what comes over a listener until the context ends, and closes it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s.Handler(l.Addr().String()), ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: log.New(lineWriter(s.o.Logf), "", 0)}
	var done sync.WaitGroup
	done.Go(func() { s.hub.run(ctx) })
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	defer s.stopRunning()
	err := srv.Serve(accept.Limit(l, accept.Limits{Conns: maxConns, PerAddress: maxConns, First: readTime}))
	srv.Close()
	if ctx.Err() != nil {
		err = nil
	}
	if err == nil {
		done.Wait()
	}
	return err
}

// lineWriter passes on what net/http complains of.
type lineWriter func(format string, args ...any)

func (w lineWriter) Write(line []byte) (int, error) {
	w("pages: %s", strings.TrimSpace(string(line)))
	return len(line), nil
}

// Handler returns what answers requests that come to an address, "host:port".
func (s *Server) Handler(address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if !knownHost(r.Host, address) {
			http.Error(w, "these pages are not at that host name: use the address that was printed", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		s.mux.ServeHTTP(w, r)
	})
}

// knownHost reports whether a request names a host that nobody else can make a browser
// take for ours: an IP address, or localhost. So a name that is pointed at loopback reads
// nothing here.
func knownHost(host, address string) bool {
	if host == address {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	return strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil
}
