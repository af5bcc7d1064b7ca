package trust

import (
	"crypto/rsa"

	"itlagent/agent/trustlist"
)

// What the sources leave open about the trust decision.

// Policy holds what differs between phones or is not documented. Its zero value is
// the default: the safe choice where the behaviour of real phones is not known, and
// theirs where it is.
type Policy struct {
	// MaxSAST rejects lists with more SAST records. 0 only warns, above the
	// documented limit of 2.
	MaxSAST int
	// NoSHA512 models a phone that knows SHA-1 and SHA-256 alone.
	NoSHA512 bool
	// AllowRenamed accepts a file whose FILENAME is not the name that the phone asked
	// for, with a warning. It is for sites that copy or rename signed files. Off, such
	// a file is a wrong-file: another phone's configuration is signed by the same key
	// as the phone's own. What real phones do is not documented, and what CUCM writes
	// into a signed file's FILENAME neither; certutils writes the name that is asked
	// for, its older releases without ".sgn", and both are the right name here.
	AllowRenamed bool
	// RefuseOlder rejects a list that is older than the one of its kind in force: a
	// replay. Off, such a list is accepted with a warning, as by real phones, which
	// know no protection against that; restoring an old list depends on it. A list
	// that would open the phone is refused when it is older, whatever this says: see
	// Decide.
	RefuseOlder bool
	// AnyServer takes a configuration from a TFTP server whose address is not in the CTL
	// that the phone holds. The guides say that a phone reports an authorization failure
	// then; that it refuses the file, and keeps the old one, is inferred. They speak of
	// addresses: a server that is given by name is not compared.
	AnyServer bool
	// Verify, where it is not nil, checks a signature that does not verify once more. It is for
	// benches alone, whose copies of real clusters sign with stand-ins for keys that they lack.
	Verify func(f *trustlist.File, key *rsa.PublicKey) error
}

// applicationRole reports whether a record with the role may be that of a server
// of pages. APP-SERVER is documented; that the cluster's own nodes are trusted
// for any service is inferred from phones that reach the node's own directory
// with nothing but CallManager records in their lists.
func applicationRole(r trustlist.Role) bool {
	return r == trustlist.AppServer || r == trustlist.CCM || r == trustlist.CCMTFTP || r == trustlist.TFTP
}
