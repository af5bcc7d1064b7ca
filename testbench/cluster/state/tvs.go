package state

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"slices"
	"sync"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/agent/tvs"
	"itlagent/testbench/cluster/profile"
)

// AnswerTTL is the time to live of TVS answers, in seconds.
const AnswerTTL = 86400

// AnswerTVS returns what the node's TVS service says to a request, faults of its
// answers included, whether or not it runs; nil for what is not a request.
func (n *Node) AnswerTVS(req *tvs.Message) *tvs.Message {
	known := n.in.directories.of(n)
	f := n.Fault(profile.TVSService)
	if f.Kind == "invalid" {
		known = new(directory)
	}
	res := tvs.Respond(req, known, AnswerTTL)
	if res == nil {
		return nil
	}
	res.Reserved = 0xf7 // servers leave rubbish there
	if res.Status == 0 {
		switch f.Kind {
		case "mismatch":
			res.Certificate = n.Units[profile.CAPF].Certificate.Raw
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
	made map[*Node]*directory
}

func (d *directories) of(n *Node) *directory {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made[n] == nil {
		if d.made == nil {
			d.made = make(map[*Node]*directory)
		}
		d.made[n] = n.directory()
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

func (n *Node) directory() *directory {
	d := &directory{bySerial: make(map[string][]int)}
	add := func(cert *x509.Certificate, roles ...trustlist.Role) {
		serial := cert.SerialNumber.String()
		for _, i := range d.bySerial[serial] {
			if k := &d.all[i]; bytes.Equal(k.der, cert.Raw) {
				for _, r := range roles { // one that all nodes have is met more than once
					if !slices.Contains(k.roles, r) {
						k.roles = append(slices.Clip(k.roles), r)
					}
				}
				return
			}
		}
		d.bySerial[serial] = append(d.bySerial[serial], len(d.all))
		d.all = append(d.all, known{cert.Raw, roles, trust.Question{
			Issuer: trustlist.FormatName(cert.Issuer), Serial: cert.SerialNumber.Bytes()}})
	}
	for _, node := range n.in.Nodes {
		for _, u := range n.in.Release().Units() {
			add(node.Units[u].Certificate, unitRoles[u]...)
		}
	}
	// A certificate in Phone-SAST-trust may sign lists; where it is in
	// CallManager-trust too, files.
	lists := make(map[string]bool)
	for _, t := range n.Stores {
		switch cert := t.Identity.Certificate; t.Store {
		case profile.PhoneSASTTrust:
			lists[string(cert.Raw)] = true
			add(cert, trustlist.SAST)
		case profile.TomcatTrust:
			add(cert, trustlist.AppServer)
		}
	}
	for _, t := range n.Stores {
		if cert := t.Identity.Certificate; t.Store == profile.CallManagerTrust && lists[string(cert.Raw)] {
			add(cert, trustlist.TFTP)
		}
	}
	return d
}

// unitRoles are what TVS says that a node's certificates may do.
var unitRoles = map[profile.Unit][]trustlist.Role{
	profile.CallManager:   {trustlist.SAST, trustlist.CCMTFTP},
	profile.CallManagerEC: {trustlist.TFTP},
	profile.TVS:           {trustlist.TVS},
	profile.CAPF:          {trustlist.CAPF},
	profile.Tomcat:        {trustlist.AppServer},
	profile.ITLRecovery:   {trustlist.SAST},
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
