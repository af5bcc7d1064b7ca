// Package state is all that a cluster knows, as one immutable value, and what its
// services answer by it.
//
//	s, err := state.Decode(file)
//	data, err := s.Publisher().File("ITLFile.tlv", false)
//	next := s.Clone() // an operation changes the copy, which then takes the place of s
//
// A state in force is never changed, so reading it is safe for concurrent use. A copy
// belongs to the operation that changes it. The files and answers follow Cisco's note on
// ITL enhancements in release 10.0(1), the security guides of later releases and traces
// of phones.
package state

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"maps"
	"slices"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// P12Name is the name of the file with the recovery key.
const P12Name = "ITLRecovery.p12"

// State is a cluster at one time.
type State struct {
	Profile profile.Profile
	Clock   time.Time // the bench clock, as it stood at Set
	Set     time.Time // of the machine's clock; zero where the bench clock stands still
	Nodes   []*Node
	Phones  []profile.PhoneSpec // with all their settings
	Resets  int                 // how many orders to reset there were
	Orders  []Order             `json:",omitempty"` // the last ones, oldest first

	Imported []Trusted // certificates from outside, in trust stores
	CTL      []byte    // nil: the cluster never left non-secure mode
	Mixed    bool
	Rollback bool
	Digest   trustlist.Digest
	KeyBits  int // of certificates regenerated from now on; 0: as installed

	AdminPassword, SecurityPassword string

	RecoveryP12   []byte    // the publisher's ITLRecovery.p12
	RecoverySaved bool      // the p12 was fetched as it is
	Alerted       time.Time // when the last daily alert was due

	KnownHosts map[string][]byte // of SFTP: host keys by address

	History []Served // lists, in the order of time

	// Of the copy of a real cluster; empty in others:
	Secret []byte              `json:",omitempty"` // of the stand-ins for its keys: see pki.StandIn
	Names  map[string][]string `json:",omitempty"` // hashes of a list of the real cluster, its SHA-1 first, by that of what stands for it here
	Hosts  map[string]int      `json:",omitempty"` // nodes by further names of theirs, as phones are told, or by "host:port" that Doors has
	Doors  map[string]string   `json:",omitempty"` // names of ports, of profile.AllPorts, by further addresses "host:port"
	// Addressless says that the addresses of its servers, which a CTL has, are not all known.
	Addressless bool `json:",omitempty"`

	Effects Effects `json:"-"`

	directories *directories // of its TVS services
	signed      *signedFiles // that its TFTP services have made
	places      *places      // of its phones

	keys   *pki.Keys // where keys come from; nil makes new ones
	issued int       // so many came from there
}

// Effects are what the operation that made a state does beside it.
type Effects struct {
	Events []events.Event
	Why    string            // lists are others than before
	Lists  map[string][]byte // that are new in the history, by SHA-1
}

// Trusted is a certificate in a trust store.
type Trusted struct {
	Store    profile.Store
	Identity *pki.Identity // without a key
}

// New returns the state of a profile before anything is installed: its nodes have no
// certificates yet. Passwords that the profile leaves open are made up.
func New(p profile.Profile, set time.Time) *State {
	s := &State{Profile: p, Clock: p.Installed, Set: set, Alerted: p.Installed, Digest: trustlist.SHA1,
		AdminPassword: p.AdminPassword, SecurityPassword: p.SecurityPassword}
	s.Profile.AdminPassword, s.Profile.SecurityPassword = "", ""
	for _, password := range []*string{&s.AdminPassword, &s.SecurityPassword} {
		if *password == "" {
			*password = rand.Text()
		}
	}
	for _, ps := range p.Phones {
		s.Phones = append(s.Phones, WithDefaults(ps))
	}
	for _, spec := range p.Nodes {
		s.Nodes = append(s.Nodes, &Node{Name: spec.Name, Domain: spec.Domain, Units: make(map[profile.Unit]*pki.Identity),
			Modified: make(map[profile.Unit]time.Time), Stopped: make(map[profile.Service]bool),
			Faults: make(map[profile.Service]string), Ports: make(map[string]int)})
	}
	s.link()
	return s
}

// WithDefaults adds the settings that every phone has.
func WithDefaults(ps profile.PhoneSpec) profile.PhoneSpec {
	settings := map[string]string{"settingsAccess": "1", "webAccess": "1", "sshAccess": "1", "spanToPCPort": "1"}
	maps.Copy(settings, ps.Settings)
	return profile.PhoneSpec{MAC: ps.MAC, Model: ps.Model, Settings: settings, Certificate: ps.Certificate}
}

// Clone returns a copy for an operation to change. Slices and certificates are shared:
// they are replaced, not written to.
func (s *State) Clone() *State {
	c := *s
	c.Nodes = make([]*Node, len(s.Nodes))
	for i, n := range s.Nodes {
		m := *n
		m.Units, m.Modified, m.CSRs = maps.Clone(n.Units), maps.Clone(n.Modified), maps.Clone(n.CSRs)
		m.Stopped, m.Faults, m.Ports = maps.Clone(n.Stopped), maps.Clone(n.Faults), maps.Clone(n.Ports)
		c.Nodes[i] = &m
	}
	c.Phones = slices.Clone(s.Phones)
	c.Imported, c.History, c.Orders = slices.Clip(s.Imported), slices.Clip(s.History), slices.Clip(s.Orders)
	c.Effects = Effects{}
	c.link()
	return &c
}

// link tells the nodes which state they are of.
func (s *State) link() {
	s.directories, s.signed, s.places = new(directories), new(signedFiles), new(places)
	for i, n := range s.Nodes {
		n.in, n.index = s, i
	}
}

// Adopt takes the nodes, phones, trust stores, lists and parameters of an older state
// of the same cluster. Ports, SSH keys, faults and stopped services stay, as do the
// clock, the passwords and the history.
func (s *State) Adopt(old *State) {
	for i, n := range old.Nodes {
		n.Ports, n.HostKey, n.Faults, n.Stopped = s.Nodes[i].Ports, s.Nodes[i].HostKey, s.Nodes[i].Faults, s.Nodes[i].Stopped
		n.Calls = s.Nodes[i].Calls
	}
	s.Profile, s.Nodes, s.Phones, s.Imported = old.Profile, old.Nodes, old.Phones, old.Imported
	s.CTL, s.Mixed, s.Rollback, s.Digest, s.KeyBits = old.CTL, old.Mixed, old.Rollback, old.Digest, old.KeyBits
	s.link()
}

// Freeze makes the bench clock stand still, and lets certificates from now on have
// their keys from a stock, where that is not nil.
func (s *State) Freeze(keys *pki.Keys) {
	s.Clock, s.Set = s.Now(), time.Time{}
	if keys != nil {
		s.keys = keys
	}
}

// Now returns the bench clock.
func (s *State) Now() time.Time {
	if s.Set.IsZero() {
		return s.Clock
	}
	return s.Clock.Add(time.Since(s.Set))
}

// Release returns what the cluster's software is.
func (s *State) Release() *profile.Release {
	r, err := profile.FindRelease(s.Profile.Release)
	if err != nil {
		panic(err) // Profile.Check has found it
	}
	return &r
}

// Publisher returns the node that holds the recovery key.
func (s *State) Publisher() *Node {
	return s.Nodes[slices.IndexFunc(s.Profile.Nodes, func(n profile.NodeSpec) bool { return n.Publisher })]
}

// Recovery returns the recovery certificate and key that count, or nil.
func (s *State) Recovery() *pki.Identity { return s.Publisher().Units[profile.ITLRecovery] }

// Phone returns a phone by its MAC address, 12 upper-case hex digits, or nil. Its
// settings must not be changed.
func (s *State) Phone(mac string) *profile.PhoneSpec {
	if i := s.places.of(s.Phones, mac); i >= 0 {
		return &s.Phones[i]
	}
	for i := range s.Phones {
		if s.Phones[i].MAC == mac {
			return &s.Phones[i]
		}
	}
	return nil
}

// TFTPNodes returns the names of the nodes whose TFTP service is active.
func (s *State) TFTPNodes() []string {
	var names []string
	for _, n := range s.Nodes {
		if n.Active(profile.TFTPService) {
			names = append(names, n.Name)
		}
	}
	return names
}

// CheckAdmin reports whether a password is the administrator's.
func (s *State) CheckAdmin(password string) bool { return same(password, s.AdminPassword) }

// CheckSecurity reports whether a password is the cluster's security password.
func (s *State) CheckSecurity(password string) bool { return same(password, s.SecurityPassword) }

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Event notes what the operation reports once its state is in force.
func (s *State) Event(n *Node, app string, severity int, name, text string, tags ...events.Tag) {
	s.Effects.Events = append(s.Effects.Events, events.Event{
		Time: s.Now(), Node: n.Name, App: app, Severity: severity, Name: name, Tags: tags, Text: text})
}

// NewIdentity makes a certificate with its key.
func (s *State) NewIdentity(req pki.Request) (*pki.Identity, error) {
	if s.keys == nil {
		return pki.New(req)
	}
	s.issued++
	return s.keys.New(req, s.issued)
}

// NewCSR requests a certificate for a new key.
func (s *State) NewCSR(req pki.Request) (*pki.CSR, error) {
	if s.keys == nil {
		return pki.NewCSR(req)
	}
	s.issued++
	return s.keys.NewCSR(req, s.issued)
}

// Certificate is one certificate of a node or a trust store.
type Certificate struct {
	Unit        profile.Unit  // "" in a trust store
	Store       profile.Store // "" of a node's own
	Certificate *x509.Certificate
}

// Trusted returns what is in the trust stores, the cluster's own first. One that all
// nodes have is there once.
func (s *State) Trusted() (all []Certificate) {
	add := func(store profile.Store, cert *x509.Certificate) {
		if !slices.ContainsFunc(all, func(c Certificate) bool { return c.Store == store && c.Certificate.Equal(cert) }) {
			all = append(all, Certificate{Store: store, Certificate: cert})
		}
	}
	for _, n := range s.Nodes {
		add(profile.CallManagerTrust, n.Units[profile.CallManager].Certificate)
		add(profile.TomcatTrust, n.Units[profile.Tomcat].Certificate)
	}
	for _, t := range s.Imported {
		add(t.Store, t.Identity.Certificate)
	}
	return all
}

// InStore returns the certificates that were imported into a trust store.
func (s *State) InStore(store profile.Store) (all []*x509.Certificate) {
	for _, t := range s.Imported {
		if t.Store == store {
			all = append(all, t.Identity.Certificate)
		}
	}
	return all
}

// Foreign are the certificates that another cluster needs to know for phones to
// move there: the CallManager certificate of every TFTP node, and ITLRecovery.
func (s *State) Foreign() (callManagers []*x509.Certificate, recovery *x509.Certificate) {
	for _, n := range s.Nodes {
		cert := n.Units[profile.CallManager].Certificate
		if !n.Spec().Absent[profile.TFTPService] && !slices.ContainsFunc(callManagers, cert.Equal) {
			callManagers = append(callManagers, cert)
		}
	}
	if id := s.Recovery(); id != nil {
		recovery = id.Certificate
	}
	return callManagers, recovery
}
