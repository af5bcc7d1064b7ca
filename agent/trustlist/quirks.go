package trustlist

// What the sources do not state and had to be chosen. Each has a name, so that
// a finding on a real cluster or phone changes one line. The orders of header
// elements are in order.go, with what is inferred of them.
const (
	// MaxListSize is the largest ITL or CTL that is read, in bytes. Phones stop
	// loading lists at about 64 KiB (seen with more than 39 certificates in a
	// cluster); 65,535 also is the largest value of every 16-bit length inside.
	MaxListSize = 1<<16 - 1

	// MaxSignedSize is the largest .sgn or .enc.sgn that is read, in bytes. 78xx
	// and 88xx phones limit a download to 2,048 KB.
	MaxSignedSize = 2048 << 10

	// MaxSAST is how many SAST records a phone is documented to hold. A list
	// with more is read; the trust decision may warn or refuse.
	MaxSAST = 2

	// blankDNSName is what CUCM 10.0 puts into DNSNAME where the node has no
	// name of its own to give: two bytes, shown as nothing. That both are NUL is
	// a guess; only the length is known.
	blankDNSName = "\x00\x00"

	// nameSeparator stands between the parts of a written distinguished name.
	// CUCM writes ";", other tools ","; both are read.
	nameSeparator = ";"

	// headerAlign is the multiple, in bytes, up to which a header is padded.
	headerAlign = 4
)

// listFileName is the text of FILENAME in a list of the kind. Only its length,
// 12 with the NUL, is documented; real files of other makers carry this text. Lists
// of one device are read as well ("ITLSEP64A0E71502CC.tlv"): certutils writes the
// name of the file that it makes. The extended ITL of the 6971 port
// ("ext_ITLSEP....tlv") is not one of these, and is a wrong file for every kind.
func listFileName(k Kind) string {
	if k == CTL {
		return "CTLFile.tlv"
	}
	return "ITLFile.tlv"
}
