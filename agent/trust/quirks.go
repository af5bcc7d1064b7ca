package trust

import "itlagent/agent/trustlist"

// What the sources leave open about the trust decision.

// applicationRole reports whether a record with the role may be that of a server
// of pages. APP-SERVER is documented; that the cluster's own nodes are believed
// for any service is inferred from phones that reach the node's own directory
// with nothing but CallManager records in their lists.
func applicationRole(r trustlist.Role) bool {
	return r == trustlist.AppServer || r == trustlist.CCM || r == trustlist.CCMTFTP || r == trustlist.TFTP
}
