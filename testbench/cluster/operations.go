package cluster

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// HoldTime is how long after one certificate of a node was regenerated another
// one of it must not be: the phones are to reset in between.
const HoldTime = 5 * time.Minute

// Applications that events come from.
const (
	appCert = "UC_CERT"
	appTFTP = "UC_TFTP"
	appCCM  = "UC_CALLMANAGER"
	appDRS  = "UC_DRS"
)

// operate runs an operation on one node.
func (c *Cluster) operate(name string, operation func(*state, *nodeState) error) error {
	n, err := c.Node(name)
	if err != nil {
		return err
	}
	return c.update(func(s *state) error { return operation(s, s.Nodes[n.index]) })
}

// issue makes a certificate for a unit. It changes nothing.
func (s *state) issue(n *nodeState, u Unit) (*pki.Identity, error) {
	spec := s.spec(n)
	req := pki.Request{Subject: s.Profile.Organisation, Bits: s.bits(n, u), From: s.now()}
	req.Subject.CN = n.fqdn()
	switch u {
	case CAPF:
		if req.Subject.CN = spec.CAPFName; req.Subject.CN == "" {
			req.Subject.CN = "CAPF-" + n.Name
		}
	case TVS:
		req.EC = s.Profile.TVSWithEC
	case CallManagerEC:
		req.EC, req.Subject.CN = true, n.fqdn()+"-EC"
	case ITLRecovery:
		req.Usage, req.Years = pki.Recovery, s.release().RecoveryYears
		req.Subject.CN = "ITLRECOVERY_" + n.fqdn()
		if spec.Publisher {
			req.Subject.CN = s.recoveryName()
		}
	}
	if s.keys == nil {
		return pki.New(req)
	}
	s.issued++
	return s.keys.New(req, s.issued)
}

// recoveryName is the common name of the publisher's recovery certificate. It
// stays what it was at installation.
func (s *state) recoveryName() string {
	if name := s.Profile.RecoveryName; name != "" {
		return name
	}
	spec := s.Profile.Nodes[s.publisherIndex()]
	return "ITLRECOVERY_" + spec.Name + "." + spec.Domain
}

func (s *state) bits(n *nodeState, u Unit) int {
	if n.FIPS {
		return max(fipsBits, s.keySize(n, u))
	}
	return s.keySize(n, u)
}

func (s *state) keySize(n *nodeState, u Unit) int {
	if u != ITLRecovery && s.KeyBits != 0 {
		return s.KeyBits
	}
	for _, sizes := range []map[Unit]int{s.spec(n).Bits, s.Profile.Bits} {
		if bits := sizes[u]; bits != 0 {
			return bits
		}
	}
	return s.release().KeyBits
}

// startServices is what a start of the node does.
func (s *state) startServices(n *nodeState) error {
	s.startTVS(n)
	s.startTomcat(n)
	return s.startTFTP(n)
}

func (s *state) startTVS(n *nodeState) { n.Vouching, n.Stores = n.Units[TVS], s.Imported }

func (s *state) startTomcat(n *nodeState) { n.App = n.Units[Tomcat] }

// startTFTP reads the certificates and builds the ITL anew.
func (s *state) startTFTP(n *nodeState) error {
	itl, err := trustlist.BuildList(s.itlSpec(n), s.listSigner(n).SigningKey())
	if err != nil {
		return fmt.Errorf("%s: build ITL: %w", n.Name, err)
	}
	s.serveITL(n, itl)
	return nil
}

// serveITL is a start of TFTP with a list that is there already.
func (s *state) serveITL(n *nodeState, itl []byte) {
	n.OldITL, n.ITL, n.CTL = n.ITL, itl, s.CTL
	n.Signer, n.Web = n.Units[CallManager], n.Units[CallManagerEC]
}

// listSigner returns who signs the node's ordinary lists.
func (s *state) listSigner(n *nodeState) *pki.Identity {
	if s.release().RecoverySigns {
		return s.recovery()
	}
	return n.Units[CallManager]
}

// resetSigner returns who signs a list that is reset: the other one.
func (s *state) resetSigner() *pki.Identity {
	if s.release().RecoverySigns {
		return s.publisher().Units[CallManager]
	}
	return s.recovery()
}

// itlSpec describes the node's ITL in the order of the note: the node's
// CallManager certificate as SAST and as TFTP, CAPF, the first TVS, ITL
// recovery, the other TVS.
func (s *state) itlSpec(n *nodeState) trustlist.ListSpec {
	own := n.Units[CallManager].Certificate
	whole, hashed := trustlist.Whole, trustlist.Hashed
	if s.Rollback {
		whole, hashed = trustlist.Blank, trustlist.Blank
	}
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: own},
		{Role: trustlist.TFTP, Certificate: own, Form: whole},
	}
	if ec := n.Units[CallManagerEC]; ec != nil {
		records = append(records, trustlist.RecordSpec{Role: trustlist.TFTP, Certificate: ec.Certificate, Form: hashed})
	}
	records = append(records, trustlist.RecordSpec{Role: trustlist.CAPF, Certificate: s.publisher().Units[CAPF].Certificate, Form: trustlist.Hashed})
	for i, other := range s.Nodes {
		records = append(records, trustlist.RecordSpec{Role: trustlist.TVS, Certificate: other.Units[TVS].Certificate, Form: hashed})
		if id := s.recovery(); i == 0 && id != nil {
			records = append(records, trustlist.RecordSpec{Role: trustlist.SAST, Certificate: id.Certificate})
		}
	}
	return trustlist.ListSpec{Kind: trustlist.ITL, Digest: s.Digest, SignerVersion: s.release().SignerVersion, Time: s.now(), Records: records}
}

// HoldError says that a certificate of the node was regenerated too recently. Its
// text is the one that the note shows.
type HoldError struct{ Modified, Wanted Unit }

func (e *HoldError) Error() string {
	return fmt.Sprintf("%s certificate was modified in the last 5 minutes. Please re-try regenerating %s certificate at a later time",
		e.Modified, e.Wanted)
}

// Held returns the HoldError that Regenerate would give, or nil.
func (c *Cluster) Held(node string, u Unit) error {
	n, err := c.Node(node)
	if err != nil {
		return err
	}
	s := c.state()
	return s.held(s.Nodes[n.index], u)
}

func (s *state) held(n *nodeState, u Unit) error {
	if n.Units[u] == nil {
		return fmt.Errorf("%s has no certificate %q", n.Name, u)
	}
	for _, other := range s.release().units() {
		at, ok := n.Modified[other]
		if ok && other != u && s.now().Before(at.Add(HoldTime)) {
			return &HoldError{other, u}
		}
	}
	return nil
}

// Regenerate replaces a certificate and its key. Services use the new one from
// their next start, which release 14 makes by itself. Phones are told to reset,
// unless it was ITLRecovery. Another certificate of the same node regenerated
// within HoldTime gives a *HoldError.
func (c *Cluster) Regenerate(node string, u Unit) error {
	return c.operate(node, func(s *state, n *nodeState) error {
		if err := s.held(n, u); err != nil {
			return err
		}
		if err := s.renew(n, u); err != nil {
			return err
		}
		if u == ITLRecovery {
			if n == s.publisher() {
				return s.renewP12()
			}
			return nil
		}
		s.why = fmt.Sprintf("certificate %s of %s was regenerated", u, n.Name)
		if s.release().Restarts {
			for _, other := range s.Nodes {
				if err := s.startServices(other); err != nil {
					return err
				}
			}
		}
		s.resetPhones(s.why)
		return nil
	})
}

func (s *state) renew(n *nodeState, u Unit) error {
	id, err := s.issue(n, u)
	if err != nil {
		return err
	}
	n.Units[u], n.Modified[u] = id, s.now()
	s.event(n, appCert, 6, "CertRegenerated", "A certificate was regenerated", events.Tag{Key: "CertName", Value: string(u)},
		events.Tag{Key: "SerialNumber", Value: trustlist.FormatSerial(id.Certificate.SerialNumber.Bytes())})
	return nil
}

// ResetPhones tells every phone to reset.
func (c *Cluster) ResetPhones(why string) error {
	return c.update(func(s *state) error { s.resetPhones(why); return nil })
}

func (s *state) resetPhones(why string) {
	s.Resets++
	s.event(s.publisher(), appCCM, 6, "DeviceReset", "Every phone was told to reset: "+why)
}

// Do starts, stops or restarts a service of a node. A service reads certificates,
// lists and trust stores when it starts: TFTP then serves a new ITL with its
// ordinary signature, and forgets a reset one.
func (c *Cluster) Do(node string, service Service, start, stop bool) error {
	return c.operate(node, func(s *state, n *nodeState) error {
		if s.spec(n).Absent[service] {
			return fmt.Errorf("%s does not run %s", n.Name, service)
		}
		n.Stopped[service] = !start
		what := map[[2]bool]string{{true, false}: "started", {false, true}: "stopped", {true, true}: "restarted"}[[2]bool{start, stop}]
		s.event(n, "UC_SERVICE", 6, "Service", "A service was "+what, events.Tag{Key: "Service", Value: string(service)})
		if !start {
			return nil
		}
		switch service {
		case TFTPService:
			s.why = "TFTP was " + what
			return s.startTFTP(n)
		case TVSService:
			s.startTVS(n)
		case TomcatService:
			s.startTomcat(n)
		}
		return nil
	})
}

// Runs reports whether the service is to be on the node, and whether it was not
// stopped.
func (n *Node) Runs(service Service) (active, started bool) {
	s := n.cluster.state()
	node := s.Nodes[n.index]
	return !s.spec(node).Absent[service], s.runs(node, service)
}

// RestartTFTP restarts the TFTP service of a node.
func (c *Cluster) RestartTFTP(node string) error { return c.Do(node, TFTPService, true, true) }

// RestartTVS restarts the TVS service of a node.
func (c *Cluster) RestartTVS(node string) error { return c.Do(node, TVSService, true, true) }

// Errors of a reset.
var (
	// ErrNotPublisher has the text that a subscriber answers.
	ErrNotPublisher = errors.New("This is not a Publisher Node")
	// ErrNoRecovery: the release has no ITLRecovery.
	ErrNoRecovery = errors.New("this release has no ITLRecovery key")
	// ErrKeyLength: the recovery key is shorter than the certificates that it is
	// to stand in for, which keeps it from being used.
	ErrKeyLength = errors.New("the ITLRecovery key is shorter than the CallManager key: the reset ITL file could not be generated")
)

// TFTPNodes returns the names of the nodes whose TFTP service is active.
func (c *Cluster) TFTPNodes() []string {
	s := c.state()
	var names []string
	for _, n := range s.Nodes {
		if s.runs(n, TFTPService) {
			names = append(names, n.Name)
		}
	}
	return names
}

// ResetITL does what `utils itl reset` does: it takes the publisher's ITL, signs
// it with the ITL recovery key in place of its signature, copies it to every
// active TFTP node and restarts TFTP there. From release 12 on, where ITLRecovery
// signs ordinary lists, the CallManager key signs the reset one. A key that was
// kept elsewhere replaces the publisher's own; nil uses that. The next ordinary
// restart of TFTP signs as always. It returns the names of the nodes.
func (c *Cluster) ResetITL(kept *pki.Identity) (names []string, err error) {
	err = c.update(func(s *state) error {
		names = nil
		if s.recovery() == nil {
			return ErrNoRecovery
		}
		signer := s.resetSigner()
		if kept != nil {
			s.publisher().Units[ITLRecovery] = kept
			if err := s.renewP12(); err != nil {
				return err
			}
			s.RecoverySaved = true // it was brought from where it is saved
			signer = kept
		}
		if !s.Profile.Fixed && s.shorter(signer) {
			return ErrKeyLength
		}
		current, err := trustlist.Parse(trustlist.ITL, s.publisher().ITL)
		if err != nil {
			return fmt.Errorf("the publisher's ITL: %w", err)
		}
		reset, err := trustlist.Resign(current, s.now(), signer.SigningKey())
		if err != nil {
			return err
		}
		s.why = "the list was reset, signed by " + signer.Certificate.Subject.CommonName
		for _, n := range s.Nodes {
			if s.runs(n, TFTPService) {
				s.serveITL(n, reset)
				names = append(names, n.Name)
			}
		}
		s.event(s.publisher(), appTFTP, 6, "ITLReset", "The ITL was reset", events.Tag{Key: "Signer", Value: signer.Certificate.Subject.CommonName})
		return nil
	})
	return names, err
}

// ServeITL makes every active TFTP node serve a list as it is, until the next start
// of TFTP: an old one that was kept, in the way that a restored file is.
func (c *Cluster) ServeITL(list []byte) error {
	if _, err := trustlist.Parse(trustlist.ITL, list); err != nil {
		return err
	}
	return c.update(func(s *state) error {
		s.why = "a list was put back"
		for _, n := range s.Nodes {
			if s.runs(n, TFTPService) {
				s.serveITL(n, list)
			}
		}
		return nil
	})
}

// shorter reports whether a key is shorter than a node's CallManager key.
func (s *state) shorter(signer *pki.Identity) bool {
	for _, n := range s.Nodes {
		if pki.Bits(signer) < pki.Bits(n.Units[CallManager]) {
			return true
		}
	}
	return false
}

var hostLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// checkDomain reports what is no domain name of labels with dots between them.
func checkDomain(domain string) error {
	for label := range strings.SplitSeq(domain, ".") {
		if !hostLabel.MatchString(label) || len(domain) > 200 {
			return fmt.Errorf("%q is no domain name", domain)
		}
	}
	return nil
}

// Rename gives a node another host name, domain, or both ("" keeps the old one).
// Its certificates are made anew, all but ITLRecovery, its services restarted,
// and the phones told to reset.
func (c *Cluster) Rename(node, host, domain string) error {
	return c.operate(node, func(s *state, n *nodeState) error {
		if host != "" {
			if !hostLabel.MatchString(host) {
				return fmt.Errorf("%q is no host name", host)
			}
			for _, other := range s.Nodes {
				if other != n && other.Name == host {
					return fmt.Errorf("there is a node %s already", host)
				}
			}
			n.Name = host
		}
		if domain != "" {
			if err := checkDomain(domain); err != nil {
				return err
			}
			n.Domain = domain
		}
		for _, u := range s.release().units() {
			if u == ITLRecovery {
				continue
			}
			if err := s.renew(n, u); err != nil {
				return err
			}
		}
		s.why = "node " + n.fqdn() + " was renamed"
		for _, other := range s.Nodes { // every list names the node's TVS
			if err := s.startServices(other); err != nil {
				return err
			}
		}
		s.resetPhones(s.why)
		return nil
	})
}

// SetRollback sets the enterprise parameter "Prepare Cluster for Rollback to
// Pre 8.0": ITLs built from now on have blank TFTP and TVS records. From release
// 10.5 on services restart and phones reset by themselves.
func (c *Cluster) SetRollback(on bool) error {
	return c.update(func(s *state) error {
		s.Rollback, s.why = on, "the cluster was prepared for a rollback"
		if s.release().RollbackResets {
			for _, n := range s.Nodes {
				if err := s.startServices(n); err != nil {
					return err
				}
			}
			s.resetPhones(s.why)
		}
		return nil
	})
}

// SetDigest sets the enterprise parameter "TFTP File Signature Algorithm". Lists
// follow when TFTP restarts.
func (c *Cluster) SetDigest(d trustlist.Digest) error {
	return c.update(func(s *state) error { s.Digest = d; return nil })
}

// SetKeyBits sets the RSA key size of certificates regenerated from now on, but
// for ITLRecovery. 0 is that of the installation.
func (c *Cluster) SetKeyBits(bits int) error {
	if bits != 0 && !keySize(bits) {
		return fmt.Errorf("key size %d: 1024, 2048 or 4096 bits", bits)
	}
	return c.update(func(s *state) error { s.KeyBits = bits; return nil })
}

// Parameters returns the enterprise parameters.
func (c *Cluster) Parameters() (rollback bool, digest trustlist.Digest, keyBits int) {
	s := c.state()
	return s.Rollback, s.Digest, s.KeyBits
}

// Set changes a setting in the configuration of a phone, such as "webAccess".
func (c *Cluster) Set(mac, name, value string) error {
	return c.update(func(s *state) error {
		p := s.phone(mac)
		if p == nil {
			return fmt.Errorf("no phone with MAC address %s", mac)
		}
		if _, ok := p.Settings[name]; !ok {
			return fmt.Errorf("phones have no setting %q", name)
		}
		if err := checkSetting(name, value); err != nil {
			return err
		}
		settings := make(map[string]string)
		for k, v := range p.Settings {
			settings[k] = v
		}
		settings[name] = value
		p.Settings = settings
		return nil
	})
}

// Encrypt makes the configuration of a phone one for the key of its certificate
// alone; nil ends that.
func (c *Cluster) Encrypt(mac string, cert *x509.Certificate) error {
	return c.update(func(s *state) error {
		p := s.phone(mac)
		if p == nil {
			return fmt.Errorf("no phone with MAC address %s", mac)
		}
		p.Certificate = nil
		if cert == nil {
			return nil
		}
		if _, ok := cert.PublicKey.(*rsa.PublicKey); !ok {
			return errors.New("the phone's key is not RSA")
		}
		p.Certificate = &pki.Identity{Certificate: cert}
		return nil
	})
}

// Advance moves the bench clock ahead, and raises the alerts that were due on the
// way.
func (c *Cluster) Advance(d time.Duration) error {
	if d < 0 {
		return errors.New("the bench clock does not go back")
	}
	return c.update(func(s *state) error {
		s.Clock = s.Clock.Add(d)
		s.alert()
		return nil
	})
}

// SetFault makes a service of a node fail as the kind says; "none" mends it.
func (c *Cluster) SetFault(node string, service Service, kind string) error {
	return c.operate(node, func(s *state, n *nodeState) error {
		if _, err := parseFault(service, kind); err != nil {
			return err
		}
		if kind == NoFault {
			delete(n.Faults, service)
		} else {
			n.Faults[service] = kind
		}
		return nil
	})
}

// ErrUpgrade says that a cluster cannot become of a release.
var ErrUpgrade = errors.New("no upgrade")

// Upgrade makes the cluster one of a later release: certificates that are new in it
// are made, services start anew, and phones are told to reset. On the way to
// release 12.5 ITLRecovery is regenerated, a known failure that a profile with
// Fixed leaves out.
func (c *Cluster) Upgrade(release string) error {
	return c.update(func(s *state) error {
		from, to := releaseIndex(s.Profile.Release), releaseIndex(release)
		if to < 0 {
			_, err := FindRelease(release)
			return err
		}
		if to <= from {
			return fmt.Errorf("%w: release %s is not later than %s", ErrUpgrade, release, s.Profile.Release)
		}
		before := s.release()
		s.Profile.Release = release
		after := s.release()
		for _, n := range s.Nodes {
			for _, u := range after.units() {
				if n.Units[u] == nil {
					if err := s.renew(n, u); err != nil {
						return err
					}
				}
			}
		}
		pub := s.publisher()
		if after.RecoverySigns && !before.RecoverySigns && before.Recovery && !s.Profile.Fixed {
			if err := s.renew(pub, ITLRecovery); err != nil {
				return err
			}
		}
		s.why = "the cluster was upgraded to " + release
		for _, n := range s.Nodes {
			if err := s.startServices(n); err != nil {
				return err
			}
		}
		s.event(pub, "UC_INSTALL", 5, "Upgraded", "The cluster was upgraded to "+release)
		s.resetPhones(s.why)
		if s.RecoveryP12 != nil && before.Recovery && (!after.RecoverySigns || before.RecoverySigns || s.Profile.Fixed) {
			return nil // the key is the same
		}
		return s.renewP12()
	})
}

func releaseIndex(name string) int {
	return slices.IndexFunc(releases, func(r Release) bool { return r.Name == name })
}

// fipsBits is the least size of an RSA key in FIPS mode.
const fipsBits = 2048

// SetFIPS turns FIPS mode of a node on or off, which makes all of its certificates
// anew, ITLRecovery among them, starts its services, and tells phones to reset.
func (c *Cluster) SetFIPS(node string, on bool) error {
	return c.operate(node, func(s *state, n *nodeState) error {
		if n.FIPS == on {
			return fmt.Errorf("FIPS mode of %s is as wanted already", n.Name)
		}
		n.FIPS = on
		for _, u := range s.release().units() {
			if err := s.renew(n, u); err != nil {
				return err
			}
		}
		s.why = "FIPS mode of " + n.Name + " was changed"
		for _, other := range s.Nodes { // every list names the node's TVS
			if err := s.startServices(other); err != nil {
				return err
			}
		}
		s.resetPhones(s.why)
		if n == s.publisher() {
			return s.renewP12()
		}
		return nil
	})
}

// FIPS reports whether the node is in FIPS mode.
func (n *Node) FIPS() bool { return n.state().FIPS }
