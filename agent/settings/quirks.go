package settings

// What the sources leave open about configurations. Each is a constant or a table
// to change here.

// containers are where a setting of the vendor's group may stand, the one that
// counts first in front. The order is that of a comment by a third party, the only
// one found.
var containers = []string{"vendorconfig", "commonconfig", "enterpriseconfig"}

// maxAddress is how many characters the name of a TVS or a call manager may have:
// 50 by usecallmanager's documentation, the only source. Longer ones occur in
// files; what phones do with them is not known. They are left out here, so that a
// prediction does not count on a server that the phone may not know. 253 takes
// every name that DNS has.
const maxAddress = 50

// webAccess2 is what webAccess 2 means. It occurs in files, and no source explains
// it; pages by HTTPS only, without control of the phone, is a guess. The pages here
// are HTTP, and are not served.
const webAccess2 = AccessRestricted

// restrictedMayChange is whether settingsAccess 2 leaves the actions of the
// security menu. Sources call it restricted and say no more; that the actions are
// refused is the safe reading.
const restrictedMayChange = false

// transports says what transportLayerProtocol means to a non-secure phone. Sources
// agree on 2 (UDP); 1 is TCP in some and TCP with UDP in others, 3 is TLS in one,
// 4 TCP or both. The one trace of a phone, of a cluster that says nothing else,
// has TCP.
var transports = map[string]string{"1": "tcp", "2": "udp", "3": "tcp", "4": "tcp"}

// Members without a priority, or with one that is no number, go before all others,
// in the order of the file.
const noPriority = 0

// Names of elements and attributes, true and false are read without regard to
// case: hand-made files differ in it. An element that occurs twice in one place
// counts as it stands last.

// SecureSkinny is how far the port of SCCP over TLS is behind that of SCCP, 2443 behind 2000:
// no element for it was found, and Cisco's security guide is remembered to say that phones
// add so much to the number of the other one.
const SecureSkinny = 443
