// Package portal is pages to look at: the phones of a cluster and whom they trust, its
// certificates as OS Administration shows them, what a change would do, and its events.
//
//	s, err := portal.New(portal.Options{Cluster: c, Dir: "lab"})
//	l, err := portal.Listen("127.0.0.1:8080")
//	err = s.Serve(ctx, l)
//
// What it says is what package wording says, and so the command line. A page is made on
// the server and works without JavaScript; with it, numbers follow the cluster while one
// looks. Nothing is loaded from elsewhere. Pages are read-only unless the options allow
// actions; see package gate for what keeps others from using those.
//
// Bounds: maxRequest bytes of a request, maxConns connections, maxStreams of them that
// wait for events, two explanations or plans at a time. A table of 100,000 phones is made
// again at most a tenth of the time. A Server is safe for concurrent use.
package portal
