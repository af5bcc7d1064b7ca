package twin

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence/recogniser"
)

// known are certificates by the SHA-1 of the real one, lower-case hex.
type known struct {
	certs map[string]*x509.Certificate
	made  map[string]bool // those that stand for one of which only names are known
	key   *ecdsa.PrivateKey
}

func newKnown() (*known, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &known{certs: make(map[string]*x509.Certificate), made: make(map[string]bool), key: key}, err
}

func sumOf(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

func (k *known) add(cert *x509.Certificate) { k.certs[sumOf(cert.Raw)] = cert }

// learn adds the certificates of items.
func (k *known) learn(items []*recogniser.Item) {
	for _, it := range items {
		for _, cert := range it.Certificates {
			k.add(cert)
		}
		if it.File == nil {
			continue
		}
		for i := range it.File.Records {
			if cert, err := it.File.Records[i].X509(); err == nil {
				k.add(cert)
			}
		}
	}
}

// real reports whether a certificate is one that was seen.
func (k *known) real(cert *x509.Certificate) bool { return !k.made[string(cert.Raw)] }

// identity is what a record says of a certificate.
type identity struct {
	subject, issuer string
	serial          []byte
	keyLength       int    // of PUBLICKEY, in bytes
	key             []byte // PUBLICKEY, where it is known
	hash            string
}

// find returns the certificate of a record, or makes one with what is known of it.
func (k *known) find(id identity) (*x509.Certificate, error) {
	name := id.hash
	if name == "" {
		name = fmt.Sprintf("%x %s", id.serial, strings.ToLower(id.issuer))
	}
	if cert := k.certs[name]; cert != nil {
		return cert, nil
	}
	for _, cert := range k.certs {
		if id.hash == "" && trustlist.SameSerial(cert.SerialNumber.Bytes(), id.serial) && trustlist.SameName([]byte(trustlist.FormatName(cert.Issuer)), []byte(id.issuer)) {
			return cert, nil
		}
	}
	cert, err := k.make(id)
	if err == nil {
		k.certs[name], k.certs[sumOf(cert.Raw)], k.made[string(cert.Raw)] = cert, cert, true
	}
	return cert, err
}

// rsaBits are the RSA key sizes by the length of a PKCS#1 public key in DER.
var rsaBits = map[int]int{140: 1024, 270: 2048, 526: 4096}

// make makes a certificate with the names and the serial number of another, and a public key of
// the same size that nobody has the private key of.
func (k *known) make(id identity) (*x509.Certificate, error) {
	subject, issuer := nameOf(id.subject), nameOf(id.issuer)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(id.serial), Subject: subject, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2105, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if template.SerialNumber.Sign() == 0 {
		template.SerialNumber = big.NewInt(1)
	}
	parent := &x509.Certificate{Subject: issuer}
	var public crypto.PublicKey = &k.key.PublicKey
	if bits, ok := rsaBits[id.keyLength]; ok || id.keyLength == 0 {
		if bits == 0 {
			bits = 2048
		}
		modulus := make([]byte, bits/8)
		rand.Read(modulus)
		modulus[0] |= 0x80
		modulus[len(modulus)-1] |= 1
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	}
	if own, err := x509.ParsePKCS1PublicKey(id.key); err == nil && own.N.BitLen() >= trustlist.MinKeyBits {
		public = own // the real one
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, k.key)
	if err != nil {
		return nil, fmt.Errorf("a certificate in the place of %.100s: %w", id.subject, err)
	}
	return x509.ParseCertificate(der)
}

// nameOf reads a name as lists have it.
func nameOf(text string) (n pkix.Name) {
	separator := ";"
	if !strings.Contains(text, separator) {
		separator = ","
	}
	for part := range strings.SplitSeq(text, separator) {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.Trim(value, `" `)
		if value == "" {
			continue
		}
		switch strings.ToUpper(key) {
		case "CN":
			n.CommonName = value
		case "OU":
			n.OrganizationalUnit = append(n.OrganizationalUnit, value)
		case "O":
			n.Organization = append(n.Organization, value)
		case "L":
			n.Locality = append(n.Locality, value)
		case "ST":
			n.Province = append(n.Province, value)
		case "C":
			n.Country = append(n.Country, value)
		}
	}
	return n
}
