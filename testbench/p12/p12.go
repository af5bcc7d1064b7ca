// Package p12 reads and writes the PKCS#12 files of a cluster (RFC 7292): a key with its
// certificate, and trust stores.
//
//	data, err := p12.Encode(id, password)
//	id, err := p12.Open(data, password)
//	certs, err := p12.OpenTrustStore(data, password)
//
// Somebody else may have written a file: one of more than MaxSize bytes, or that asks
// for more than MaxIterations of its password's key, is refused before any work is done.
// Its functions are pure but for the random salts of Encode, and safe for concurrent
// use.
package p12

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"math/big"

	"software.sslmate.com/src/go-pkcs12"

	"itlagent/testbench/pki"
)

// Limits of a file.
const (
	MaxSize       = 1 << 20   // bytes
	MaxIterations = 1_000_000 // of a key derivation (RFC 8018, section 4.2): half a second
)

// DefaultPassword is the one of files that hold no secret: that of Java's key stores
// when nobody chooses one.
const DefaultPassword = pkcs12.DefaultPassword

// ErrPassword says that the password does not open a file.
var ErrPassword = errors.New("the security password of this cluster does not open the file: it was saved under another one")

// ErrLimit says that a file asks for more than is done for it.
var ErrLimit = errors.New("not a PKCS#12 file that is opened here")

// Encode writes a key and its certificate under a password.
func Encode(id *pki.Identity, password string) ([]byte, error) {
	data, err := pkcs12.Modern.Encode(id.Key, id.Certificate, nil, password)
	if err != nil {
		return nil, fmt.Errorf("PKCS#12: %w", err)
	}
	return data, nil
}

// EncodeTrustStore writes certificates without keys under a password.
func EncodeTrustStore(certs []*x509.Certificate, password string) ([]byte, error) {
	data, err := pkcs12.Modern.EncodeTrustStore(certs, password)
	if err != nil {
		return nil, fmt.Errorf("PKCS#12: %w", err)
	}
	return data, nil
}

// Open reads a key and its certificate. A wrong password gives ErrPassword, a file that
// asks for too much ErrLimit.
func Open(data []byte, password string) (*pki.Identity, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	key, cert, err := pkcs12.Decode(data, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, ErrPassword
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

// OpenTrustStore reads certificates without keys. Its errors are those of Open.
func OpenTrustStore(data []byte, password string) ([]*x509.Certificate, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, ErrPassword
	}
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#12 file with certificates: %w", err)
	}
	return certs, nil
}

// check reports a file that asks for too much.
func check(data []byte) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, len(data), MaxSize)
	}
	if n := iterations(data, 0); n > MaxIterations {
		return fmt.Errorf("%w: an iteration count of %d, at most %d", ErrLimit, n, MaxIterations)
	}
	return nil
}

// oidData marks what a PKCS#12 file holds unencrypted (RFC 7292, section 4.1).
var oidData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}

// iterations returns the largest number that stands unencrypted in a PKCS#12 file: a
// version, the length of a key, the iteration count of a key derivation. Octet strings
// are looked into only where they are content of the type data: what is encrypted, salts
// and digests are random, and certificates have numbers of their own.
func iterations(der []byte, depth int) (most int64) {
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
				most = max(most, iterations(content, depth+1))
			}
		case v.IsCompound:
			most = max(most, iterations(v.Bytes, depth+1))
		}
	}
	return most
}
