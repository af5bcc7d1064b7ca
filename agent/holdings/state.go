package holdings

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
)

// State is what a phone holds at one moment. It is never changed, and may be read
// while the phone goes on; what becomes of it is another State.
type State struct {
	CTL, ITL *trustlist.File   // in force; nil where none is
	Newest   Dates             // of the newest lists since the last erase
	Config   []byte            // the configuration's XML; nil without one
	Settings settings.Settings // of Config
	Network  Network           // what was set on the phone

	lsc, mic *tls.Certificate
	damaged  map[string]error // by key: stored, but it cannot be read
}

// Load reads a state from storage. Each thing is read and judged on its own: one that
// cannot be read is absent from the state and named by Damage.
func Load(store interface{ Get(string) ([]byte, error) }) *State {
	s := new(State)
	for i := range keys {
		s.load(store, &keys[i])
	}
	return s
}

// load reads one key again.
func (s *State) load(store interface{ Get(string) ([]byte, error) }, k *Key) {
	if k.parse == nil {
		return
	}
	data, err := store.Get(k.Name)
	absent := errors.Is(err, fs.ErrNotExist)
	if err == nil && data == nil {
		data = []byte{} // stored, and empty
	}
	if err == nil {
		err = k.parse(s, data)
	}
	if err != nil {
		k.parse(s, nil)
	}
	switch {
	case err == nil || absent:
		s.mark(k.Name, nil)
	default:
		s.mark(k.Name, fmt.Errorf("stored %s: %w", k.What, err))
	}
}

// mark notes whether a key is damaged.
func (s *State) mark(name string, err error) {
	s.damaged = maps.Clone(s.damaged) // that of other states stays as it is
	if delete(s.damaged, name); err == nil {
		return
	}
	if s.damaged == nil {
		s.damaged = make(map[string]error)
	}
	s.damaged[name] = err
}

// Damage returns why a phone cannot rely on what it has stored under the names, nil
// where all of it could be read or is absent.
func (s *State) Damage(names ...string) error {
	for _, name := range names {
		if err := s.damaged[name]; err != nil {
			return err
		}
	}
	return nil
}

// Damaged returns the damage to everything, in the order of Keys.
func (s *State) Damaged() (all []error) {
	for _, k := range keys {
		if err := s.damaged[k.Name]; err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Identity returns the certificate that the phone shows, with its key: the LSC, else
// the MIC; nil without either.
func (s *State) Identity() *tls.Certificate {
	if s.lsc != nil {
		return s.lsc
	}
	return s.mic
}

func (s *State) list(kind trustlist.Kind) *trustlist.File {
	if kind == trustlist.CTL {
		return s.CTL
	}
	return s.ITL
}

// Dates are those of the newest lists that were in force since the phone's lists were
// last erased; the zero time where the list in force is the newest. A list that would open
// the phone must be newer, whatever was in force in between.
type Dates struct{ CTL, ITL time.Time }

func (d *Dates) of(kind trustlist.Kind) *time.Time {
	if kind == trustlist.CTL {
		return &d.CTL
	}
	return &d.ITL
}

func (d Dates) encode() []byte {
	unix := func(t time.Time) string {
		if t.IsZero() {
			return "0"
		}
		return strconv.FormatInt(t.Unix(), 10)
	}
	return []byte("ctl=" + unix(d.CTL) + "\nitl=" + unix(d.ITL) + "\n")
}

// parseDates reads the form of encode and no other: a date that is lost would let an old
// list in.
func parseDates(data []byte) (d Dates, err error) {
	if data == nil {
		return d, nil
	}
	for _, kind := range []trustlist.Kind{trustlist.CTL, trustlist.ITL} {
		line, rest, _ := strings.Cut(string(data), "\n")
		text, ok := strings.CutPrefix(line, strings.ToLower(kind.String())+"=")
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil || n < 0 {
			return Dates{}, fmt.Errorf("not a date: %.40q", line)
		}
		if data = []byte(rest); n > 0 {
			*d.of(kind) = time.Unix(n, 0)
		}
	}
	if len(data) > 0 {
		return Dates{}, fmt.Errorf("%.40q behind the dates", data)
	}
	return d, nil
}

// Network is what was set on the phone itself.
type Network struct {
	TFTP1, TFTP2 string // "host" or "host:port"; "" where unset
	Alternate    bool   // these servers are used, not those of DHCP
}

// maxServer bounds the name of a server, in bytes.
const maxServer = 100

// check refuses what cannot be stored in a line, or used.
func (n Network) check() error {
	for _, s := range []string{n.TFTP1, n.TFTP2} {
		if len(s) > maxServer || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("invalid server %.60q", s)
		}
	}
	if n.Alternate && n.TFTP1 == "" && n.TFTP2 == "" {
		return errors.New("set tftp1 or tftp2 first")
	}
	return nil
}

// Of returns the TFTP servers that files are asked of, those of DHCP being given.
func (n Network) Of(dhcp []string) []string {
	if !n.Alternate {
		return slices.Clone(dhcp)
	}
	return slices.DeleteFunc([]string{n.TFTP1, n.TFTP2}, func(s string) bool { return s == "" })
}

func (n Network) encode() []byte {
	text := "tftp1=" + n.TFTP1 + "\ntftp2=" + n.TFTP2 + "\n"
	if n.Alternate {
		text += "alternate=1\n"
	}
	return []byte(text)
}

func parseNetwork(data []byte) (n Network) {
	for line := range strings.Lines(string(data)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "tftp1":
			n.TFTP1 = value
		case "tftp2":
			n.TFTP2 = value
		case "alternate":
			n.Alternate = value == "1"
		}
	}
	return n
}

// parseIdentity reads a certificate and its RSA key, in PEM: a CERTIFICATE and an RSA
// PRIVATE KEY (PKCS #1). Phones have no other keys, and reading others would weigh
// 60 KB.
func parseIdentity(data []byte) (*tls.Certificate, error) {
	if data == nil {
		return nil, nil
	}
	id := new(tls.Certificate)
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			id.Certificate = append(id.Certificate, block.Bytes)
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			id.PrivateKey = key
		}
	}
	key, ok := id.PrivateKey.(*rsa.PrivateKey)
	if !ok || len(id.Certificate) == 0 {
		return nil, errors.New("not a CERTIFICATE and an RSA PRIVATE KEY in PEM form")
	}
	leaf, err := x509.ParseCertificate(id.Certificate[0])
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the private key does not fit the certificate")
	}
	id.Leaf = leaf
	return id, nil
}
