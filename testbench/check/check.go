// Package check says whether a cluster is in order: what would lock its phones out soon, and what
// keeps it from winning them back.
//
//	for _, f := range check.Cluster(c.State(), check.Options{Now: time.Now()}) {
//		fmt.Println(f.What, f.Why, f.Todo)
//	}
//
// It reads the state of a bench cluster or of the copy of a real one, and changes nothing. Of the copy,
// what stands for a certificate of which only names are known has no validity that counts. The
// functions are pure and safe for concurrent use. Sources: Cisco's note on ITL enhancements in
// release 10.0(1), and the security guides of later releases.
package check

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/pki"
)

// Finding is one thing that is not in order.
type Finding struct {
	Name string `json:"name"` // a stable word: "expired"
	What string `json:"what"`
	Why  string `json:"why"` // it matters
	Todo string `json:"todo"`
}

// Options are what is checked against.
type Options struct {
	Now      time.Time
	Soon     time.Duration     // a certificate that expires within is found; 0 is 180 days
	Saved    *x509.Certificate // the ITLRecovery certificate that was saved; nil was not looked at
	Other    *state.State      // a cluster that phones are to move to; nil for none
	Unproven bool              // the state is a copy: validity that is not known is passed over
}

// Limits of what phones load.
const (
	nearSize        = trustlist.MaxListSize * 9 / 10 // bytes of a list
	maxCertificates = 39                             // of a cluster
	soon            = 180 * 24 * time.Hour
)

// checker collects findings.
type checker struct {
	s   *state.State
	o   Options
	all []Finding
}

func (c *checker) found(name, why, todo, format string, args ...any) {
	c.all = append(c.all, Finding{name, fmt.Sprintf(format, args...), why, todo})
}

// Cluster checks a cluster. The findings about certificates come soonest first.
func Cluster(s *state.State, o Options) []Finding {
	if o.Soon == 0 {
		o.Soon = soon
	}
	c := &checker{s: s, o: o}
	c.lists()
	c.recovery()
	c.certificates()
	c.ctl()
	c.services()
	c.migration()
	return c.all
}

// lists checks the ITL of each TFTP node.
func (c *checker) lists() {
	var first []byte // records that all nodes share
	for _, n := range c.s.Nodes {
		if n.Spec().Absent[profile.TFTPService] {
			continue
		}
		f, err := trustlist.Parse(trustlist.ITL, n.ITL)
		if err != nil {
			c.found("list", "phones refuse it, and keep what they hold", "restart Cisco Tftp on "+n.Name, "the ITL of %s cannot be read: %v", n.Name, err)
			continue
		}
		if len(n.ITL) > nearSize {
			c.found("size", "phones stop loading lists at about 64 KiB, and then do not register", "have fewer certificates: one TVS certificate for all nodes, no unused nodes",
				"the ITL of %s has %d bytes, of %d that phones load", n.Name, len(n.ITL), trustlist.MaxListSize)
		}
		if sast := trust.SASTRecords(f); sast > trustlist.MaxSAST {
			c.found("sast", "phones are documented to hold two", "remove what is not the cluster's own", "the ITL of %s has %d SAST records", n.Name, sast)
		}
		c.signer(n, f)
		var shared []byte
		for i := range f.Records {
			r := &f.Records[i]
			recovery := c.s.Recovery() != nil && trustlist.SameName(r.Issuer(), []byte(trustlist.FormatName(c.s.Recovery().Certificate.Issuer)))
			if r.Role() == trustlist.TVS || r.Role() == trustlist.CAPF || recovery { // the rest is of the node
				shared = append(shared, fmt.Sprintf("%d %s %x\n", r.Role(), r.Subject(), r.Serial())...)
			}
		}
		if first == nil {
			first = shared
		} else if !bytes.Equal(first, shared) {
			c.found("lists-differ", "phones that change their TFTP server meet a list with other certificates", "restart Cisco Tftp on every node",
				"the ITL of %s has other certificates of TVS, CAPF or ITLRecovery than that of %s", n.Name, c.s.Nodes[0].Name)
		}
	}
	if c.s.Rollback {
		c.found("rollback", "phones take any list and any configuration: nothing protects them", "set Prepare Cluster for Rollback to Pre 8.0 to False, restart TVS and TFTP, reset the phones",
			"the cluster is prepared for a rollback: its lists are blank")
	}
}

// signer checks who signed a node's list.
func (c *checker) signer(n *state.Node, f *trustlist.File) {
	want, name := n.Units[profile.CallManager], "CallManager"
	if c.s.Release().RecoverySigns {
		want, name = c.s.Recovery(), "ITLRecovery"
	}
	if want == nil || trustlist.SameSerial(f.Signer.Serial, want.Certificate.SerialNumber.Bytes()) {
		return
	}
	c.found("signer", "after a reset, or a regeneration, TFTP serves a list that its next start replaces", "once every phone has reset: restart Cisco Tftp on "+n.Name+", and reset the phones",
		"the ITL of %s is signed by %s, serial %s, and not by the present %s certificate", n.Name, trustlist.Printable(f.Signer.Name), trustlist.FormatSerial(f.Signer.Serial), name)
}

// recovery checks the recovery key.
func (c *checker) recovery() {
	if !c.s.Release().Recovery {
		c.found("no-recovery", "phones that are locked out need a visit", "upgrade to 10.0 or later", "release %s has no ITLRecovery", c.s.Profile.Release)
		return
	}
	own := c.s.Recovery()
	for _, n := range c.s.Nodes {
		f, err := trustlist.Parse(trustlist.ITL, n.ITL)
		if err != nil || own == nil || n.Spec().Absent[profile.TFTPService] {
			continue
		}
		if !slices.ContainsFunc(f.Records, func(r trustlist.Record) bool {
			return r.Role() == trustlist.SAST && r.MatchesCertificate(own.Certificate)
		}) {
			c.found("recovery-list", "phones with this list cannot be won back with utils itl reset localkey", "restart Cisco Tftp on "+n.Name+", and reset the phones",
				"the ITL of %s does not have the present ITLRecovery certificate", n.Name)
		}
	}
	switch {
	case own == nil:
	case c.o.Saved != nil && !c.o.Saved.Equal(own.Certificate):
		c.found("p12", "what was saved does not win the phones back: it is another key", "file get tftp ITLRecovery.p12",
			"the saved ITLRecovery certificate, serial %s, is not the present one, serial %s", trustlist.FormatSerial(c.o.Saved.SerialNumber.Bytes()), trustlist.FormatSerial(own.Certificate.SerialNumber.Bytes()))
	case c.o.Saved == nil && !c.s.Twin() && !c.s.RecoverySaved:
		c.found("p12", "once the publisher is lost, nobody can sign for phones that are locked out", "file get tftp ITLRecovery.p12", "ITLRecovery.p12 was not saved")
	}
}

// certificates checks when they expire, soonest first, and how many there are.
func (c *checker) certificates() {
	type own struct {
		node string
		unit profile.Unit
		cert *x509.Certificate
	}
	var all []own
	for _, n := range c.s.Nodes {
		for _, cert := range n.Certificates() {
			if cert.Unit == profile.ITLRecovery && !n.IsPublisher() || c.s.Twin() && madeUp(cert.Certificate) {
				continue
			}
			all = append(all, own{n.Name, cert.Unit, cert.Certificate})
		}
	}
	slices.SortStableFunc(all, func(a, b own) int { return a.cert.NotAfter.Compare(b.cert.NotAfter) })
	for _, o := range all {
		left := o.cert.NotAfter.Sub(c.o.Now)
		todo := fmt.Sprintf("regenerate it alone, let every phone reset, and only then the next: itlbench plan regen %s@%s", o.unit, o.node)
		switch {
		case left < 0:
			c.found("expired", "services that check it refuse it", todo, "%s of %s has expired on %s", o.unit, o.node, o.cert.NotAfter.UTC().Format(time.DateOnly))
		case left < c.o.Soon:
			c.found("expires", "two certificates that are renewed in a hurry lock phones out", todo, "%s of %s expires on %s, in %d days", o.unit, o.node, o.cert.NotAfter.UTC().Format(time.DateOnly), int(left.Hours()/24))
		}
	}
	if n := len(c.s.Trusted()); n > maxCertificates {
		c.found("count", "the ITL of a cluster with more passes 64 KiB, and phones stop loading it", "remove what is not used", "%d certificates in trust stores, %d are recommended at most", n, maxCertificates)
	}
	if own := c.s.Recovery(); own != nil {
		for _, n := range c.s.Nodes {
			if bits := pki.Bits(n.Units[profile.CallManager]); pki.Bits(own) < bits && !c.s.Profile.Fixed {
				c.found("key-length", "utils itl reset localkey fails: the recovery key is not used", "regenerate ITLRecovery, and let every phone take the new list", "ITLRecovery has %d bits, and CallManager of %s has %d", pki.Bits(own), n.Name, bits)
				break
			}
		}
	}
}

// madeUp reports whether a certificate stands for one whose validity is not known.
func madeUp(cert *x509.Certificate) bool { return cert.NotBefore.Unix() == 0 }

// ctl checks the CTL of mixed mode against the certificates.
func (c *checker) ctl() {
	if !c.s.Mixed || c.s.CTL == nil {
		return
	}
	f, err := trustlist.Parse(trustlist.CTL, c.s.CTL)
	if err != nil {
		c.found("ctl", "secure phones cannot register", "utils ctl update CTLFile", "the CTL cannot be read: %v", err)
		return
	}
	for _, n := range c.s.Nodes {
		cert := n.Units[profile.CallManager].Certificate
		if !slices.ContainsFunc(f.Records, func(r trustlist.Record) bool { return r.MatchesCertificate(cert) }) {
			c.found("ctl", "secure phones cannot register, and the CTL has no valid anchor", "utils ctl update CTLFile, restart TFTP and CallManager, reset the phones", "the CTL lacks the present CallManager certificate of %s", n.Name)
		}
	}
}

// services checks who vouches for what phones do not know.
func (c *checker) services() {
	for _, n := range c.s.Nodes {
		for _, service := range []profile.Service{profile.TVSService, profile.TFTPService} {
			if active, started := n.Runs(service); active && !started {
				c.found("stopped", "phones that meet a new signer cannot ask, and keep their old lists", "utils service start "+string(service), "%s is stopped on %s", service, n.Name)
			}
		}
		f, err := trustlist.Parse(trustlist.ITL, n.ITL)
		if err != nil || n.Spec().Absent[profile.TVSService] {
			continue
		}
		if !c.s.Rollback && !slices.ContainsFunc(f.Records, func(r trustlist.Record) bool {
			return r.Role() == trustlist.TVS && r.MatchesCertificate(n.Vouching.Certificate)
		}) {
			c.found("tvs", "phones with this list do not trust TVS: a new signer locks them out", "let every phone reset with a new list before anything else is regenerated: restart Cisco Tftp on every node",
				"TVS of %s shows a certificate that the ITL does not have", n.Name)
		}
	}
}

// migration checks that the phones can move to another cluster.
func (c *checker) migration() {
	if c.o.Other == nil {
		return
	}
	callManagers, recovery := c.o.Other.Foreign()
	want := callManagers
	if recovery != nil {
		want = append(slices.Clone(callManagers), recovery)
	}
	for _, cert := range want {
		if !slices.ContainsFunc(c.s.Imported, func(t state.Trusted) bool {
			return t.Store == profile.PhoneSASTTrust && t.Identity.Certificate.Equal(cert)
		}) {
			c.found("migration", "TVS does not vouch for it: phones that move are locked out", "set cert import trust Phone-SAST-trust, then restart TVS on every node",
				"%s of %s is not in Phone-SAST-trust", trustlist.Printable([]byte(cert.Subject.CommonName)), c.o.Other.Profile.Name)
		}
	}
}
