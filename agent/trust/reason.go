package trust

// Reason says why a file was accepted or rejected. Its String is stable.
type Reason uint8

// The reasons. Each of them but Accepted rejects.
const (
	Accepted          Reason = iota
	EmptyFile                // a 0-byte file: a failed download
	TooLarge                 // over the size limit of its kind
	Malformed                // cannot be read
	WrongFile                // another file, or another kind of file, than the one asked for
	TooManySAST              // more SAST records than the policy allows
	UnsupportedDigest        // signed in a way that this phone does not know
	WeakKey                  // the signer's RSA key is too small or too large
	BadSignature             // a trusted signer is named, the signature is not its
	NotSigned                // not signed, and the phone knows a TFTP certificate
	UnknownSigner            // neither a held list nor a TVS can vouch
	RoleMissing              // the signer is known, but not for this
	TVSUnreachable           // no TVS answered
	TVSUntrusted             // TVS presented a certificate that the phone's ITL lacks
	TVSInvalid               // TVS does not vouch for the signer
	TVSMismatch              // TVS answered for another certificate
	TVSBadAnswer             // TVS broke the protocol
	NotStored                // trusted, but storage failed: internal failure
	HeldDamaged              // what the phone holds cannot be read: internal failure
	NotFound                 // the server has no such file
	DownloadFailed           // no server delivered the file
	BadContent               // authentic, but the content cannot be used
	NotForThisPhone          // authentic, but encrypted for another key
	OlderList                // vouched for, but older than one that was in force
	TVSHungUp                // the TVS was reached, and closed the connection without an answer
	ServerNotListed          // authentic, but from a server whose address the CTL does not have
	lastReason        = ServerNotListed
)

var reasons = [lastReason + 1]struct{ word, text string }{
	Accepted:          {"accepted", "the signer is trusted and the signature verifies"},
	EmptyFile:         {"empty-file", "the file is empty"},
	TooLarge:          {"too-large", "the file is larger than a phone reads"},
	Malformed:         {"malformed", "the file cannot be read"},
	WrongFile:         {"wrong-file", "the file is another one, or of another kind, than the one asked for"},
	TooManySAST:       {"too-many-sast", "the list has more SAST records than allowed"},
	UnsupportedDigest: {"unsupported-digest", "the file is signed in a way that this phone does not know"},
	WeakKey:           {"weak-key", "the signer's RSA key is outside 1024 to 4096 bits"},
	BadSignature:      {"bad-signature", "the signature does not verify with the named signer's key"},
	NotSigned:         {"unsigned", "the file is not signed and the phone holds a TFTP certificate"},
	UnknownSigner:     {"unknown-signer", "the signer is in no list that the phone holds, and no TVS can be asked"},
	RoleMissing:       {"role-missing", "the signer is known, but its role does not allow it to sign this"},
	TVSUnreachable:    {"tvs-unreachable", "the signer is in no list that the phone holds, and no TVS answered"},
	TVSUntrusted:      {"tvs-untrusted", "the signer is in no list that the phone holds, and the TVS certificate is not in its ITL"},
	TVSInvalid:        {"tvs-invalid", "the signer is in no list that the phone holds, and TVS does not vouch for it"},
	TVSMismatch:       {"tvs-mismatch", "TVS answered with another certificate than the one asked for"},
	TVSHungUp:         {"tvs-hung-up", "the signer is in no list that the phone holds, and TVS closed the connection without an answer"},
	TVSBadAnswer:      {"tvs-bad-answer", "TVS gave an answer that cannot be used"},
	NotStored:         {"not-stored", "internal failure: the file is trusted but could not be stored"},
	HeldDamaged:       {"held-damaged", "internal failure: what the phone has stored cannot be read"},
	NotFound:          {"not-found", "the server has no such file"},
	DownloadFailed:    {"download-failed", "no server delivered the file"},
	BadContent:        {"bad-content", "the file is authentic but its content cannot be used"},
	OlderList:         {"older-list", "the list is authentic but older than one that was in force"},
	ServerNotListed:   {"server-not-listed", "the phone holds a CTL, and the TFTP server's address is not in it"},
	NotForThisPhone:   {"not-for-this-phone", "the file is authentic but encrypted for another key than this phone's"},
}

// Reasons returns every reason, Accepted first.
func Reasons() []Reason {
	all := make([]Reason, len(reasons))
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// String returns the stable word, such as "unknown-signer".
func (r Reason) String() string { return r.entry().word }

// Text returns a sentence for people, without a full stop.
func (r Reason) Text() string { return r.entry().text }

func (r Reason) entry() struct{ word, text string } {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return struct{ word, text string }{"unknown-reason", "unknown reason"}
}

// Via says who vouched for an accepted file.
type Via uint8

// The ways in which a file can be vouched for.
const (
	ViaNone     Via = iota // nobody: rejected, or an unsigned file where none is needed
	ViaFirstUse            // nobody, on first use
	ViaITL                 // a record of the held ITL
	ViaCTL                 // a record of the held CTL
	ViaTVS                 // a Trust Verification Service
	ViaCert                // a certificate that the caller trusts
)

// String returns "itl", "ctl", "tvs", "first-use", "cert", or "" for nobody.
func (v Via) String() string {
	return [...]string{"", "first-use", "itl", "ctl", "tvs", "cert"}[v]
}
