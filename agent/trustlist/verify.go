package trustlist

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"math/big"
)

// The RSA key sizes that may sign a file, in bits.
const (
	MinKeyBits = 1024
	MaxKeyBits = 4096
)

// CheckSignature checks the file's signature with the key: PKCS#1 v1.5 over the
// whole file with the signature element cut out, as both CUCM and phones do it.
// Errors are *FileError with ErrDigest, ErrWeakKey or ErrSignature.
func (f *File) CheckSignature(key *rsa.PublicKey) error {
	if f.Algorithm != 0 {
		return &FileError{Offset: f.algorAt, Err: ErrDigest, Detail: "only RSA PKCS#1 v1.5 (0) is known"}
	}
	hash := f.Digest.Hash()
	if hash == 0 {
		return &FileError{Offset: f.digestAt, Err: ErrDigest, Detail: "digest " + f.Digest.String()}
	}
	if bits := key.N.BitLen(); bits < MinKeyBits || bits > MaxKeyBits {
		return &FileError{Offset: f.signerAt, Err: ErrWeakKey}
	}
	if err := rsa.VerifyPKCS1v15(key, hash, f.signedSum(hash), f.Signature); err != nil {
		return &FileError{Offset: f.SignatureOffset(), Err: ErrSignature}
	}
	return nil
}

// SignedSum returns the digest of what is signed: of the whole file with the signature element
// cut out. It is nil where the digest has no known number.
func (f *File) SignedSum() []byte {
	if hash := f.Digest.Hash(); hash != 0 {
		return f.signedSum(hash)
	}
	return nil
}

func (f *File) signedSum(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write(f.data[:f.sigAt])
	h.Write(f.data[f.sigEnd:])
	return h.Sum(nil)
}

// CheckOwn checks a list with the key of its own SAST record for the signer. It
// reports whether the list is intact, not whether anybody may trust it. It returns
// the record's index, or -1 and ErrNoSigner where no record fits.
func (f *File) CheckOwn() (int, error) { return f.CheckOwnWith(f.CheckSignature) }

// CheckOwnWith is CheckOwn with another check of a signature.
func (f *File) CheckOwnWith(check func(*rsa.PublicKey) error) (int, error) {
	found := ErrNoSigner
	for i := range f.Records {
		r := &f.Records[i]
		if !r.role.SignsLists() || !r.Is(f.Signer.Issuer, f.Signer.Serial) {
			continue
		}
		key, err := r.RSAKey()
		if err == nil {
			err = check(key)
		}
		if err == nil {
			return i, nil
		}
		found = err
	}
	return -1, found
}

// ErrNoSigner says that a list holds no SAST record for its own signer.
var ErrNoSigner = errors.New("the list has no SAST record for its signer")

// Is reports whether the record's certificate has the issuer and serial number.
// Names are compared as SameName does, numbers as SameSerial does.
func (r *Record) Is(issuer, serial []byte) bool {
	return SameSerial(r.Serial(), serial) && SameName(r.Issuer(), issuer)
}

// RSAKey returns the record's public key: PUBLICKEY where present, else the key
// of the certificate. Errors are *FileError with ErrMalformed.
func (r *Record) RSAKey() (*rsa.PublicKey, error) {
	der := r.Value(PublicKey)
	if len(der) == 0 {
		cert, err := r.X509()
		if err != nil {
			return nil, err
		}
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, malformed(r.Offset(), "the record's key is not an RSA key")
		}
		return key, nil
	}
	key, err := parseRSAPublicKey(der)
	if err != nil {
		return nil, malformed(r.Offset()+int(r.fields[PublicKey].at), "PUBLICKEY: %v", err)
	}
	return key, nil
}

// X509 decodes the record's certificate. Errors are *FileError with
// ErrMalformed, also where the record carries none.
func (r *Record) X509() (*x509.Certificate, error) {
	der := r.Value(Certificate)
	if len(der) == 0 {
		return nil, malformed(r.Offset(), "the record carries no certificate")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, malformed(r.Offset()+int(r.fields[Certificate].at), "CERTIFICATE: %v", err)
	}
	return cert, nil
}

// MatchesCertificate reports whether the certificate is the record's: equal to
// its CERTIFICATE, or of the hash in CERTHASH. Where the record also has a
// PUBLICKEY, that must be the certificate's, so that a collision of a short
// hash is of no use.
func (r *Record) MatchesCertificate(cert *x509.Certificate) bool {
	if key := r.Value(PublicKey); len(key) != 0 && !samePublicKey(key, cert) {
		return false
	}
	if der := r.Value(Certificate); len(der) != 0 {
		return bytes.Equal(der, cert.Raw)
	}
	want := r.Value(CertHash)
	if len(want) == 0 {
		return false
	}
	var sum []byte
	switch len(want) { // the size tells the algorithm; HASHALGORITHM may be absent
	case sha1.Size:
		s := sha1.Sum(cert.Raw)
		sum = s[:]
	case sha256.Size:
		s := sha256.Sum256(cert.Raw)
		sum = s[:]
	case sha512.Size:
		s := sha512.Sum512(cert.Raw)
		sum = s[:]
	default:
		return false
	}
	return subtle.ConstantTimeCompare(sum, want) == 1
}

// samePublicKey compares a PUBLICKEY value with a certificate's key. Records
// hold RSA keys as PKCS#1, EC keys as an uncompressed point.
func samePublicKey(value []byte, cert *x509.Certificate) bool {
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok {
		have, err := parseRSAPublicKey(value)
		return err == nil && have.Equal(key)
	}
	// The point of an EC key is the end of the SubjectPublicKeyInfo.
	return len(value) >= 65 && bytes.HasSuffix(cert.RawSubjectPublicKeyInfo, value)
}

// parseRSAPublicKey reads a PKCS#1 RSAPublicKey in DER: a SEQUENCE of two
// positive INTEGERs, nothing behind.
func parseRSAPublicKey(der []byte) (*rsa.PublicKey, error) {
	seq, rest, ok := derValue(der, 0x30)
	if !ok || len(rest) != 0 {
		return nil, errors.New("not one DER sequence")
	}
	n, rest, ok := derValue(seq, 0x02)
	if !ok || len(n) == 0 || n[0]&0x80 != 0 {
		return nil, errors.New("no positive modulus")
	}
	e, rest, ok := derValue(rest, 0x02)
	if !ok || len(rest) != 0 || len(e) == 0 || len(e) > 4 || e[0]&0x80 != 0 {
		return nil, errors.New("no exponent of 1 to 4 bytes")
	}
	if len(n) > MaxKeyBits/8+1 {
		return nil, errors.New("modulus is longer than 4096 bits")
	}
	exp := 0
	for _, b := range e {
		exp = exp<<8 | int(b)
	}
	if exp < 3 || exp&1 == 0 {
		return nil, errors.New("exponent is not odd and at least 3")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exp}, nil
}

// derValue splits one DER element with a definite length of at most two bytes.
func derValue(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, at := int(b[1]), 2
	switch {
	case n < 0x80:
	case n == 0x81 && len(b) >= 3 && b[2] >= 0x80:
		n, at = int(b[2]), 3
	case n == 0x82 && len(b) >= 4 && b[2] != 0:
		n, at = int(b[2])<<8|int(b[3]), 4
	default:
		return nil, nil, false
	}
	if n > len(b)-at {
		return nil, nil, false
	}
	return b[at : at+n], b[at+n:], true
}
