package twin

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/pki"
)

// findCertificates finds the certificates of each node: those of the lists, and those that were given
// as files, which are named as OS Administration names them, unless they are older.
func (b *builder) findCertificates(items []*recogniser.Item) {
	take := func(n *node, u profile.Unit, cert *x509.Certificate) {
		if old := n.units[u]; old == nil || !b.known.real(old) || b.known.real(cert) && !cert.NotBefore.Before(old.NotBefore) {
			n.units[u] = cert
		}
	}
	for _, n := range b.nodes {
		for _, l := range []*list{b.newest(trustlist.CTL), n.itl, b.newest(trustlist.ITL)} { // the newest last: it counts
			if l != nil {
				b.fromList(n, l, take)
			}
		}
	}
	for _, it := range items {
		for _, cert := range it.Certificates {
			if n := b.byDir(it.Name); n != nil && strings.Contains(strings.ToLower(filepath.Base(it.Name)), shownByTVS) {
				n.vouching = cert
				continue
			}
			name := strings.ToLower(filepath.Base(it.Name))
			cn := fqdnOf(trustlist.FormatName(cert.Subject))
			n, unit, dir := b.byName(cn), unitOf(name, cert), b.byDir(it.Name)
			switch {
			case strings.Contains(strings.ToLower(it.Name), "-trust"):
				continue
			case dir != nil: // before 12.5 every node has an ITLRecovery of its own, of any name
				n = dir
			case unit == profile.ITLRecovery:
				if n = b.byName(strings.TrimPrefix(cn, "itlrecovery_")); n == nil {
					n = b.nodes[0]
				}
			case unit == profile.CAPF:
				n = b.nodes[0]
			}
			if n != nil && unit != "" {
				take(n, unit, cert)
			}
		}
	}
}

// shownByTVS is in the names of files with the certificate that a TVS service shows.
const shownByTVS = "shown-by-tvs"

// byDir returns the node that a folder of a path is named after.
func (b *builder) byDir(path string) *node {
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Dir(path)), "/") {
		if n := b.byName(strings.ToLower(part)); n != nil {
			return n
		}
	}
	return nil
}

// folder is byDir for a list, which makes a node that no list names where a folder has the host
// name of a certificate: where one TVS certificate serves all nodes, equal lists name but one. A
// folder that is an address tells the address of the server.
func (b *builder) folder(path string, l *list) *node {
	domain := ""
	if own := l.own(); own != nil {
		_, domain, _ = strings.Cut(fqdnOf(string(own.Subject())), ".")
	}
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Dir(path)), "/") {
		if n := b.byName(profile.FQDN(strings.ToLower(part), domain)); n != nil { // and not one of the domain before
			return n
		}
	}
	if n := b.byDir(path); n != nil {
		return n
	}
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Dir(path)), "/") {
		if ip, err := netip.ParseAddr(part); err == nil {
			own := l.own()
			if own == nil {
				continue
			}
			n := b.byName(fqdnOf(string(own.Subject())))
			if n != nil && l.kind == trustlist.ITL && !slices.ContainsFunc(b.nodes, func(other *node) bool { return other != n && other.address == ip.String() }) {
				n.address = ip.String()
			}
			return n
		}
		var own *x509.Certificate
		for _, cert := range b.known.certs {
			host := hostOf(trustlist.FormatName(cert.Subject))
			if host != "" && host == strings.ToLower(part) && (own == nil || cert.NotBefore.After(own.NotBefore)) {
				own = cert
			}
		}
		if own != nil && !shared(trustlist.FormatName(own.Subject)) {
			return b.node(fqdnOf(trustlist.FormatName(own.Subject)))
		}
	}
	return nil
}

// unitOf tells what a certificate is for: by the name of its file, or else its subject.
func unitOf(name string, cert *x509.Certificate) profile.Unit {
	cn := strings.ToLower(cert.Subject.CommonName)
	switch {
	case strings.Contains(name, "itlrecovery"), strings.HasPrefix(cn, "itlrecovery"):
		return profile.ITLRecovery
	case strings.Contains(name, "ecdsa"), strings.HasSuffix(cn, "-ec"):
		return profile.CallManagerEC
	case strings.Contains(name, "callmanager"):
		return profile.CallManager
	case strings.Contains(name, "tvs"):
		return profile.TVS
	case strings.Contains(name, "capf"), strings.HasPrefix(cn, "capf-"):
		return profile.CAPF
	case strings.Contains(name, "tomcat"):
		return profile.Tomcat
	}
	return ""
}

// fromList takes a node's certificates from a list.
func (b *builder) fromList(n *node, l *list, take func(*node, profile.Unit, *x509.Certificate)) {
	for i := range l.file.Records {
		r := &l.file.Records[i]
		if r.Empty() {
			continue
		}
		id := identityOf(r)
		if id.hash == "" && r.Has(trustlist.Certificate) {
			id.hash = sumOf(r.Value(trustlist.Certificate))
		}
		cert, err := b.known.find(id)
		if err != nil {
			continue
		}
		cn := fqdnOf(string(r.Subject()))
		mine := b.byName(cn) == n || shared(string(r.Subject()))
		isEC := strings.HasSuffix(strings.ToLower(cert.Subject.CommonName), "-ec")
		switch role := r.Role(); {
		case strings.HasPrefix(cn, "itlrecovery"):
			if n == b.nodes[0] {
				take(n, profile.ITLRecovery, cert)
			}
		case role == trustlist.CAPF:
			if n == b.nodes[0] {
				take(n, profile.CAPF, cert)
			}
		case !mine:
		case role == trustlist.TVS:
			take(n, profile.TVS, cert)
		case isEC:
			take(n, profile.CallManagerEC, cert)
		case role == trustlist.TFTP, role == trustlist.CCMTFTP, role == trustlist.SAST:
			take(n, profile.CallManager, cert)
		}
	}
}

// release guesses the release of the cluster.
func (b *builder) release(items []*recogniser.Item) string {
	if b.opts.Release != "" {
		return b.opts.Release
	}
	for _, it := range items {
		if it.Kind == recogniser.VersionText {
			if r := releaseOf(it.Data); r != "" {
				return r
			}
		}
	}
	l := b.newest(trustlist.ITL)
	recovery := b.nodes[0].units[profile.ITLRecovery]
	https := l.file.SignerVersion != trustlist.Version{}
	guess := "8.6"
	switch {
	case recovery == nil:
	case https && l.signer != nil && l.signer.Equal(recovery):
		guess = "12.5"
		if b.known.real(recovery) && recovery.NotAfter.Sub(recovery.NotBefore) > 10*365*24*time.Hour {
			guess = "14"
		}
	case https:
		guess = "11.5"
	default:
		guess = "10.0"
		if own := l.own(); own != nil && len(own.Value(trustlist.PublicKey)) > 200 {
			guess = "10.5"
		}
	}
	b.note("the release is guessed from the lists to be %s or one that works alike; --release gives another", guess)
	return guess
}

var versionLine = regexp.MustCompile(`Active Master Version:\s*(\d+)\.(\d+)`)

// releaseOf returns the release, of those that are known, that a version is nearest to.
func releaseOf(text []byte) (name string) {
	m := versionLine.FindSubmatch(text)
	if m == nil {
		return ""
	}
	var major, minor int
	fmt.Sscan(string(m[1]), &major)
	fmt.Sscan(string(m[2]), &minor)
	for _, r := range []struct {
		major, minor int
		name         string
	}{{8, 0, "8.6"}, {10, 0, "10.0"}, {10, 5, "10.5"}, {11, 0, "11.5"}, {12, 0, "12.5"}, {14, 0, "14"}} {
		if major > r.major || major == r.major && minor >= r.minor {
			name = r.name
		}
	}
	return name
}

// state puts the state together.
func (b *builder) state(items []*recogniser.Item) error {
	last := b.newest(trustlist.ITL)
	p := profile.Profile{Name: b.nodes[0].name, Release: b.release(items), Installed: time.Unix(0, 0).UTC(), Organisation: organisation(string(last.file.Signer.Name))}
	if b.nodes[0].domain != "" {
		p.Name = b.nodes[0].domain
	}
	for i, n := range b.nodes {
		spec := profile.NodeSpec{Name: n.name, Domain: n.domain, Publisher: i == 0, Host: n.address, Absent: make(map[profile.Service]bool)}
		if !n.tftp {
			spec.Absent[profile.TFTPService] = true
		}
		if !n.tvs && !b.blank {
			spec.Absent[profile.TVSService] = true
		}
		if cert := n.units[profile.CAPF]; cert != nil {
			spec.CAPFName = cert.Subject.CommonName
		}
		p.Nodes = append(p.Nodes, spec)
	}
	if rec := b.nodes[0].units[profile.ITLRecovery]; rec != nil {
		p.RecoveryName = rec.Subject.CommonName
	} else if r, err := profile.FindRelease(p.Release); err == nil && r.Recovery {
		b.note("no ITLRecovery certificate is known, which release %s has: one is made up", p.Release)
	}
	b.s = state.New(p, time.Time{})
	b.s.Clock, b.s.Secret, b.s.Names, b.s.Hosts = b.opts.Now, b.secret, make(map[string][]string), make(map[string]int)
	if last.file.Digest.Hash() != 0 {
		b.s.Digest = last.file.Digest
	}
	for i, n := range b.nodes {
		if err := b.fill(b.s.Nodes[i], n); err != nil {
			return err
		}
		for _, name := range []string{n.name, profile.FQDN(n.name, n.domain)} {
			b.s.Hosts[name] = i
		}
	}
	b.signers(items)
	b.parameters(last)
	b.imports(items)
	b.services(items)
	b.history()
	return nil
}

// organisation returns the parts of a subject that all nodes share.
func organisation(subject string) pki.Name {
	n := nameOf(subject)
	first := func(parts []string) string {
		if len(parts) == 0 {
			return ""
		}
		return parts[0]
	}
	return pki.Name{OU: first(n.OrganizationalUnit), O: first(n.Organization), L: first(n.Locality), ST: first(n.Province), C: first(n.Country)}
}

// fill gives a node its certificates and its lists.
func (b *builder) fill(to *state.Node, n *node) error {
	for _, u := range b.s.Release().Units() {
		cert := n.units[u]
		if cert == nil {
			var err error
			if cert, err = b.madeUp(to, u); err != nil {
				return err
			}
			if u != profile.Tomcat && u != profile.CAPF && (u != profile.ITLRecovery || n == b.nodes[0]) {
				b.note("the %s certificate of %s is not known: one is made up", u, n.name)
			}
		}
		to.Units[u] = pki.NewStandIn(cert, b.secret)
	}
	to.Signer, to.Vouching, to.App, to.Web = to.Units[profile.CallManager], to.Units[profile.TVS], to.Units[profile.Tomcat], to.Units[profile.CallManagerEC]
	if n.vouching != nil {
		to.Vouching = pki.NewStandIn(n.vouching, b.secret)
	}
	key, err := hostKey()
	if err != nil {
		return err
	}
	to.HostKey = key
	itl := n.itl
	if itl == nil {
		itl = b.newest(trustlist.ITL)
	}
	to.ITL = itl.data
	if own := itl.own(); own != nil { // TFTP signs with what it has in its list
		if cert, err := b.known.find(withHash(own)); err == nil && b.byName(fqdnOf(string(own.Subject()))) == n {
			to.Signer = pki.NewStandIn(cert, b.secret)
		}
	}
	return nil
}

// signers takes who signs a node's configurations from those that it serves.
func (b *builder) signers(items []*recogniser.Item) {
	for _, it := range items {
		if it.File == nil || it.File.Kind != trustlist.SGN {
			continue
		}
		at := slices.Index(b.nodes, b.byDir(it.Name))
		if cert := b.signerOf(nil, it.File.Signer); at >= 0 && cert != nil {
			b.s.Nodes[at].Signer = pki.NewStandIn(cert, b.secret)
		}
	}
}

// withHash is identityOf with the hash of a whole certificate.
func withHash(r *trustlist.Record) identity {
	id := identityOf(r)
	if id.hash == "" && r.Has(trustlist.Certificate) {
		id.hash = sumOf(r.Value(trustlist.Certificate))
	}
	return id
}

// madeUp makes a certificate that the evidence does not have.
func (b *builder) madeUp(n *state.Node, u profile.Unit) (*x509.Certificate, error) {
	cn := n.FQDN()
	id := identity{keyLength: 270}
	switch u {
	case profile.CAPF:
		cn = "CAPF-" + n.Name
	case profile.ITLRecovery:
		cn = "ITLRECOVERY_" + n.FQDN()
	case profile.CallManagerEC:
		cn, id.keyLength = n.FQDN()+"-EC", 65
	}
	if cert := b.nodes[0].units[profile.CallManager]; cert != nil && cert.PublicKeyAlgorithm == x509.RSA && pki.Bits(&pki.Identity{Certificate: cert}) == 1024 && id.keyLength == 270 {
		id.keyLength = 140
	}
	id.subject = "CN=" + cn
	id.issuer = id.subject
	id.serial = pki.NewSecret()[:pki.SerialBytes]
	id.serial[0] &= 0x7f
	return b.known.make(id)
}
