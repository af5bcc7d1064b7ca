// Package cluster is a call-control cluster as its phones and its administrator
// see it: nodes that serve trust lists and signed configurations by HTTP, TFTP
// and HTTPS, vouch for certificates by TVS and take alarms by SIP, and the
// operations that change what they serve.
//
//	c, err := cluster.New(profile.Note(), cluster.Options{Dir: "bench"})
//	err = c.Start()
//	defer c.Close()
//	fmt.Println(c.Publisher().Address())
//	err = c.Apply(operation.Regenerate("test10pub", profile.CallManager))
//
// All that the cluster keeps is one immutable value, the state. An operation
// changes a copy, which is written to the directory, synced, and then takes the
// old one's place; after a kill at any time the one or the other is there.
// Several processes may use one directory: each node is run by at most one of
// them. Keys are in files of mode 0600.
//
// Listeners bind to loopback unless the profile says otherwise. Time is the
// bench's own clock, which can be moved ahead. All methods are safe for
// concurrent use. What is served and when it changes follows Cisco's note on ITL
// enhancements in release 10.0(1) and the security guides of later releases.
package cluster
