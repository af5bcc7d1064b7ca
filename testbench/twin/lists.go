package twin

import (
	"bytes"
	"crypto/md5"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster"
	"itlagent/testbench/evidence/recogniser"
	"itlagent/testbench/evidence/showtext"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
)

// list is a list of the evidence, and what stands for it.
type list struct {
	from []string // paths
	kind trustlist.Kind
	sha1 string // of the real one; "" where it is not known
	md5  string
	at   time.Time
	text bool

	data   []byte // what stands for it: the real bytes, or others
	file   *trustlist.File
	signer *x509.Certificate // nil where it is not known
}

// lists makes what stands for every list of the evidence, the oldest first.
func (b *builder) lists(items []*recogniser.Item) error {
	seen := make(map[string]*list)
	add := func(l *list, err error) error {
		if err != nil {
			return err
		}
		if old := seen[l.sha1]; old != nil && l.sha1 != "" {
			old.from = append(old.from, l.from...)
			return nil
		}
		seen[l.sha1] = l
		b.all = append(b.all, l)
		return nil
	}
	for _, it := range items { // files first: they have more than their text
		if it.File != nil && it.File.Kind.IsList() {
			if err := add(b.fromFile(it)); err != nil {
				return err
			}
		}
	}
	for _, it := range items {
		for _, l := range it.Lists {
			if err := add(b.fromText(it, l)); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(b.all, func(x, y *list) int { return x.at.Compare(y.at) })
	return nil
}

// fromFile takes a list as it is, but for hashes of certificates that are not known.
func (b *builder) fromFile(it *recogniser.Item) (*list, error) {
	f := it.File
	sum := md5.Sum(f.Bytes())
	l := &list{from: []string{it.Name}, kind: f.Kind, sha1: sumOf(f.Bytes()), md5: hex.EncodeToString(sum[:]), at: f.Time(), data: f.Bytes(), file: f}
	changed := false
	data := bytes.Clone(f.Bytes())
	for i := range f.Records {
		r := &f.Records[i]
		hash := r.Value(trustlist.CertHash)
		if len(hash) == 0 {
			continue
		}
		cert, err := b.known.find(identityOf(r))
		if err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", it.Name, i+1, err)
		}
		if b.known.real(cert) {
			continue
		}
		sum, _ := hex.DecodeString(sumOf(cert.Raw))
		at := bytes.Index(data, hash) // of 20 bytes that are a hash, there is no other place
		if at >= 0 && len(hash) == len(sum) {
			data, changed = bytes.ReplaceAll(data, hash, sum), true
		}
	}
	l.signer = b.signerOf(f.Records, f.Signer)
	if !changed {
		return l, nil
	}
	return l, b.resign(l, data)
}

func identityOf(r *trustlist.Record) identity {
	key := r.Value(trustlist.PublicKey)
	return identity{string(r.Subject()), string(r.Issuer()), r.Serial(), len(key), key, hex.EncodeToString(r.Value(trustlist.CertHash))}
}

// signerOf returns the certificate of who signed a list.
func (b *builder) signerOf(records []trustlist.Record, s trustlist.Signer) *x509.Certificate {
	for i := range records {
		if r := &records[i]; r.Is(s.Issuer, s.Serial) && !r.Empty() {
			if cert, err := r.X509(); err == nil {
				return cert
			}
		}
	}
	for _, cert := range b.known.certs {
		if trustlist.SameSerial(cert.SerialNumber.Bytes(), s.Serial) && trustlist.SameName([]byte(trustlist.FormatName(cert.Issuer)), s.Issuer) {
			return cert
		}
	}
	return nil
}

// resign has a stand-in sign a list whose bytes were changed.
func (b *builder) resign(l *list, data []byte) error {
	f, err := trustlist.Parse(l.kind, data)
	if err != nil {
		return fmt.Errorf("%s: %w", l.from[0], err)
	}
	if l.signer != nil {
		if _, ok := l.signer.PublicKey.(*rsa.PublicKey); ok {
			sig, err := pki.NewStandIn(l.signer, b.secret).Key.Sign(nil, f.SignedSum(), nil)
			if err != nil {
				return err
			}
			if len(sig) == len(f.Signature) {
				copy(data[f.SignatureOffset():], sig)
			}
		}
	}
	l.data = data
	l.file, err = trustlist.Parse(l.kind, data)
	return err
}

// fromText makes a list from its text.
func (b *builder) fromText(it *recogniser.Item, t *showtext.List) (*list, error) {
	l := &list{from: []string{it.Name}, kind: trustlist.ITL, sha1: t.SHA1, md5: t.MD5, text: true, at: printedTime(t.Modified)}
	if t.Kind == trustlist.CTL.String() {
		l.kind = trustlist.CTL
	}
	spec := trustlist.ListSpec{Kind: l.kind, Time: l.at, Oversize: true, Digest: b.digest(l.at)}
	if t.SignerVersion() {
		spec.SignerVersion = trustlist.Version{Major: 1, Minor: 1}
	}
	var signer *x509.Certificate
	for i := range t.Records {
		r := &t.Records[i]
		serial, _ := hex.DecodeString(strings.ReplaceAll(r.Serial, ":", ""))
		rec := trustlist.RecordSpec{Role: trustlist.Role(r.Role), DNSName: r.DNSName}
		if ip, err := netip.ParseAddr(r.IPAddress); err == nil && ip.Is4() {
			rec.IP = ip.As4()
		}
		hash := r.CertificateSHA1
		if hash == "" {
			hash = r.CertHash
		}
		switch {
		case hash == "" && r.PublicKeyLength == 0:
			rec.Form = trustlist.Blank
		case r.CertificateSHA1 == "":
			rec.Form = trustlist.Hashed
		}
		var err error
		if rec.Certificate, err = b.known.find(identity{subject: r.Subject, issuer: r.Issuer, serial: serial, keyLength: r.PublicKeyLength, hash: hash}); err != nil {
			return nil, fmt.Errorf("%s: line %d: record %d: %w", it.Name, t.Line, i+1, err)
		}
		if r.Serial == t.Signer.Serial && rec.Form != trustlist.Blank {
			signer = rec.Certificate
		}
		spec.Records = append(spec.Records, rec)
	}
	if signer == nil {
		serial, _ := hex.DecodeString(strings.ReplaceAll(t.Signer.Serial, ":", ""))
		var err error
		if signer, err = b.known.find(identity{subject: t.Signer.Name, issuer: t.Signer.Issuer, serial: serial}); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", it.Name, t.Line, err)
		}
	}
	data, err := trustlist.BuildList(spec, pki.NewStandIn(signer, b.secret).SigningKey())
	if err == nil {
		l.data, l.signer = data, signer
		l.file, err = trustlist.Parse(l.kind, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", it.Name, t.Line, err)
	}
	return l, nil
}

// digest returns the digest of the file nearest to a time: text does not tell which was used.
func (b *builder) digest(at time.Time) trustlist.Digest {
	digest, nearest := trustlist.SHA1, time.Duration(-1)
	for _, l := range b.all {
		if away := l.at.Sub(at).Abs(); !l.text && (nearest < 0 || away < nearest) {
			digest, nearest = l.file.Digest, away
		}
	}
	return digest
}

// zones are the hours from UTC of abbreviations that servers print. Some are of several zones: the
// one with more servers is taken.
var zones = map[string]float64{
	"PST": -8, "PDT": -7, "MST": -7, "MDT": -6, "CST": -6, "CDT": -5, "EST": -5, "EDT": -4, "AKST": -9, "AKDT": -8, "HST": -10, "BRT": -3, "ART": -3,
	"WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "SAST": 2, "IST": 5.5, "SGT": 8, "HKT": 8, "AWST": 8, "JST": 9, "KST": 9,
	"ACST": 9.5, "ACDT": 10.5, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}

// printedTime reads the time that `show itl` prints, in the zone of the server, of which only the
// name is printed; a name that is not known counts as UTC.
func printedTime(text string) time.Time {
	words := strings.Fields(text)
	if len(words) != 6 {
		return time.Unix(0, 0).UTC()
	}
	offset, known := zones[words[4]]
	if known {
		words[4] = "UTC"
	}
	at, err := time.Parse("Mon Jan _2 15:04:05 MST 2006", strings.Join(words, " "))
	if err != nil || at.Unix() < 0 {
		return time.Unix(0, 0).UTC()
	}
	return at.UTC().Add(-time.Duration(offset * float64(time.Hour)))
}

// Held returns what stands in a twin for the lists that a phone holds, under the keys of
// lockout.Stored. It is empty where there are none among the items. Lists that other clusters of
// the world have served are theirs.
func (t *Twin) Held(items []*recogniser.Item, others ...*cluster.Cluster) (lockout.Stored, error) {
	b := &builder{secret: t.b.secret, known: t.b.known}
	b.known.learn(items)
	if err := b.lists(items); err != nil {
		return nil, err
	}
	held := make(lockout.Stored)
	for _, l := range b.all {
		key := strings.ToLower(l.kind.String())
		if held[key] != nil {
			return nil, fmt.Errorf("%s: a second %v: a phone holds one", l.from[0], l.kind)
		}
		held[key] = l.data
		for _, c := range others {
			if data, err := c.List(c.State().Own(l.sha1)); l.sha1 != "" && err == nil {
				held[key] = data
			}
		}
	}
	return held, nil
}
