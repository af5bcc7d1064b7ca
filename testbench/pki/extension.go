package pki

import (
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	mathbits "math/bits"
)

// der encodes the name in the order of CUCM's certificates, C, O, OU, CN, ST, L, each
// as a PrintableString where its characters allow, else UTF-8.
func (n Name) der() ([]byte, error) {
	var rdns pkix.RDNSequence
	for _, part := range []struct {
		id    int
		value string
	}{{6, n.C}, {10, n.O}, {11, n.OU}, {3, n.CN}, {8, n.ST}, {7, n.L}} {
		if part.value != "" {
			rdns = append(rdns, pkix.RelativeDistinguishedNameSET{
				{Type: asn1.ObjectIdentifier{2, 5, 4, part.id}, Value: part.value}})
		}
	}
	return asn1.Marshal(rdns)
}

// The extensions of RFC 5280, section 4.2.1, that are written here.
var (
	oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidKeyID    = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidAltNames = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// Key usages, as the bits of the first byte of their BIT STRING.
const (
	usageOwn     = 0xb8 // digitalSignature, keyEncipherment, dataEncipherment, keyAgreement
	usageSign    = 0x04 // keyCertSign
	usageSignCRL = 0x02 // cRLSign
)

// extensions returns keyUsage (not critical), extKeyUsage and
// subjectKeyIdentifier in the order and form that give CUCM's lengths.
func extensions(usage Usage, pub crypto.PublicKey) ([]pkix.Extension, error) {
	id, err := keyID(pub)
	if err != nil {
		return nil, err
	}
	if usage == Authority {
		may, err := keyUsage(usageSign | usageSignCRL)
		return []pkix.Extension{may, id}, err
	}
	may, err := keyUsage(usageOwn | usageSign)
	if err != nil {
		return nil, err
	}
	purposes, err := extUsage(usage)
	return []pkix.Extension{may, purposes, id}, err
}

// keyUsage encodes key usages: DER leaves trailing zero bits of such a list out.
func keyUsage(bits byte) (pkix.Extension, error) {
	der, err := asn1.Marshal(asn1.BitString{Bytes: []byte{bits}, BitLength: 8 - mathbits.TrailingZeros8(bits)})
	return pkix.Extension{Id: oidKeyUsage, Value: der}, err
}

func extUsage(usage Usage) (pkix.Extension, error) {
	purpose := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, n} }
	purposes := []asn1.ObjectIdentifier{purpose(1), purpose(2)} // serverAuth, clientAuth
	if usage == Service {
		purposes = append(purposes, purpose(5)) // ipsecEndSystem
	}
	der, err := asn1.Marshal(purposes)
	return pkix.Extension{Id: oidExtUsage, Value: der}, err
}

// keyID is the SHA-1 of the public key.
func keyID(pub crypto.PublicKey) (ext pkix.Extension, err error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ext, err
	}
	sum := sha1.Sum(spki)
	der, err := asn1.Marshal(sum[:])
	return pkix.Extension{Id: oidKeyID, Value: der}, err
}
