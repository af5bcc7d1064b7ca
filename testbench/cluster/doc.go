// Package cluster is a call-control cluster as its phones see it: nodes that
// serve trust lists and signed configurations by HTTP and TFTP and vouch for
// certificates by TVS, and the operations that change what they serve.
//
//	c, err := cluster.New(cluster.Note(), cluster.Options{})
//	err = c.Start()
//	defer c.Close()
//	fmt.Println(c.Publisher().Address())
//	err = c.Regenerate("test10pub", cluster.CallManager)
//
// Listeners bind to loopback. Each node has one port number for HTTP (tcp) and
// TFTP (udp), and one for TVS. Time is the bench's own clock, which can be moved
// ahead. All methods are safe for concurrent use. What is served and when it
// changes follows Cisco's note on ITL enhancements in release 10.0(1).
package cluster
