// Package tvs speaks the protocol of Trust Verification Services: a request and
// a response over TLS, tcp port 2445, by which a phone asks its cluster whether
// a certificate that its lists lack can be trusted.
//
//	c := &tvs.Client{Dial: dialer.DialContext, Device: "CP-7965G-SEP64A0E71502CC"}
//	answer := c.Query(ctx, itl, []string{"192.0.2.1:2445"}, question)
//
// The client talks to the servers in the order given, one connection a request,
// and believes only a server whose certificate the phone's own ITL lists with
// the role TVS. Answers are cached for as long as they say; Flush drops them
// when the lists change. The server half is the messages and Respond.
//
// Messages have a 10-byte header and at most MaxPayload bytes behind it. A
// Client is safe for concurrent use. Source: public traces of a phone and its
// server, and the usecallmanager project's description; quirks.go has the rest.
package tvs
