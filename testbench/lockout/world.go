package lockout

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/fetch"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// World is the clusters that phones can reach. The first is the one whose phones
// these are. Clusters in it do not have to run: what their services would do is
// known.
type World []*cluster.Cluster

// Fork returns a world of copies, for changes that are only thought of.
func (w World) Fork(keys *pki.Keys) World {
	out := make(World, len(w))
	for i, c := range w {
		out[i] = c.Fork(keys)
	}
	return out
}

// Now returns the bench clock of the first cluster.
func (w World) Now() time.Time { return w[0].Now() }

// verify checks what was signed by the stand-ins of copies of real clusters; nil where the world
// has none.
func (w World) verify() func(*trustlist.File, *rsa.PublicKey) error {
	var secrets [][]byte
	for _, c := range w {
		if s := c.State(); s.Twin() {
			secrets = append(secrets, s.Secret)
		}
	}
	if secrets == nil {
		return nil
	}
	return func(f *trustlist.File, key *rsa.PublicKey) (err error) {
		for _, secret := range secrets {
			if err = pki.CheckStandIn(f, key, secret); err == nil {
				return nil
			}
		}
		return err
	}
}

// node returns the node that an address is of, and the name of the port.
func (w World) node(address string) (*cluster.Node, string) {
	for _, c := range w {
		if n, port := c.At(address); n != nil {
			return n, port
		}
	}
	return nil, ""
}

var (
	errNobody  = errors.New("none of the known clusters has this address")
	errStopped = errors.New("connection refused: the service is stopped")
	errSilent  = errors.New("no answer in time")
)

// patience is how long phones wait for the first byte of HTTP, and for TVS.
const patience = 5 * time.Second

// File implements boot.Transport: what a phone gets from one TFTP server. One that loses datagrams is taken to
// deliver in the end.
func (w World) File(ctx context.Context, server, name string, limit int, secure *fetch.Secure) (fetch.File, error) {
	n, port := w.node(withPort(server))
	if n == nil || port != "http" && port != "tftp" {
		return fetch.File{}, errNobody
	}
	if _, started := n.State().Runs(profile.TFTPService); !started {
		return fetch.File{}, errStopped
	}
	fault := n.State().Fault(profile.TFTPService)
	kind, delay := fault.Kind, fault.Delay
	if kind == "pause" || kind == "slow" && delay >= patience {
		return fetch.File{}, errSilent
	}
	transport := "HTTP"
	if kind == "busy" || kind == "lose" {
		transport = "TFTP"
	}
	if web := n.State().Web; secure != nil && web != nil && w.near(server, n) && secure.Verify(ctx, shown(web.Certificate).PeerCertificates[0].Raw) == nil && transport == "HTTP" {
		if data, err := n.State().File(name, true); err == nil && len(data) <= limit {
			return fetch.File{Data: data, Server: server, Transport: "HTTPS"}, nil
		}
	}
	data, err := n.State().File(name, false)
	switch {
	case errors.Is(err, state.ErrNoFile):
		return fetch.File{}, fetch.ErrNotFound
	case err != nil:
		return fetch.File{}, err
	case len(data) > limit:
		return fetch.File{}, fmt.Errorf("%w: %d bytes", fetch.ErrTooLarge, len(data))
	}
	return fetch.File{Data: data, Server: server, Transport: transport}, nil
}

// near reports whether HTTPS is where a phone looks for it: on the port behind
// that of HTTP.
func (w World) near(server string, n *cluster.Node) bool {
	host, port, err := net.SplitHostPort(withPort(server))
	number, err2 := strconv.Atoi(port)
	if err != nil || err2 != nil {
		return false
	}
	at, name := w.node(net.JoinHostPort(host, strconv.Itoa(number+1)))
	return at == n && name == "https"
}

// AskTVS implements boot.Transport: what a phone gets from one TVS server.
func (w World) AskTVS(_ context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error) {
	n, port := w.node(server)
	if n == nil || port != "tvs" {
		return nil, errNobody
	}
	if _, started := n.State().Runs(profile.TVSService); !started {
		return nil, errStopped
	}
	fault := n.State().Fault(profile.TVSService)
	kind, delay := fault.Kind, fault.Delay
	switch {
	case kind == "pause", kind == "slow" && delay >= patience:
		return nil, errSilent
	case kind == "close":
		return nil, errors.New("connection closed before TLS")
	}
	if err := check(shown(n.State().Vouching.Certificate)); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if kind == "hangup" {
		return nil, tvs.ErrHungUp
	}
	if kind == "garbage" {
		return nil, fmt.Errorf("%w: garbage", tvs.ErrProtocol)
	}
	res := n.State().AnswerTVS(&req)
	if res == nil {
		return nil, fmt.Errorf("%w: no answer to %v", tvs.ErrProtocol, req.Type)
	}
	return res, nil
}

// shown is a handshake in which a server shows a certificate.
func shown(cert *x509.Certificate) tls.ConnectionState {
	return tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

// Files are trust files that a server would serve; TVS is asked where Dial is set.
type Files struct {
	ITL, CTL, Config []byte // nil where there is none
	At               time.Time
	// Dial reaches the TVS servers of the phone's configuration; nil reaches none.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Now returns the time that the files are looked at.
func (f Files) Now() time.Time { return f.At }

// AskTVS implements boot.Transport.
func (f Files) AskTVS(ctx context.Context, server string, req tvs.Message, check func(tls.ConnectionState) error) (*tvs.Message, error) {
	if f.Dial == nil {
		return nil, errNobody
	}
	return (&boot.Network{Dial: f.Dial}).AskTVS(ctx, server, req, check)
}

// File implements boot.Transport: the file of the kind that the name asks for.
func (f Files) File(_ context.Context, server, name string, limit int, _ *fetch.Secure) (fetch.File, error) {
	data := f.Config
	switch {
	case strings.HasPrefix(name, "ITL"):
		data = f.ITL
	case strings.HasPrefix(name, "CTL"):
		data = f.CTL
	}
	switch {
	case data == nil:
		return fetch.File{}, fetch.ErrNotFound
	case len(data) > limit:
		return fetch.File{}, fmt.Errorf("%w: %d bytes", fetch.ErrTooLarge, len(data))
	}
	return fetch.File{Data: data, Server: server, Transport: "HTTP"}, nil
}

// Network is a cluster that runs somewhere: what it serves is fetched when it is
// looked at.
type Network struct{ boot.Network }

// Now returns the time.
func (*Network) Now() time.Time { return time.Now() }

// withPort is a server as phones take it: HTTP's port where it names none.
func withPort(server string) string { return fetch.WithPort(server, fetch.HTTPPort) }
