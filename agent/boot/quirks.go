package boot

import (
	"strings"

	"itlagent/agent/trustlist"
)

// What the sources leave open about a phone's boot.

// listNames are the names by which a list is asked for, in order. The second is
// asked for where a server that is no CUCM has no list of the phone's own; it is
// seen for the ITL and taken to be alike for the CTL.
func listNames(prefix, device string) []string {
	return []string{prefix + device + ".tlv", prefix + "File.tlv"}
}

// modelInTVS is the model as a phone names itself to TVS. Traces show "CP-8861";
// known servers want four digits, so that the letters of "CP-7965G" are cut.
func modelInTVS(model string) string {
	return strings.TrimRight(model, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// invites reports whether a list's signer version invites phones to HTTPS.
func invites(v trustlist.Version) bool { return v.Major > 1 || v.Major == 1 && v.Minor >= 1 }
