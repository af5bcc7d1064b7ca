package pki

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"

	"itlagent/agent/trustlist"
)

// StandIn is what signs in the place of a private key that the bench does not have, in the copy
// of a real cluster. Its signatures verify with CheckStandIn and the secret of the copy, and with
// no public key: no real phone accepts them.
type StandIn struct {
	secret [sha256.Size]byte
	public crypto.PublicKey
}

// standInType is that of its PEM block.
const standInType = "STAND-IN KEY"

var errNoStandIn = errors.New("the signature is none of a stand-in of this copy")

// NewSecret makes the secret of a copy.
func NewSecret() []byte {
	secret := make([]byte, sha256.Size)
	rand.Read(secret)
	return secret
}

// NewStandIn binds a stand-in to a certificate. The secret is one of NewSecret.
func NewStandIn(cert *x509.Certificate, secret []byte) *Identity {
	return &Identity{Certificate: cert, Key: &StandIn{[sha256.Size]byte(secret), cert.PublicKey}}
}

// Public implements crypto.Signer: it is the key of the certificate.
func (s *StandIn) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer. The result has the length of an RSA signature of the key.
func (s *StandIn) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	key, ok := s.public.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("only RSA signs trust files")
	}
	return standInSignature(s.secret[:], key, digest), nil
}

func standInSignature(secret []byte, key *rsa.PublicKey, digest []byte) (out []byte) {
	for block := byte(0); len(out) < key.Size(); block++ {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte{block})
		h.Write(x509.MarshalPKCS1PublicKey(key))
		h.Write(digest)
		out = h.Sum(out)
	}
	return out[:key.Size()]
}

// CheckStandIn checks the signature of a stand-in for a key.
func CheckStandIn(f *trustlist.File, key *rsa.PublicKey, secret []byte) error {
	digest := f.SignedSum()
	if digest == nil || len(secret) != sha256.Size || subtle.ConstantTimeCompare(standInSignature(secret, key, digest), f.Signature) != 1 {
		return &trustlist.FileError{Offset: f.SignatureOffset(), Err: trustlist.ErrSignature, Detail: errNoStandIn.Error()}
	}
	return nil
}

// block returns the form in which a stand-in is kept.
func (s *StandIn) block() *pem.Block { return &pem.Block{Type: standInType, Bytes: s.secret[:]} }

// readStandIn reads what block wrote, for a certificate.
func readStandIn(secret []byte, cert *x509.Certificate) (*StandIn, error) {
	if len(secret) != sha256.Size || cert == nil {
		return nil, errors.New("a stand-in for a key, damaged")
	}
	return &StandIn{[sha256.Size]byte(secret), cert.PublicKey}, nil
}
