// Package serve runs the services of one node: trust lists and configurations by TFTP,
// HTTP and HTTPS, TVS, SIP and SCCP for alarms and registrations, an application server by HTTPS, and SSH.
//
//	n := serve.New(serve.Config{Node: now, SetPort: set, Report: log.Add})
//	err := n.Follow() // listens as the state has it; again after each change
//	defer n.Stop()
//
// What they answer stands in the state. Each connection has deadlines, and each service
// a limit of connections (package accept). A Node is not safe for concurrent use, but
// for its services, which serve many at once. Requests and answers follow traces of
// phones; what CUCM's own limits are is said beside each.
package serve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"itlagent/agent/accept"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/registrar"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
)

// Limits of the services, a node.
const (
	httpReadTime = 5 * time.Second // as CUCM's
	httpConns    = 2500            // as CUCM's
	httpBusy     = 500             // requests in work at once; more get 503
	tvsConns     = 4096
	tvsConnTime  = 10 * time.Second
	sshConns     = 2048
	sshFirst     = 30 * time.Second // until the SSH service sets a deadline

	held = time.Minute // that a paused service leaves a request without an answer
)

// Config is what the services need of their cluster. Its functions are called at the
// same time.
type Config struct {
	Node    func() *state.Node // as it is now
	SetPort func(name string, port int) error
	Report  func(events.Event) error
	SSH     func(net.Conn) // serves a command line until it returns; nil opens no port
	Logf    func(format string, args ...any)
	Expires int  // seconds that a registration is granted; registrar.DefaultExpires where 0
	Mute    bool // registered phones are not told to reset
}

// Node is the services of one node.
type Node struct {
	Config
	open   map[profile.Service]*running // those that listen
	ssh    *running
	phones *registrar.Registrar
	known  atomic.Pointer[knownPhones]
	orders int // the number of the last order to reset that was followed
}

// New returns services that do not listen yet.
func New(c Config) *Node {
	n := &Node{Config: c, open: make(map[profile.Service]*running), orders: unheard}
	n.phones = registrar.New(registrar.Config{Known: n.knows, Now: func() time.Time { return n.Node().State().Now() }, Stamp: n.stamp, Expires: c.Expires,
		First: uint64(time.Now().Unix()) << serialBits})
	return n
}

// serialBits leave room for a million registrations between two starts of one second;
// the sum stays below what JSON's readers take for whole.
const serialBits = 20

// unheard is the number of an order before the first one is looked for.
const unheard = -1

// Phones returns the phones that are registered with the node, and those that were.
func (n *Node) Phones() []registrar.Phone { return n.phones.Phones(n.Node().Name) }

// running is a service that listens.
type running struct {
	fault   string // that it was started with, and other things that make other sockets
	ending  chan struct{}
	wake    chan struct{} // there are phones to be told to reset
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

// wait returns after a time, or when somebody gave up or the service ends.
func (r *running) wait(gaveUp <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-gaveUp:
	case <-r.ending:
	case <-timer.C:
	}
}

// accept serves the connections of a listener until the service is closed.
func (r *running) accept(l net.Listener, limits accept.Limits, handle func(net.Conn)) {
	s := accept.Serve(l, limits, handle)
	r.closers = append(r.closers, s.Close)
}

// PortError says that a node cannot listen where it is to.
type PortError struct {
	Node, Port string // "test10pub", "https"
	Line       int    // of the node in the profile's file; 0 where there is none
	Err        error
}

// Error says which port of which node, and where it is configured.
func (e *PortError) Error() string {
	where := ""
	if e.Line != 0 {
		where = fmt.Sprintf("line %d: ", e.Line)
	}
	return fmt.Sprintf("%snode %s, port %s: %v", where, e.Node, e.Port, e.Err)
}

// Unwrap returns what the system said.
func (e *PortError) Unwrap() error { return e.Err }

// Stop closes every service and waits for what is being served.
func (n *Node) Stop() {
	for service, r := range n.open {
		r.close()
		delete(n.open, service)
	}
	if n.ssh != nil {
		n.ssh.close()
		n.ssh = nil
	}
}

// Take moves what listens to another Node, for Stop to be called on that while this
// one is used again.
func (n *Node) Take() *Node {
	taken := &Node{Config: n.Config, open: n.open, ssh: n.ssh, phones: n.phones}
	n.open, n.ssh, n.orders = make(map[profile.Service]*running), nil, unheard
	return taken
}

// Follow opens and closes services as the state has them. A port that cannot be had
// gives a *PortError.
func (n *Node) Follow() error {
	if n.ssh != nil && n.ssh.fault != n.places() {
		n.ssh.close()
		n.ssh = nil
	}
	if n.ssh == nil && n.SSH != nil {
		r := &running{fault: n.places(), ending: make(chan struct{})}
		if err := n.startSSH(r); err != nil {
			r.close()
			return err
		}
		n.ssh = r
	}
	for _, service := range profile.Services() {
		if err := n.follow(service); err != nil {
			return err
		}
	}
	n.followOrders()
	return nil
}

func (n *Node) follow(service profile.Service) error {
	now := n.Node()
	want, fault := now.Active(service), ""
	if service == profile.TFTPService {
		if f := now.Fault(service); f.Kind == "lose" || f.Kind == "pause" {
			fault = now.Faults[service] // the socket itself differs
		}
		if now.Web != nil {
			fault += " with HTTPS" // which an upgrade brings
		}
	}
	if service == profile.CallManagerService {
		fault += fmt.Sprint(" start ", now.Calls)
	}
	fault += n.places()
	r := n.open[service]
	if r != nil && (!want || r.fault != fault) {
		r.close()
		delete(n.open, service)
		r = nil
	}
	if !want || r != nil {
		return nil
	}
	r = &running{fault: fault, ending: make(chan struct{}), wake: make(chan struct{}, 1)}
	start := map[profile.Service]func(*running) error{
		profile.TFTPService: n.startTFTP, profile.TVSService: n.startTVS,
		profile.CallManagerService: n.startSIP, profile.TomcatService: n.startTomcat,
	}[service]
	if err := start(r); err != nil {
		r.close()
		return err
	}
	n.open[service] = r
	return nil
}

// places is where the profile has the node's ports, which it may have elsewhere now.
func (n *Node) places() string {
	now := n.Node()
	p, spec := &now.State().Profile, now.Spec()
	where := " on " + p.Address(spec)
	for _, name := range profile.AllPorts() {
		where += fmt.Sprint(" ", p.Port(spec, name))
	}
	return where
}

func (n *Node) startSSH(r *running) error {
	l, err := n.listen(r, "ssh")
	if err != nil {
		return err
	}
	r.accept(l, accept.Limits{Conns: sshConns, First: sshFirst}, n.SSH)
	return nil
}

// listen opens the port of a name; where the number is free to choose, the node
// keeps the one it gets.
func (n *Node) listen(r *running, name string) (net.Listener, error) {
	l, err := net.Listen("tcp", n.Node().Endpoint(name))
	if err != nil {
		return nil, n.portError(name, err)
	}
	r.closers = append(r.closers, func() { l.Close() })
	return l, n.setPort(name, l.Addr())
}

func (n *Node) portError(name string, err error) error {
	now := n.Node()
	return &PortError{Node: now.Name, Port: name, Line: now.Spec().Line, Err: plain(err)}
}

// plain takes what is said beside the port off a network error.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Addr != nil {
		return fmt.Errorf("%v: %w", op.Addr, op.Err)
	}
	return err
}

func (n *Node) setPort(name string, addr net.Addr) error {
	_, text, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil || n.Node().Ports[name] == port {
		return err
	}
	return n.SetPort(name, port)
}

// Probe tries every port that a profile names, of the nodes of these names, or of all.
// One that is in use gives a *PortError.
func Probe(p *profile.Profile, only []string) error {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if len(only) > 0 && !slices.Contains(only, n.Name) {
			continue
		}
		for _, name := range profile.AllPorts() {
			port := p.Port(n, name)
			if port == 0 || name == "sccps" { // which no cluster needs before it goes to mixed mode
				continue
			}
			at := net.JoinHostPort(p.Address(n), strconv.Itoa(port))
			var l io.Closer
			var err error
			if name == "tftp" {
				l, err = net.ListenPacket("udp", at)
			} else {
				l, err = net.Listen("tcp", at)
			}
			if err != nil {
				return &PortError{Node: n.Name, Port: name, Line: n.Line, Err: plain(err)}
			}
			l.Close()
		}
	}
	return nil
}
