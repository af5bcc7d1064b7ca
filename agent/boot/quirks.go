package boot

import (
	"strings"

	"itlagent/agent/trustlist"
)

// What the sources leave open about a phone's boot.

// asksForCTLFile has a phone ask for CTLFile.tlv where there is no CTL of its own. Four
// captures show CTLSEP, ITLSEP, ITLFile and the configuration, and none CTLFile: off.
const asksForCTLFile = false

// listNames are the names by which a list is asked for, in order. The second is asked
// for where the server has no list of the phone's own.
func listNames(kind trustlist.Kind, device string) []string {
	own := kind.String() + device + ".tlv"
	if kind == trustlist.CTL && !asksForCTLFile {
		return []string{own}
	}
	return []string{own, kind.String() + "File.tlv"}
}

// showsSignerToTVS has a phone ask CERT_VERIFICATION with the signer's certificate where
// a TVS hangs up at QUERY_CERT, and a list has that certificate. It would help with
// usecallmanager's tvsd; no real family is known to do it: off.
const showsSignerToTVS = false

// modelInTVS is the model as a phone names itself to TVS. Traces show "CP-8861";
// known servers want four digits, so that the letters of "CP-7965G" are cut.
func modelInTVS(model string) string {
	return strings.TrimRight(model, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// invites reports whether a list's signer version invites phones to HTTPS.
func invites(v trustlist.Version) bool { return v.Major > 1 || v.Major == 1 && v.Minor >= 1 }
