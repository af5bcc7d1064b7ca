package trust

import (
	"slices"

	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
)

// advice says what fixes a rejection, for each reason.
var advice = [lastReason + 1]string{
	EmptyFile:         "look at the TFTP server and the network: the download failed",
	TooLarge:          "make the list smaller: phones read 65,535 bytes, about 39 certificates",
	Malformed:         "look at the TFTP server: what it serves is damaged",
	WrongFile:         "look at the TFTP server: it serves another file under this name; where a site renames files, allow it",
	TooManySAST:       "serve a list with at most two SAST records",
	UnsupportedDigest: "sign with SHA-1 for this phone: TFTP File Signature Algorithm",
	WeakKey:           "use certificates with RSA keys of 1024 to 4096 bits",
	BadSignature:      "restart TFTP; if it stays, somebody else signs in the cluster's name",
	NotSigned:         "serve the configuration signed, or prepare the phone for a rollback",
	UnknownSigner:     "sign with a key that the phone's lists have, or delete its lists by hand",
	RoleMissing:       "sign with a certificate that has the role for it",
	TVSUnreachable:    "start TVS or open the network path to it, and reset the phone",
	TVSUntrusted:      "sign with a key that the phone's lists have (utils itl reset), or bring the old TVS certificate back",
	TVSHungUp:         "look at the TVS server: it may know CERT_VERIFICATION alone; sign with a key that the phone's lists have",
	TVSInvalid:        "let TVS know the signer: import its certificate into Phone-SAST-trust and restart TVS",
	TVSMismatch:       "look at the TVS server: it answers for another certificate",
	TVSBadAnswer:      "look at the TVS server: it does not speak the protocol",
	NotStored:         "look at the phone's flash",
	HeldDamaged:       "reset the phone to factory settings",
	NotFound:          "let the cluster know the phone, or look at the TFTP servers that it is given",
	DownloadFailed:    "start TFTP or open the network path to it, and reset the phone",
	BadContent:        "fix the configuration on the cluster",
	OlderList:         "serve a newer list; the policy warn accepts an old one on purpose, but no blank one: make that again",
	ServerNotListed:   "put the TFTP server into the CTL (utils ctl update CTLFile) and restart TFTP, or delete its lists by hand",
	NotForThisPhone:   "encrypt the configuration for this phone's certificate, or not at all",
}

// Advice says what fixes a rejection for the reason, without a full stop; "" for
// Accepted. It is what to look at first, not a promise.
func (r Reason) Advice() string {
	if int(r) < len(advice) {
		return advice[r]
	}
	return ""
}

// Trusts says whose signature the phone would trust now, a line each: the signers
// of lists and of files that its own lists have, and whether TVS is asked.
func (s *State) Trusts() []string {
	var lines []string
	add := func(what string, may func(trustlist.Role) bool) {
		for _, list := range []*trustlist.File{s.CTL, s.ITL} {
			if list == nil {
				continue
			}
			for i := range list.Records {
				r := &list.Records[i]
				if !may(r.Role()) || r.Empty() {
					continue
				}
				line := "trusts " + what + " signed by " + printable.Bytes(r.Subject()) + ", serial " + trustlist.FormatSerial(r.Serial())
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
	}
	add("lists", trustlist.Role.SignsLists)
	if s.FirstUse() {
		lines = append(lines, "trusts any list that its own SAST record verifies: it has none to go by")
	}
	add("files", trustlist.Role.SignsFiles)
	switch {
	case s.HasTVS():
		lines = append(lines, "asks TVS about other signers")
	case s.Servers > 0:
		lines = append(lines, "asks no TVS: its ITL has no TVS certificate")
	default:
		lines = append(lines, "asks no TVS: its configuration names none")
	}
	return lines
}
