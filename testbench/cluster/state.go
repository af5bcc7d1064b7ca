package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// state is all that a cluster keeps. A state is never changed once it is in
// force: operations change a copy, which then takes its place whole.
type state struct {
	Profile Profile
	Clock   time.Time // the bench clock, as it stood at Set
	Set     time.Time // of the machine's clock; zero where the bench clock stands still
	Nodes   []*nodeState
	Phones  []PhoneSpec // with all their settings
	Resets  int         // how often the phones were reset

	Imported []trusted // certificates from outside, in trust stores
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

	// Of the operation that made this state:
	pending      []events.Event
	pendingLists map[string][]byte // that are new in History
	why          string            // lists are others than before

	directories *directories // of its TVS services

	keys   *pki.Keys // where keys come from; nil makes new ones
	issued int       // so many came from there
}

// nodeState is what a node keeps.
type nodeState struct {
	Name, Domain string
	Units        map[Unit]*pki.Identity
	Modified     map[Unit]time.Time // when regenerated last
	Stopped      map[Service]bool
	Faults       map[Service]string
	Ports        map[string]int // those in use, by the names of PortNames
	FIPS         bool
	HostKey      []byte // of SSH: PKCS#8, DER

	// What the services read when they start.
	ITL      []byte
	OldITL   []byte // what ITL was before
	CTL      []byte
	Signer   *pki.Identity // TFTP: of signed files
	Web      *pki.Identity // TFTP: of HTTPS; nil without
	Vouching *pki.Identity // TVS
	Stores   []trusted     // TVS: imported certificates
	App      *pki.Identity // Tomcat
}

// Store is a trust store for certificates from outside.
type Store string

// The trust stores.
const (
	CallManagerTrust Store = "CallManager-trust"
	PhoneSASTTrust   Store = "Phone-SAST-trust"
	TomcatTrust      Store = "tomcat-trust"
)

// Stores returns the trust stores.
func Stores() []Store { return []Store{CallManagerTrust, PhoneSASTTrust, TomcatTrust} }

// trusted is a certificate in a trust store.
type trusted struct {
	Store    Store
	Identity *pki.Identity // without a key
}

func (s *state) clone() *state {
	c := *s
	c.Nodes = make([]*nodeState, len(s.Nodes))
	for i, n := range s.Nodes {
		m := *n
		m.Units, m.Modified = maps.Clone(n.Units), maps.Clone(n.Modified)
		m.Stopped, m.Faults, m.Ports = maps.Clone(n.Stopped), maps.Clone(n.Faults), maps.Clone(n.Ports)
		c.Nodes[i] = &m
	}
	c.Phones = slices.Clone(s.Phones)
	c.Imported, c.History = slices.Clip(s.Imported), slices.Clip(s.History)
	c.pending, c.pendingLists, c.why, c.directories = nil, nil, "", new(directories)
	return &c
}

// now returns the bench clock.
func (s *state) now() time.Time {
	if s.Set.IsZero() {
		return s.Clock
	}
	return s.Clock.Add(time.Since(s.Set))
}

func (s *state) release() *Release {
	r, err := FindRelease(s.Profile.Release)
	if err != nil {
		panic(err) // install and load have checked it
	}
	return &r
}

func (s *state) publisher() *nodeState { return s.Nodes[s.publisherIndex()] }

func (s *state) publisherIndex() int {
	return slices.IndexFunc(s.Profile.Nodes, func(n NodeSpec) bool { return n.Publisher })
}

// recovery returns the recovery certificate of the cluster, or nil.
func (s *state) recovery() *pki.Identity { return s.publisher().Units[ITLRecovery] }

func (s *state) spec(n *nodeState) *NodeSpec { return &s.Profile.Nodes[slices.Index(s.Nodes, n)] }

// runs reports whether the node has the service and did not stop it.
func (s *state) runs(n *nodeState, service Service) bool {
	return !s.spec(n).Absent[service] && !n.Stopped[service]
}

func (n *nodeState) fqdn() string { return n.Name + "." + n.Domain }

func (s *state) phone(mac string) *PhoneSpec {
	for i := range s.Phones {
		if s.Phones[i].MAC == mac {
			return &s.Phones[i]
		}
	}
	return nil
}

// event notes what the operation reports once its state is in force.
func (s *state) event(n *nodeState, app string, severity int, name, text string, tags ...events.Tag) {
	s.pending = append(s.pending, events.Event{
		Time: s.now(), Node: n.Name, App: app, Severity: severity, Name: name, Tags: tags, Text: text})
}

const stateFile = "state.json"

// stored is the form of the state file: the state with a hash over its bytes.
type stored struct {
	Format int             `json:"format"`
	SHA256 string          `json:"sha256"`
	State  json.RawMessage `json:"state"`
}

const stateFormat = 1

// ErrDamaged says that the file with the cluster's state is not what was
// written.
var ErrDamaged = errors.New("the state of the cluster is damaged")

func encodeState(s *state) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.Marshal(stored{stateFormat, hex.EncodeToString(sum[:]), body})
}

func decodeState(data []byte) (*state, error) {
	var file stored
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if file.Format != stateFormat {
		return nil, fmt.Errorf("%w: format %d, this program knows %d", ErrDamaged, file.Format, stateFormat)
	}
	if sum := sha256.Sum256(file.State); hex.EncodeToString(sum[:]) != file.SHA256 {
		return nil, fmt.Errorf("%w: its bytes do not have the hash that stands with them", ErrDamaged)
	}
	s := &state{directories: new(directories)}
	dec := json.NewDecoder(bytes.NewReader(file.State))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if err := s.Profile.check(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if len(s.Nodes) != len(s.Profile.Nodes) {
		return nil, fmt.Errorf("%w: %d nodes, its profile has %d", ErrDamaged, len(s.Nodes), len(s.Profile.Nodes))
	}
	for _, n := range s.Nodes {
		for _, u := range s.release().units() {
			if id := n.Units[u]; id == nil || id.Key == nil {
				return nil, fmt.Errorf("%w: node %s has no key for %s", ErrDamaged, n.Name, u)
			}
		}
		if n.Signer == nil || n.Vouching == nil || n.App == nil {
			return nil, fmt.Errorf("%w: node %s lacks what its services read", ErrDamaged, n.Name)
		}
	}
	return s, nil
}

// stamp tells one state file from another: each is a file of its own.
type stamp struct {
	info fs.FileInfo
}

func (a stamp) same(b fs.FileInfo) bool {
	return a.info != nil && os.SameFile(a.info, b) && a.info.ModTime().Equal(b.ModTime()) && a.info.Size() == b.Size()
}

func loadState(dir string) (*state, stamp, error) {
	path := filepath.Join(dir, stateFile)
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	const maxState = 64 << 20 // bytes; 40 nodes and 10,000 phones take less than a tenth
	if info.Size() > maxState {
		return nil, stamp{}, fmt.Errorf("%s: %w: %d bytes", path, ErrDamaged, info.Size())
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, stamp{}, err
	}
	s, err := decodeState(data)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, stamp{info}, nil
}

// saveState puts the state in the place of the old one: synced, mode 0600, under
// another name first.
func saveState(dir string, s *state) (stamp, error) {
	data, err := encodeState(s)
	if err != nil {
		return stamp{}, err
	}
	path := filepath.Join(dir, stateFile)
	if err := filestore.WriteFile(path, data); err != nil {
		return stamp{}, err
	}
	info, err := os.Stat(path)
	return stamp{info}, err
}
