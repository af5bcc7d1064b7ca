package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
)

// MaxChain bounds the certificates above another one.
const MaxChain = 8

// MaxDER bounds a certificate or request from outside whose signature is checked, in
// bytes: the time that takes grows with the square of the size of a key.
const MaxDER = 16 << 10

// ErrNoCA says that a certificate is not that of a CA.
var ErrNoCA = errors.New("it is not the certificate of a CA")

// ErrNoIssuer says that the certificate of a CA is missing from a chain.
var ErrNoIssuer = errors.New("the certificate of its issuer is missing")

// Issue has a CA sign a certificate for what a request (RFC 2986) asks for: its subject,
// its key, its DNS names and its purposes. What would make a CA of it is not copied,
// whatever the request says. 0 years are 5. Who is no CA gives ErrNoCA.
func (id *Identity) Issue(csr *x509.CertificateRequest, from time.Time, years int) (*x509.Certificate, error) {
	if !id.isCA() {
		return nil, ErrNoCA
	}
	template := &x509.Certificate{RawSubject: csr.RawSubject}
	date(template, from, years)
	for _, ext := range csr.Extensions {
		switch {
		case ext.Id.Equal(oidAltNames), ext.Id.Equal(oidExtUsage):
			template.ExtraExtensions = append(template.ExtraExtensions, ext)
		case ext.Id.Equal(oidKeyUsage):
			own, err := ownUsage(ext)
			if err != nil {
				return nil, err
			}
			template.ExtraExtensions = append(template.ExtraExtensions, own)
		}
	}
	keyID, err := keyID(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, keyID)
	return id.sign(template, csr.PublicKey)
}

// ownUsage takes out of key usages what only a CA may have.
func ownUsage(ext pkix.Extension) (pkix.Extension, error) {
	var wanted asn1.BitString
	if rest, err := asn1.Unmarshal(ext.Value, &wanted); err != nil || len(rest) > 0 || len(wanted.Bytes) == 0 {
		return ext, errors.New("the request's key usage is malformed")
	}
	bits := wanted.Bytes[0] &^ (usageSign | usageSignCRL)
	if bits == 0 {
		bits = usageOwn
	}
	return keyUsage(bits)
}

// sign signs a certificate for a key.
func (id *Identity) sign(template *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	if !id.isCA() {
		return nil, ErrNoCA
	}
	der, err := x509.CreateCertificate(rand.Reader, template, id.Certificate, key, id.Key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// isCA reports whether the identity can sign certificates.
func (id *Identity) isCA() bool {
	c := id.Certificate
	return id.Key != nil && c.BasicConstraintsValid && c.IsCA && c.KeyUsage&x509.KeyUsageCertSign != 0
}

// withChain returns the certificate and those above it.
func (id *Identity) withChain() []*x509.Certificate {
	return append([]*x509.Certificate{id.Certificate}, id.Chain...)
}

// extend adds a certificate to the chain where it is the next one.
func (id *Identity) extend(der []byte) {
	chain := id.withChain()
	last := chain[len(chain)-1]
	if len(der) > MaxDER || len(id.Chain) == MaxChain {
		return
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil && !cert.Equal(last) && last.CheckSignatureFrom(cert) == nil {
		id.Chain = append(id.Chain, cert)
	}
}

// Chain finds the certificates above another one: its issuer first, a self-signed one
// last. Where one of them is not among those given, the error is ErrNoIssuer with its
// name.
func Chain(cert *x509.Certificate, among []*x509.Certificate) (chain []*x509.Certificate, err error) {
	for last := cert; string(last.RawIssuer) != string(last.RawSubject); last = chain[len(chain)-1] {
		i := slices.IndexFunc(among, func(c *x509.Certificate) bool { return last.CheckSignatureFrom(c) == nil })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoIssuer, printable.Text(trustlist.FormatName(last.Issuer)))
		}
		if chain = append(chain, among[i]); len(chain) > MaxChain {
			return nil, fmt.Errorf("more than %d certificates above it", MaxChain)
		}
	}
	return chain, nil
}
