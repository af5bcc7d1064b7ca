package trustlist

import (
	"crypto"
	_ "crypto/sha1"   // registers SHA-1 with package crypto
	_ "crypto/sha256" // registers SHA-256
	_ "crypto/sha512" // registers SHA-512
	"fmt"
)

// Kind tells the four file kinds apart.
type Kind uint8

// The kinds. The zero Kind is none of them.
const (
	ITL Kind = iota + 1 // identity trust list
	CTL                 // certificate trust list
	SGN                 // signed file
	ENC                 // encrypted and signed file
)

// String returns "ITL", "CTL", "SGN" or "ENC".
func (k Kind) String() string {
	switch k {
	case ITL:
		return "ITL"
	case CTL:
		return "CTL"
	case SGN:
		return "SGN"
	case ENC:
		return "ENC"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// article returns the kind with its article, for error texts.
func (k Kind) article() string {
	switch k {
	case ITL:
		return "an ITL"
	case CTL:
		return "a CTL"
	case SGN:
		return "a signed file"
	case ENC:
		return "an encrypted file"
	}
	return k.String()
}

// IsList reports whether files of the kind hold records.
func (k Kind) IsList() bool { return k == ITL || k == CTL }

// SizeLimit returns the largest file of the kind that Parse reads, in bytes.
func (k Kind) SizeLimit() int {
	if k.IsList() {
		return MaxListSize
	}
	return MaxSignedSize
}

// Role is the FUNCTION of a record: what its certificate may do.
type Role uint16

// The roles that CUCM writes.
const (
	SAST      Role = 0  // signs trust lists
	CCM       Role = 1  // call control over TLS
	CCMTFTP   Role = 2  // CCM and TFTP
	TFTP      Role = 3  // signs configuration and other files
	CAPF      Role = 4  // issues locally significant certificates
	AppServer Role = 7  // serves HTTPS pages
	TVS       Role = 21 // answers trust verification requests
)

var roleNames = map[Role]string{
	SAST: "System Administrator Security Token", CCM: "CCM", CCMTFTP: "CCM+TFTP",
	TFTP: "TFTP", CAPF: "CAPF", AppServer: "APP-SERVER", TVS: "TVS",
}

// String returns the role in the words of `show itl`, or its number.
func (r Role) String() string {
	if s, ok := roleNames[r]; ok {
		return s
	}
	return fmt.Sprintf("%d", uint16(r))
}

// SignsLists reports whether a certificate with the role may sign an ITL or a
// CTL. SAST is the documented role; CCM+TFTP may too, as on deployed phones with
// lists of other makers.
func (r Role) SignsLists() bool { return r == SAST || r == CCMTFTP }

// SignsFiles reports whether a certificate with the role may sign a .sgn or
// .enc.sgn file.
func (r Role) SignsFiles() bool { return r == TFTP || r == CCMTFTP }

// Digest is the DIGESTALGORTITHM of a header.
type Digest uint8

// The digests with a known number.
const (
	SHA1   Digest = 1
	SHA256 Digest = 2
	SHA512 Digest = 3
)

// Hash returns the digest's hash function, or 0 for an unknown number.
func (d Digest) Hash() crypto.Hash {
	switch d {
	case SHA1:
		return crypto.SHA1
	case SHA256:
		return crypto.SHA256
	case SHA512:
		return crypto.SHA512
	}
	return 0
}

// String returns "SHA-1", "SHA-256", "SHA-512", or "unknown" with the number.
func (d Digest) String() string {
	switch d {
	case SHA1:
		return "SHA-1"
	case SHA256:
		return "SHA-256"
	case SHA512:
		return "SHA-512"
	}
	return fmt.Sprintf("unknown (%d)", uint8(d))
}

// Version is a two-part version number of a header.
type Version struct{ Major, Minor uint8 }

// String returns the version as in "1.2".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }
