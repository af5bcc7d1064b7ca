package trustlist

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// SigningKey is a certificate with its private RSA key, of 1024, 2048 or 4096
// bits: the header has no number for other sizes.
type SigningKey struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// check reports why the key cannot sign.
func (s SigningKey) check() (*rsa.PublicKey, uint8, error) {
	if s.Certificate == nil || s.Key == nil {
		return nil, 0, errors.New("a signer needs a certificate and its private key")
	}
	pub, ok := s.Key.Public().(*rsa.PublicKey)
	if !ok {
		return nil, 0, fmt.Errorf("the signer's key is %T: only RSA can sign", s.Key.Public())
	}
	if !pub.Equal(s.Certificate.PublicKey) {
		return nil, 0, errors.New("the private key does not fit the certificate")
	}
	if bits := pub.N.BitLen(); bits < MinKeyBits || bits > MaxKeyBits {
		return nil, 0, fmt.Errorf("%w: %d", ErrWeakKey, bits)
	}
	index, ok := modulusIndex(pub.Size())
	if !ok {
		return nil, 0, fmt.Errorf("the header has no number for an RSA key of %d bits: use 1024, 2048 or 4096", pub.N.BitLen())
	}
	return pub, index, nil
}

// Form says how much of a certificate a record carries.
type Form uint8

// The forms of a record.
const (
	Whole  Form = iota // the certificate itself
	Hashed             // its SHA-1 hash, as CUCM 10 writes TVS and CAPF records
	Blank              // neither key nor certificate: a section emptied for a rollback
)

// RecordSpec describes a record to be written.
type RecordSpec struct {
	Role        Role
	Certificate *x509.Certificate // nil only in a Blank record
	Form        Form
	DNSName     string  // of the node; "" writes two NUL bytes, as CUCM 10.0 does
	IP          [4]byte // element left out where 0.0.0.0
}

// ListSpec describes a list to be written.
type ListSpec struct {
	Kind          Kind    // ITL or CTL
	FileName      string  // "ITLFile.tlv" or "CTLFile.tlv" where ""; must be that of a list of the kind
	Version       Version // 1.2 where zero; the major part must be 1
	SignerVersion Version // element left out where zero; 1.1 and later invite phones to HTTPS
	Digest        Digest  // SHA-1 where zero
	Time          time.Time
	Records       []RecordSpec
	Oversize      bool // writes a list that is larger than Parse reads, as a large cluster does
}

// BuildList writes and signs a list with CUCM's order and layout. It refuses a
// list that Parse would refuse for its size, unless Oversize is set, its FILENAME or its version; the
// latter two are ErrWrongFile.
func BuildList(spec ListSpec, signer SigningKey) ([]byte, error) {
	if !spec.Kind.IsList() {
		return nil, fmt.Errorf("%v is not a list", spec.Kind)
	}
	if spec.FileName == "" {
		spec.FileName = listFileName(spec.Kind)
	}
	if spec.Version == (Version{}) {
		spec.Version = Version{1, 2}
	}
	if err := checkForm(spec.FileName, spec.Version, nil, spec.Kind); err != nil {
		return nil, err
	}
	if len(spec.Records) == 0 {
		return nil, errors.New("a list needs at least one record")
	}
	var records []byte
	for i, r := range spec.Records {
		b, err := r.encode()
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		records = append(records, b...)
	}
	head := head{spec.Version, spec.SignerVersion, spec.Digest, spec.FileName, spec.Time, nil}
	limit := spec.Kind.SizeLimit()
	if spec.Oversize {
		limit = math.MaxInt
	}
	return head.sign(records, signer, limit)
}

// Resign writes the records of a list under a new header and signature, as
// `utils itl reset` does: records stay as they are, byte for byte.
func Resign(list *File, at time.Time, signer SigningKey) ([]byte, error) {
	if !list.Kind.IsList() {
		return nil, fmt.Errorf("%v is not a list", list.Kind)
	}
	head := head{list.Version, list.SignerVersion, list.Digest, string(list.FileName), at, nil}
	return head.sign(list.Content(), signer, list.Kind.SizeLimit())
}

// maxFileName bounds the FILENAME of what is written, in bytes: phones ask for no longer
// names.
const maxFileName = 128

// checkForm reports, as ErrWrongFile, that a header would not say that its file is
// of the kind.
func checkForm(fileName string, version Version, e *Encryption, kind Kind) error {
	if fileName == "" {
		return fmt.Errorf("%w: %s needs a FILENAME", ErrWrongFile, kind.article())
	}
	if len(fileName) > maxFileName || strings.ContainsFunc(fileName, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return fmt.Errorf("%w: FILENAME %.40q: at most %d letters, digits and marks", ErrWrongFile, fileName, maxFileName)
	}
	h := Header{FileName: []byte(fileName), Version: version, Encryption: e}
	switch is, err := h.kind(); {
	case err != nil:
		var at *FileError
		errors.As(err, &at)
		return fmt.Errorf("%w: %s", at.Err, at.Detail)
	case is != kind:
		return fmt.Errorf("%w: wanted %s: %s", ErrWrongFile, kind.article(), h.says(is))
	}
	return nil
}

// SignFile puts a signed header in front of content. name is what the phone asks
// for, as in "SEP64A0E71502CC.cnf.xml.sgn"; one that ends in ".tlv" is that of a
// list and an ErrWrongFile. digest 0 means SHA-1.
func SignFile(name string, content []byte, digest Digest, at time.Time, signer SigningKey) ([]byte, error) {
	head := head{version: Version{1, 0}, digest: digest, fileName: name, time: at}
	if err := checkForm(name, head.version, nil, SGN); err != nil {
		return nil, err
	}
	return head.sign(content, signer, SGN.SizeLimit())
}

// head is what varies in a header.
type head struct {
	version, signerVersion Version
	digest                 Digest
	fileName               string
	time                   time.Time
	encryption             *Encryption // nil for a content that is not encrypted
}

// sign puts a signed header in front of body. limit is in bytes, of the whole file.
func (h head) sign(body []byte, signer SigningKey, limit int) ([]byte, error) {
	pub, index, err := signer.check()
	if err != nil {
		return nil, err
	}
	if h.digest == 0 {
		h.digest = SHA1
	}
	hash := h.digest.Hash()
	if hash == 0 {
		return nil, fmt.Errorf("%w: digest %v", ErrDigest, h.digest)
	}
	secs := h.time.Unix()
	if secs < 0 || secs > 1<<32-1 {
		return nil, fmt.Errorf("time %v does not fit the header's 32 bits", h.time.UTC())
	}
	var w writer
	h.putSigner(&w, signer.Certificate, index)
	sigAt := len(w.b)
	w.put(tagSignature, make([]byte, pub.Size()))
	sigEnd := len(w.b)
	w.put(tagFileName, nul(h.fileName))
	w.put(tagTimestamp, binary.BigEndian.AppendUint32(nil, uint32(secs)))
	if h.encryption != nil {
		h.encryption.put(&w)
	}
	for len(w.b)%headerAlign != 0 {
		w.b = append(w.b, byte(tagPad))
	}
	if w.err != nil {
		return nil, w.err
	}
	if len(w.b) > 1<<16-1 {
		return nil, fmt.Errorf("header of %d bytes does not fit its 16-bit length", len(w.b))
	}
	// VERSION has 5 bytes, HEADERLENGTH's tag and length 3.
	binary.BigEndian.PutUint16(w.b[5+elementOverhead:], uint16(len(w.b)))
	if size := len(w.b) + len(body); size > limit {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size, limit)
	}

	out := append(w.b, body...)
	sum := hash.New()
	sum.Write(out[:sigAt])
	sum.Write(out[sigEnd:])
	sig, err := signer.Key.Sign(rand.Reader, sum.Sum(nil), hash)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	copy(out[sigAt+elementOverhead:sigEnd], sig)
	return out, nil
}

// putSigner writes the elements before SIGNATURE.
func (h head) putSigner(w *writer, cert *x509.Certificate, modulus uint8) {
	w.put(tagVersion, []byte{h.version.Major, h.version.Minor})
	w.put(tagHeaderLength, []byte{0, 0})
	if h.signerVersion != (Version{}) {
		w.put(tagSignerVersion, []byte{h.signerVersion.Major, h.signerVersion.Minor})
	}
	var id, algo, info writer
	id.put(tagSignerName, nul(FormatName(cert.Subject)))
	id.put(tagSignerSerial, cert.SerialNumber.Bytes())
	id.put(tagSignerIssuer, nul(FormatName(cert.Issuer)))
	w.put(tagSignerID, id.b)
	algo.put(tagAlgorithm, []byte{0})
	algo.put(tagModulus, []byte{modulus})
	info.put(tagDigestAlgorithm, []byte{byte(h.digest)})
	info.put(tagSignatureAlgo, algo.b)
	w.put(tagSignatureInfo, info.b)
}

func (s RecordSpec) encode() ([]byte, error) {
	var w writer
	w.put(RecordLength, []byte{0, 0})
	dns := blankDNSName
	if s.DNSName != "" {
		dns = s.DNSName + "\x00"
	}
	w.put(DNSName, []byte(dns))
	role := []byte{byte(s.Role >> 8), byte(s.Role)}
	if s.Form == Blank {
		w.put(Function, role)
	} else {
		cert := s.Certificate
		if cert == nil {
			return nil, fmt.Errorf("role %v needs a certificate", s.Role)
		}
		key, err := publicKeyValue(cert)
		if err != nil {
			return nil, err
		}
		w.put(SubjectName, nul(FormatName(cert.Subject)))
		w.put(Function, role)
		w.put(IssuerName, nul(FormatName(cert.Issuer)))
		w.put(SerialNumber, cert.SerialNumber.Bytes())
		w.put(PublicKey, key)
		w.put(Signature, cert.Signature)
		if s.Form == Whole {
			w.put(Certificate, cert.Raw)
		}
	}
	if s.IP != [4]byte{} {
		w.put(IPAddress, s.IP[:])
	}
	if s.Form == Hashed {
		sum := crypto.SHA1.New()
		sum.Write(s.Certificate.Raw)
		w.put(CertHash, sum.Sum(nil))
		w.put(HashAlgorithm, []byte{byte(SHA1)})
	}
	if w.err == nil && len(w.b) > 1<<16-1 {
		w.err = fmt.Errorf("record of %d bytes does not fit its 16-bit length", len(w.b))
	}
	if w.err != nil {
		return nil, w.err
	}
	binary.BigEndian.PutUint16(w.b[elementOverhead:], uint16(len(w.b)))
	return w.b, nil
}

// publicKeyValue returns a PUBLICKEY: PKCS#1 for RSA, the point for EC.
func publicKeyValue(cert *x509.Certificate) ([]byte, error) {
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok {
		return x509.MarshalPKCS1PublicKey(key), nil
	}
	var point func() ([]byte, error)
	if key, ok := cert.PublicKey.(interface{ Bytes() ([]byte, error) }); ok {
		point = key.Bytes // *ecdsa.PublicKey
	}
	if point == nil {
		return nil, fmt.Errorf("certificate key %T is neither RSA nor EC", cert.PublicKey)
	}
	return point()
}

// writer appends elements and remembers the first that is too long.
type writer struct {
	b   []byte
	err error
}

func (w *writer) put(tag Tag, value []byte) {
	if len(value) > 1<<16-1 && w.err == nil {
		w.err = fmt.Errorf("element 0x%02x of %d bytes does not fit its 16-bit length", uint8(tag), len(value))
	}
	w.b = append(w.b, byte(tag), byte(len(value)>>8), byte(len(value)))
	w.b = append(w.b, value...)
}

func nul(s string) []byte { return append([]byte(s), 0) }

// FormatName writes a name as CUCM's lists do: CN, OU, O, L, ST, C, whatever their order
// in the certificate, which is another one in CUCM's own. Attributes of one type, and
// those of other types behind, stand with the last of the certificate first, as RFC 4514
// has it; other types are given by their short name, or as dotted numbers.
func FormatName(name pkix.Name) string {
	var parts []string
	write := func(wanted func(oid string) bool) {
		for i := len(name.Names) - 1; i >= 0; i-- {
			oid := name.Names[i].Type.String()
			if !wanted(oid) {
				continue
			}
			if short, ok := attributeNames[oid]; ok {
				oid = short
			}
			parts = append(parts, oid+"="+fmt.Sprint(name.Names[i].Value))
		}
	}
	for _, known := range nameOrder {
		write(func(oid string) bool { return oid == known })
	}
	write(func(oid string) bool { return !slices.Contains(nameOrder, oid) })
	return strings.Join(parts, nameSeparator)
}

// nameOrder is the order of the attributes in CUCM's lists: CN, OU, O, L, ST, C.
var nameOrder = []string{"2.5.4.3", "2.5.4.11", "2.5.4.10", "2.5.4.7", "2.5.4.8", "2.5.4.6"}

var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title",
	"0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress",
}
