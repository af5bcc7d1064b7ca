// Package pki makes the certificates and keys of a test cluster: self-signed RSA
// identities with the names, sizes and extensions of CUCM's own, so that trust
// lists made from them have CUCM's lengths to the byte; and a CA that signs what a
// cluster requests.
//
//	id, err := pki.New(pki.Request{Subject: pki.Name{CN: "pub.example.com"}, Bits: 1024})
//	err = id.WriteFile("callmanager.pem")
//
//	ca, err := pki.New(pki.Request{Subject: pki.Name{CN: "Example CA"}, Bits: 2048, Usage: pki.Authority})
//	csr, err := pki.NewCSR(pki.Request{Subject: pki.Name{CN: "pub.example.com"}, Bits: 2048})
//	cert, err := ca.Issue(csr.Request, from, 5)
//
// Keys are made at run time and never leave the process unless they are written,
// with mode 0600. An Identity is immutable and safe for concurrent use. The
// layout of the certificates follows the lengths in a listing of `show itl`.
package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"

	"itlagent/agent/trustlist"
)

// Name is a subject with CUCM's six parts. Empty parts are left out.
type Name struct{ CN, OU, O, L, ST, C string }

// Usage selects the extended key usages of a certificate.
type Usage uint8

// The usages. CUCM's service certificates have three purposes; those of CAPF and of ITL
// recovery two, by their lengths in listings.
const (
	Service   Usage = iota // serverAuth, clientAuth, ipsecEndSystem
	Recovery               // serverAuth, clientAuth
	Authority              // a CA: signs certificates, and has no purposes
	CAPF      = Recovery
)

// Request describes a certificate to be made.
type Request struct {
	Subject Name
	Bits    int // RSA modulus, at least 1024; 0 with EC
	EC      bool
	Usage   Usage
	From    time.Time
	Years   int       // validity; 5 where 0
	Hosts   []string  // DNS names beside the subject
	Signer  *Identity // the CA that signs it; nil: itself
}

// Identity is a certificate with its private key and, where a CA signed it, the
// certificates above it.
type Identity struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
	Chain       []*x509.Certificate // the issuer first, a self-signed one last; nil where it is self-signed
}

// SerialBytes is the length of a serial number. Its first bit is clear and its
// first byte is not zero, so that DER takes as many bytes.
const SerialBytes = 16

// New makes a key and a self-signed certificate.
func New(req Request) (*Identity, error) {
	key, err := req.key()
	if err != nil {
		return nil, err
	}
	return newWith(req, key)
}

func (req *Request) key() (key crypto.Signer, err error) {
	if req.EC {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, req.Bits)
	}
	if err != nil {
		return nil, fmt.Errorf("make key for %s: %w", req.Subject.CN, err)
	}
	return key, nil
}

// Keys is a stock of keys for certificates that nobody will ever trust in earnest:
// trying out many courses of events, each of which makes certificates, would take
// seconds a course otherwise. The zero value is ready, and safe for concurrent use.
type Keys struct {
	mu    sync.Mutex
	stock map[[2]int]crypto.Signer // by size (0: EC) and number
}

// New is the function New with a key of the stock. Equal numbers give equal keys for
// one size; each certificate has a serial number of its own.
func (k *Keys) New(req Request, number int) (*Identity, error) {
	key, err := k.take(req, number)
	if err != nil {
		return nil, err
	}
	return newWith(req, key)
}

// take returns the key of a number, which is made where it is not there yet.
func (k *Keys) take(req Request, number int) (crypto.Signer, error) {
	at := [2]int{req.Bits, number}
	if req.EC {
		at[0] = 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.stock[at]
	if key == nil {
		var err error
		if key, err = req.key(); err != nil {
			return nil, err
		}
		if k.stock == nil {
			k.stock = make(map[[2]int]crypto.Signer)
		}
		k.stock[at] = key
	}
	return key, nil
}

func newWith(req Request, key crypto.Signer) (*Identity, error) {
	subject, err := req.Subject.der()
	if err != nil {
		return nil, err
	}
	ext, err := extensions(req.Usage, key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{RawSubject: subject, ExtraExtensions: ext, DNSNames: req.Hosts}
	if req.Usage == Authority {
		template.IsCA, template.BasicConstraintsValid = true, true
	}
	date(template, req.From, req.Years)
	if req.Signer == nil {
		return create(template, key)
	}
	cert, err := req.Signer.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	return &Identity{Certificate: cert, Key: key, Chain: req.Signer.withChain()}, nil
}

// date gives a certificate its validity and a new serial number.
func date(template *x509.Certificate, from time.Time, years int) {
	if years == 0 {
		years = 5
	}
	serial := make([]byte, SerialBytes)
	rand.Read(serial) // it never fails
	serial[0] = serial[0]&0x3f | 0x40
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.NotBefore = from.UTC().Truncate(time.Second)
	template.NotAfter = template.NotBefore.AddDate(years, 0, 0)
}

// Lookalike makes a certificate with the subject, issuer and serial number of
// another but a key of its own: what a forger would present.
func Lookalike(of *Identity, bits int) (*Identity, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	c := of.Certificate
	return create(&x509.Certificate{
		RawSubject: c.RawSubject, SerialNumber: c.SerialNumber, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		ExtraExtensions: c.Extensions,
	}, key)
}

func create(template *x509.Certificate, key crypto.Signer) (*Identity, error) {
	template.SignatureAlgorithm = x509.SHA256WithRSA
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		template.SignatureAlgorithm = x509.ECDSAWithSHA256
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back certificate: %w", err)
	}
	return &Identity{Certificate: cert, Key: key}, nil
}

// SigningKey returns the identity as a signer of trust files.
func (id *Identity) SigningKey() trustlist.SigningKey {
	return trustlist.SigningKey{Certificate: id.Certificate, Key: id.Key}
}

// TLS returns the identity as a TLS certificate, with its chain behind it.
func (id *Identity) TLS() tls.Certificate {
	out := tls.Certificate{PrivateKey: id.Key, Leaf: id.Certificate}
	for _, cert := range id.withChain() {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out
}

// PEM returns the certificate, its chain and, with key, the PKCS#8 private key behind them.
func (id *Identity) PEM(key bool) ([]byte, error) {
	var out []byte
	for _, cert := range id.withChain() {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	if s, ok := id.Key.(*StandIn); ok && key {
		return append(out, pem.EncodeToMemory(s.block())...), nil
	}
	if key {
		der, err := x509.MarshalPKCS8PrivateKey(id.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return out, nil
}

// PhonePEM returns the certificate and its RSA key in the form that phones keep:
// PKCS #1.
func (id *Identity) PhonePEM() ([]byte, error) {
	key, ok := id.Key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a phone's key is RSA, not %T", id.Key)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Certificate.Raw})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})...), nil
}

// Bits returns the size of an identity's RSA modulus, 0 for other keys.
func Bits(id *Identity) int {
	if key, ok := id.Certificate.PublicKey.(*rsa.PublicKey); ok {
		return key.N.BitLen()
	}
	return 0
}

// Fits reports a private key that does not belong to the certificate.
func (id *Identity) Fits() error {
	public, ok := id.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(id.Certificate.PublicKey) {
		return errors.New("the private key does not fit the certificate")
	}
	return nil
}

// MarshalText returns PEM with the key: an Identity in JSON is that text.
func (id *Identity) MarshalText() ([]byte, error) { return id.PEM(id.Key != nil) }

// UnmarshalText reads what MarshalText wrote.
func (id *Identity) UnmarshalText(text []byte) error {
	read, err := Load(text)
	if err != nil {
		return err
	}
	*id = *read
	return nil
}

// WriteFile writes certificate and key as PEM, mode 0600.
func (id *Identity) WriteFile(path string) error {
	b, err := id.PEM(true)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// Load reads what PEM wrote: the first certificate, the certificates behind it that
// are its chain, and the first private key (PKCS#8, PKCS#1 or SEC 1). The key may be
// missing; Key then is nil. Other certificates are left out.
func Load(data []byte) (*Identity, error) {
	id := new(Identity)
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch {
		case block.Type == "CERTIFICATE" && id.Certificate == nil:
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate: %w", err)
			}
			id.Certificate = cert
		case block.Type == "CERTIFICATE":
			id.extend(block.Bytes)
		case bytes.HasSuffix([]byte(block.Type), []byte("PRIVATE KEY")) && id.Key == nil:
			key, err := privateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			id.Key = key
		case block.Type == standInType && id.Key == nil:
			key, err := readStandIn(block.Bytes, id.Certificate)
			if err != nil {
				return nil, err
			}
			id.Key = key
		}
	}
	if id.Certificate == nil {
		return nil, errors.New("no CERTIFICATE block in PEM form")
	}
	return id, nil
}

func privateKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key %T cannot sign", k)
	}
	return signer, nil
}
