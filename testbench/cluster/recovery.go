package cluster

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"itlagent/platform/filestore"
	"itlagent/testbench/pki"
)

// P12Name is the name of the file with the recovery key.
const P12Name = "ITLRecovery.p12"

// renewP12 writes the publisher's recovery key under the security password, and
// forgets that an older file was saved.
func (s *state) renewP12() error {
	id := s.recovery()
	if id == nil {
		return nil
	}
	p12, err := pkcs12.Modern.Encode(id.Key, id.Certificate, nil, s.SecurityPassword)
	if err != nil {
		return fmt.Errorf("write %s: %w", P12Name, err)
	}
	s.RecoveryP12, s.RecoverySaved = p12, false
	return nil
}

// RecoveryP12 returns the file ITLRecovery.p12 of a node: PKCS#12 under the
// cluster's security password. Subscribers and old releases have none: nil.
func (n *Node) RecoveryP12() []byte {
	s := n.cluster.state()
	if s.publisherIndex() != n.index {
		return nil
	}
	return s.RecoveryP12
}

// RecoverySaved notes that ITLRecovery.p12, as it is, was fetched and is kept
// elsewhere: the daily alert stops.
func (c *Cluster) RecoverySaved(p12 []byte) error {
	return c.update(func(s *state) error {
		if subtle.ConstantTimeCompare(p12, s.RecoveryP12) == 1 {
			s.RecoverySaved = true
			s.event(s.publisher(), appCert, 6, "ITLRecoverySaved", P12Name+" was saved by hand")
		}
		return nil
	})
}

// ErrP12Password says that a PKCS#12 file was not written under the cluster's
// present security password.
var ErrP12Password = errors.New("the security password of this cluster does not open the file: it was saved under another one")

// OpenP12 reads an ITLRecovery.p12 with the cluster's security password.
func (c *Cluster) OpenP12(data []byte) (*pki.Identity, error) {
	if rounds := mostRounds(data, 0); rounds > maxP12Rounds {
		return nil, fmt.Errorf("not a PKCS#12 file that is opened here: it wants %d rounds of its password's key, at most %d", rounds, maxP12Rounds)
	}
	key, cert, err := pkcs12.Decode(data, c.state().SecurityPassword)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, ErrP12Password
	}
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#12 file with a key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T", key)
	}
	id := &pki.Identity{Certificate: cert, Key: signer}
	if err := id.Fits(); err != nil {
		return nil, err
	}
	return id, nil
}

// maxP12Rounds bounds the work that a PKCS#12 file may ask for: somebody else may have
// written it. A million rounds take half a second.
const maxP12Rounds = 1_000_000

// oidData marks what a PKCS#12 file holds in the open (RFC 7292, section 4.1).
var oidData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}

// mostRounds returns the largest number that stands in the open in a PKCS#12 file: a
// version, the length of a key, the rounds of a key derivation. Octet strings are
// looked into only where they are content of the type data: what is encrypted, salts
// and digests are random, and certificates have numbers of their own.
func mostRounds(der []byte, depth int) (most int64) {
	const maxDepth = 16
	isData := false
	for len(der) > 0 && depth < maxDepth {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return most
		}
		der = rest
		switch {
		case v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger:
			n := new(big.Int).SetBytes(v.Bytes)
			if !n.IsInt64() {
				return math.MaxInt64
			}
			most = max(most, n.Int64())
		case v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOID:
			var id asn1.ObjectIdentifier
			_, err := asn1.Unmarshal(v.FullBytes, &id)
			isData = err == nil && id.Equal(oidData)
		case v.Class == asn1.ClassContextSpecific && v.IsCompound && isData:
			var content []byte
			if _, err := asn1.Unmarshal(v.Bytes, &content); err == nil {
				most = max(most, mostRounds(content, depth+1))
			}
		case v.IsCompound:
			most = max(most, mostRounds(v.Bytes, depth+1))
		}
	}
	return most
}

// alertEvery is how often an alert reminds of a recovery key that nobody saved.
const alertEvery = 24 * time.Hour

// alert raises the daily alerts that were due until now. A month without the
// bench being up gives no more than the last month's.
func (s *state) alert() {
	now := s.now()
	const atMost = 31
	if behind := now.Sub(s.Alerted); behind > (atMost+1)*alertEvery {
		s.Alerted = s.Alerted.Add((behind/alertEvery - atMost) * alertEvery)
	}
	for !now.Before(s.Alerted.Add(alertEvery)) {
		s.Alerted = s.Alerted.Add(alertEvery)
		if s.recovery() == nil || s.RecoverySaved {
			continue
		}
		s.event(s.publisher(), appCert, 4, "ITLRecoveryBackup",
			"The ITLRecovery key was not saved. Save it with: file get tftp "+P12Name)
		s.pending[len(s.pending)-1].Time = s.Alerted
	}
}

// Remind raises the alerts that are due where the bench clock runs by itself.
func (c *Cluster) Remind() error {
	s := c.state()
	if s.now().Before(s.Alerted.Add(alertEvery)) {
		return nil
	}
	return c.update(func(s *state) error { s.alert(); return nil })
}

// CheckAdmin reports whether a password is the administrator's.
func (c *Cluster) CheckAdmin(password string) bool { return same(password, c.state().AdminPassword) }

// CheckSecurity reports whether a password is the cluster's security password.
func (c *Cluster) CheckSecurity(password string) bool {
	return same(password, c.state().SecurityPassword)
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Passwords returns the administrator's and the security password.
func (c *Cluster) Passwords() (admin, security string) {
	s := c.state()
	return s.AdminPassword, s.SecurityPassword
}

// minPassword is the least length of a password, in bytes.
const minPassword = 6

// SetSecurityPassword changes the cluster's security password, and with it
// ITLRecovery.p12, which then is to be saved again.
func (c *Cluster) SetSecurityPassword(password string) error {
	if len(password) < minPassword {
		return fmt.Errorf("a password has at least %d characters", minPassword)
	}
	return c.update(func(s *state) error {
		s.SecurityPassword = password
		return s.renewP12()
	})
}

// Rebuild installs the publisher anew, without a backup: it gets other keys and
// certificates, ITLRecovery among them. What subscribers keep too stays, the
// phones with their settings among it. The security password is the one that is
// given now.
func (c *Cluster) Rebuild(security string) error {
	if len(security) < minPassword {
		return fmt.Errorf("a password has at least %d characters", minPassword)
	}
	return c.update(func(s *state) error {
		pub := s.publisher()
		for _, u := range s.release().units() {
			id, err := s.issue(pub, u)
			if err != nil {
				return err
			}
			pub.Units[u] = id
		}
		clear(pub.Modified)
		s.why = "the publisher was installed anew"
		s.SecurityPassword = security
		for _, n := range s.Nodes {
			if err := s.startServices(n); err != nil {
				return err
			}
		}
		s.event(pub, "UC_INSTALL", 5, "PublisherRebuilt", "The publisher was installed anew")
		return s.renewP12()
	})
}

// Backups are files NAME.bak in the folder backups of the cluster's directory: a
// salt, a nonce, and the state, sealed with a key made from the security
// password.
const (
	backupSalt   = 16      // bytes
	backupRounds = 100_000 // of PBKDF2
)

func backupSeal(password string, salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, password, salt, backupRounds, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (c *Cluster) backupPath(name string) (string, error) {
	dir := c.backupDir()
	if dir == "" {
		return "", errors.New("a cluster in memory has no place for backups")
	}
	if !hostLabel.MatchString(name) {
		return "", fmt.Errorf("%q is no name for a backup", name)
	}
	return filepath.Join(dir, name+".bak"), nil
}

// Backup writes what the cluster keeps, keys and lists, to a file, sealed with
// the security password. The daily alert about ITLRecovery goes on.
func (c *Cluster) Backup(name string) error {
	if c.origin != nil {
		return errors.New("a fork of a cluster writes no backups")
	}
	path, err := c.backupPath(name)
	if err != nil {
		return err
	}
	s := c.state()
	plain, err := encodeState(s)
	if err != nil {
		return err
	}
	salt := make([]byte, backupSalt)
	rand.Read(salt)
	seal, err := backupSeal(s.SecurityPassword, salt)
	if err != nil {
		return err
	}
	nonce := make([]byte, seal.NonceSize())
	rand.Read(nonce)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := filestore.WriteFile(path, seal.Seal(append(salt, nonce...), nonce, plain, nil)); err != nil {
		return err
	}
	return c.update(func(s *state) error {
		s.event(s.publisher(), appDRS, 6, "BackupDone", "A backup was written: "+name)
		return nil
	})
}

// Restore puts back what Backup wrote: certificates, keys, lists, trust stores,
// phones. The bench clock, the ports and the passwords stay. Phones are not
// told to reset.
func (c *Cluster) Restore(name string) error {
	path, err := c.backupPath(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("no backup %s", name)
	}
	return c.update(func(s *state) error {
		if len(data) < backupSalt {
			return fmt.Errorf("backup %s is cut off", name)
		}
		seal, err := backupSeal(s.SecurityPassword, data[:backupSalt])
		if err != nil {
			return err
		}
		data := data[backupSalt:]
		if len(data) < seal.NonceSize() {
			return fmt.Errorf("backup %s is cut off", name)
		}
		plain, err := seal.Open(nil, data[:seal.NonceSize()], data[seal.NonceSize():], nil)
		if err != nil {
			return fmt.Errorf("backup %s: the security password does not open it, or it is damaged", name)
		}
		old, err := decodeState(plain)
		if err != nil {
			return fmt.Errorf("backup %s: %w", name, err)
		}
		if len(old.Nodes) != len(s.Nodes) {
			return fmt.Errorf("backup %s has %d nodes, the cluster %d", name, len(old.Nodes), len(s.Nodes))
		}
		for i, n := range old.Nodes {
			n.Ports, n.HostKey, n.Faults, n.Stopped = s.Nodes[i].Ports, s.Nodes[i].HostKey, s.Nodes[i].Faults, s.Nodes[i].Stopped
		}
		saved := s.RecoverySaved && s.recovery() != nil && old.recovery() != nil && s.recovery().Certificate.Equal(old.recovery().Certificate)
		s.why = "backup " + name + " was restored"
		s.Profile, s.Nodes, s.Phones, s.Imported = old.Profile, old.Nodes, old.Phones, old.Imported
		s.CTL, s.Mixed, s.Rollback, s.Digest, s.KeyBits = old.CTL, old.Mixed, old.Rollback, old.Digest, old.KeyBits
		for _, n := range s.Nodes {
			if err := s.startServices(n); err != nil {
				return err
			}
		}
		if err := s.renewP12(); err != nil {
			return err
		}
		s.RecoverySaved = saved
		s.event(s.publisher(), appDRS, 5, "RestoreDone", "A backup was restored: "+name)
		return nil
	})
}

// Backups returns the names of the backups, the newest first.
func (c *Cluster) Backups() []string {
	dir := c.backupDir()
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	type backup struct {
		name string
		at   time.Time
	}
	var all []backup
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".bak")
		if info, err := e.Info(); ok && err == nil {
			all = append(all, backup{name, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b backup) int { return b.at.Compare(a.at) })
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.name
	}
	return names
}

func (c *Cluster) backupDir() string {
	switch {
	case c.opts.Dir != "":
		return filepath.Join(c.opts.Dir, "backups")
	case c.origin != nil:
		return c.origin.backupDir()
	}
	return ""
}

// Certificate is one certificate of a node or a trust store.
type Certificate struct {
	Unit        Unit  // "" in a trust store
	Store       Store // "" of a node's own
	Certificate *x509.Certificate
}

// Certificates returns the node's own certificates.
func (n *Node) Certificates() (own []Certificate) {
	s := n.cluster.state()
	units := s.Nodes[n.index].Units
	for _, u := range s.release().units() {
		own = append(own, Certificate{Unit: u, Certificate: units[u].Certificate})
	}
	return own
}

// Trusted returns what is in the trust stores, the cluster's own first.
func (c *Cluster) Trusted() (all []Certificate) {
	s := c.state()
	for _, n := range s.Nodes {
		all = append(all, Certificate{Store: CallManagerTrust, Certificate: n.Units[CallManager].Certificate},
			Certificate{Store: TomcatTrust, Certificate: n.Units[Tomcat].Certificate})
	}
	for _, t := range s.Imported {
		all = append(all, Certificate{Store: t.Store, Certificate: t.Identity.Certificate})
	}
	return all
}

// Import puts foreign certificates into a trust store. TVS services know them
// from their next start. In Phone-SAST-trust a certificate may sign lists, in
// CallManager-trust beside it files too.
func (c *Cluster) Import(store Store, certs ...*x509.Certificate) error {
	return c.update(func(s *state) error {
		for _, cert := range certs {
			have := false
			for _, t := range s.Imported {
				have = have || t.Store == store && t.Identity.Certificate.Equal(cert)
			}
			if !have {
				s.Imported = append(s.Imported, trusted{store, &pki.Identity{Certificate: cert}})
				s.event(s.publisher(), appCert, 6, "CertImported", "A certificate was imported into "+string(store))
			}
		}
		return nil
	})
}

// Foreign are the certificates that another cluster needs to know for phones to
// move there: the CallManager certificate of every TFTP node, and ITLRecovery.
func (c *Cluster) Foreign() (callManagers []*x509.Certificate, recovery *x509.Certificate) {
	s := c.state()
	for _, n := range s.Nodes {
		if !s.spec(n).Absent[TFTPService] {
			callManagers = append(callManagers, n.Units[CallManager].Certificate)
		}
	}
	if id := s.recovery(); id != nil {
		recovery = id.Certificate
	}
	return callManagers, recovery
}

// KnownHost returns the host key of an SFTP server that was accepted before, or
// nil.
func (c *Cluster) KnownHost(address string) []byte { return c.state().KnownHosts[address] }

// RememberHost keeps the host key of an SFTP server.
func (c *Cluster) RememberHost(address string, key []byte) error {
	return c.update(func(s *state) error {
		hosts := map[string][]byte{address: key}
		for at, k := range s.KnownHosts {
			if at != address {
				hosts[at] = k
			}
		}
		s.KnownHosts = hosts
		return nil
	})
}
