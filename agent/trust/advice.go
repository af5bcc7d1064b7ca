package trust

import (
	"slices"

	"itlagent/agent/trustlist"
)

// advice says what mends a rejection, for each reason.
var advice = [lastReason + 1]string{
	EmptyFile:         "look at the TFTP server and the network: the download failed",
	TooLarge:          "make the list smaller: phones read 65,535 bytes, some 39 certificates",
	Malformed:         "look at the TFTP server: what it serves is damaged",
	WrongFile:         "look at the TFTP server: it serves another file under this name",
	TooManySAST:       "serve a list with at most two SAST records",
	UnsupportedDigest: "sign with SHA-1 for this phone: TFTP File Signature Algorithm",
	WeakKey:           "use certificates with RSA keys of 1024 to 4096 bits",
	BadSignature:      "restart TFTP; if it stays, somebody else signs in the cluster's name",
	NotSigned:         "serve the configuration signed, or prepare the phone for a rollback",
	UnknownSigner:     "sign with a key that the phone's lists have, or delete its lists by hand",
	RoleMissing:       "sign with a certificate that has the role for it",
	TVSUnreachable:    "start TVS or open the way to it, and reset the phone",
	TVSUntrusted:      "sign with a key that the phone's lists have (utils itl reset), or bring the old TVS certificate back",
	TVSInvalid:        "let TVS know the signer: import its certificate into Phone-SAST-trust and restart TVS",
	TVSMismatch:       "look at the TVS server: it answers for another certificate",
	TVSBadAnswer:      "look at the TVS server: it does not speak the protocol",
	NotStored:         "look at the phone's flash",
	HeldDamaged:       "reset the phone to factory settings",
	NotFound:          "let the cluster know the phone, or look at the TFTP servers that it is given",
	DownloadFailed:    "start TFTP or open the way to it, and reset the phone",
	BadContent:        "mend the configuration on the cluster",
	OlderList:         "serve a newer list; an old one that is served on purpose needs the policy warn",
	NotForThisPhone:   "encrypt the configuration for this phone's certificate, or not at all",
}

// Advice says what mends a rejection for the reason, without a full stop; "" for
// Accepted. It is what to look at first, not a promise.
func (r Reason) Advice() string {
	if int(r) < len(advice) {
		return advice[r]
	}
	return ""
}

// Believes says whose signature the phone would believe now, a line each: the
// signers of lists and of files that its own lists have, and whether TVS is asked.
func (s *State) Believes() []string {
	var lines []string
	add := func(what string, may func(trustlist.Role) bool) {
		found := false
		for _, list := range []*trustlist.File{s.CTL, s.ITL} {
			if list == nil {
				continue
			}
			for i := range list.Records {
				r := &list.Records[i]
				if !may(r.Role()) || r.Empty() {
					continue
				}
				line := "believes " + what + " signed by " + trustlist.Printable(r.Subject()) + ", serial " + trustlist.FormatSerial(r.Serial())
				if found = true; !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
		if !found && what == "lists" && s.CTL == nil && (s.ITL == nil || Blank(s.ITL)) {
			lines = append(lines, "believes any list that its own SAST record verifies: it has none to go by")
		}
	}
	add("lists", trustlist.Role.SignsLists)
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
