package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
)

// CSR is a certificate signing request (RFC 2986) with the key that it is about. It is
// immutable and safe for concurrent use.
type CSR struct {
	Request *x509.CertificateRequest
	Key     crypto.Signer
}

// requestType is what a request is called in PEM (RFC 7468, section 7).
const requestType = "CERTIFICATE REQUEST"

// NewCSR makes a key and requests a certificate for it, with the subject, the hosts and
// the purposes of the description.
func NewCSR(req Request) (*CSR, error) {
	key, err := req.key()
	if err != nil {
		return nil, err
	}
	return newCSR(req, key)
}

// NewCSR is the function NewCSR with a key of the stock, as New has it.
func (k *Keys) NewCSR(req Request, number int) (*CSR, error) {
	key, err := k.take(req, number)
	if err != nil {
		return nil, err
	}
	return newCSR(req, key)
}

func newCSR(req Request, key crypto.Signer) (*CSR, error) {
	subject, err := req.Subject.der()
	if err != nil {
		return nil, err
	}
	may, err := keyUsage(usageOwn)
	if err != nil {
		return nil, err
	}
	purposes, err := extUsage(req.Usage)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject: subject, DNSNames: req.Hosts, ExtraExtensions: []pkix.Extension{may, purposes}}, key)
	if err != nil {
		return nil, fmt.Errorf("request a certificate for %s: %w", req.Subject.CN, err)
	}
	request, err := x509.ParseCertificateRequest(der)
	return &CSR{request, key}, err
}

// PEM returns the request without its key.
func (c *CSR) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: c.Request.Raw})
}

// Fits reports whether a certificate has the key of the request.
func (c *CSR) Fits(cert *x509.Certificate) bool {
	return (&Identity{Certificate: cert, Key: c.Key}).Fits() == nil
}

// MarshalText returns the request and its key in PEM form: a CSR in JSON is that text.
func (c *CSR) MarshalText() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	return append(c.PEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}

// UnmarshalText reads what MarshalText wrote.
func (c *CSR) UnmarshalText(text []byte) error {
	request, err := ParseCSR(text)
	if err != nil {
		return err
	}
	_, rest := pem.Decode(text)
	block, _ := pem.Decode(rest)
	if block == nil {
		return errors.New("no key behind the request")
	}
	key, err := privateKey(block.Bytes)
	if err != nil {
		return err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(request.PublicKey) {
		return errors.New("the private key does not fit the request")
	}
	*c = CSR{request, key}
	return nil
}

// ParseCSR reads a request in PEM form of at most MaxDER bytes, which must be signed with
// its own key.
func ParseCSR(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != requestType && block.Type != "NEW "+requestType {
		return nil, errors.New("no CERTIFICATE REQUEST block in PEM form")
	}
	if len(block.Bytes) > MaxDER {
		return nil, fmt.Errorf("certificate request of %d bytes: at most %d", len(block.Bytes), MaxDER)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return request, nil
}
