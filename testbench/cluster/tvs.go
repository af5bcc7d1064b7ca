package cluster

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/pki"
)

// AnswerTTL is the time to live of TVS answers, in seconds.
const AnswerTTL = 86400

func (n *Node) startTVS(r *running) error {
	l, err := n.listen(r, "tvs")
	if err != nil {
		return err
	}
	n.accept(r, l, tvsConns, func(conn net.Conn) {
		if err := n.answerTVS(r, conn); err != nil {
			n.cluster.opts.Logf("%s: TVS %v: %v", n.Name(), conn.RemoteAddr(), err)
		}
	})
	return nil
}

// answerTVS serves one request of one connection.
func (n *Node) answerTVS(r *running, raw net.Conn) error {
	f := n.fault(TVSService)
	raw.SetDeadline(time.Now().Add(tvsConnTime))
	switch f.kind {
	case "close":
		return nil
	case "pause":
		raw.SetDeadline(time.Now().Add(held))
		raw.Read(make([]byte, 1)) // the client's first byte, or its end
		n.wait(r, nil, held)
		return nil
	case "slow":
		raw.SetDeadline(time.Now().Add(tvsConnTime + f.delay))
		n.wait(r, nil, f.delay)
	}
	s := n.cluster.state()
	conn := tls.Server(raw, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.Nodes[n.index].Vouching.TLS()}, SessionTicketsDisabled: true,
		ClientAuth: tls.RequestClientCert, // phones show their LSC or MIC; those without are served too
	})
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		return err
	}
	if shown := conn.ConnectionState().PeerCertificates; len(shown) > 0 {
		n.cluster.opts.Logf("%s: TVS %v: client certificate %s", n.Name(), raw.RemoteAddr(), shown[0].Subject.CommonName)
	}
	// Phones close the connection behind one answer; others may ask on.
	for {
		req, err := tvs.Read(conn)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if f.kind == "garbage" {
			rubbish := make([]byte, 64)
			rand.Read(rubbish)
			_, err := conn.Write(rubbish)
			return err
		}
		res := n.respond(req)
		if res == nil {
			return fmt.Errorf("%v is no request", req.Type)
		}
		b, err := res.Append(nil)
		if err != nil {
			return err
		}
		if _, err := conn.Write(b); err != nil {
			return err
		}
		raw.SetDeadline(time.Now().Add(tvsConnTime))
	}
}

// respond answers a request as the service has it, nil where it is none.
func (n *Node) respond(req *tvs.Message) *tvs.Message {
	s := n.cluster.state()
	node := s.Nodes[n.index]
	known := s.directories.of(s, node)
	f := n.fault(TVSService)
	if f.kind == "invalid" {
		known = new(directory)
	}
	res := tvs.Respond(req, known, AnswerTTL)
	if res == nil {
		return nil
	}
	res.Reserved = 0xf7 // servers leave rubbish there
	if res.Status == 0 {
		switch f.kind {
		case "mismatch":
			res.Certificate = node.Units[CAPF].Certificate.Raw
		case "norole":
			res.Roles = []trustlist.Role{trustlist.CAPF}
		}
	}
	return res
}

// directories are what the TVS services of a state know, each made once it is asked
// for: a state in force does not change any more. It is safe for concurrent use.
type directories struct {
	mu   sync.Mutex
	made map[*nodeState]*directory
}

func (d *directories) of(s *state, n *nodeState) *directory {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made[n] == nil {
		if d.made == nil {
			d.made = make(map[*nodeState]*directory)
		}
		d.made[n] = s.directory(n)
	}
	return d.made[n]
}

// directory is what a TVS service knows: the certificates of every node, the
// recovery certificate, and what was imported before it started. They are found by
// serial number, of which hardly two are alike.
type directory struct {
	all      []known
	bySerial map[string][]int // places in all
}

type known struct {
	der   []byte
	roles []trustlist.Role
	q     trust.Question
}

func (s *state) directory(n *nodeState) *directory {
	d := &directory{bySerial: make(map[string][]int)}
	add := func(cert *x509.Certificate, roles ...trustlist.Role) {
		serial := cert.SerialNumber.String()
		for _, i := range d.bySerial[serial] {
			if bytes.Equal(d.all[i].der, cert.Raw) {
				d.all[i].roles = append(d.all[i].roles, roles...)
				return
			}
		}
		d.bySerial[serial] = append(d.bySerial[serial], len(d.all))
		d.all = append(d.all, known{cert.Raw, roles, trust.Question{
			Issuer: trustlist.FormatName(cert.Issuer), Serial: cert.SerialNumber.Bytes()}})
	}
	for _, node := range s.Nodes {
		for _, u := range s.release().units() {
			add(node.Units[u].Certificate, unitRoles[u]...)
		}
	}
	// A certificate in Phone-SAST-trust may sign lists; where it is in
	// CallManager-trust too, files.
	lists := make(map[string]bool)
	for _, t := range n.Stores {
		switch cert := t.Identity.Certificate; t.Store {
		case PhoneSASTTrust:
			lists[string(cert.Raw)] = true
			add(cert, trustlist.SAST)
		case TomcatTrust:
			add(cert, trustlist.AppServer)
		}
	}
	for _, t := range n.Stores {
		if cert := t.Identity.Certificate; t.Store == CallManagerTrust && lists[string(cert.Raw)] {
			add(cert, trustlist.TFTP)
		}
	}
	return d
}

// unitRoles are what TVS says that a node's certificates may do.
var unitRoles = map[Unit][]trustlist.Role{
	CallManager:   {trustlist.SAST, trustlist.CCMTFTP},
	CallManagerEC: {trustlist.TFTP},
	TVS:           {trustlist.TVS},
	CAPF:          {trustlist.CAPF},
	Tomcat:        {trustlist.AppServer},
	ITLRecovery:   {trustlist.SAST},
}

// Find looks a certificate up by issuer and serial number.
func (d *directory) Find(q trust.Question) ([]byte, []trustlist.Role, bool) {
	for _, i := range d.bySerial[new(big.Int).SetBytes(q.Serial).String()] {
		if k := &d.all[i]; k.q.Same(q) {
			return k.der, k.roles, true
		}
	}
	return nil, nil, false
}

// Vouch looks a certificate up by its bytes.
func (d *directory) Vouch(der []byte) ([]trustlist.Role, bool) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, false
	}
	for _, i := range d.bySerial[cert.SerialNumber.String()] {
		if k := &d.all[i]; bytes.Equal(k.der, der) {
			return k.roles, true
		}
	}
	return nil, false
}

// appCertificate returns what the application server presents.
func (n *Node) appCertificate() (tls.Certificate, error) {
	if n.fault(TomcatService).kind != "foreign" {
		return n.state().App.TLS(), nil
	}
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: n.FQDN()}, EC: true, From: n.cluster.Now()})
	if err != nil {
		return tls.Certificate{}, err
	}
	return id.TLS(), nil
}
