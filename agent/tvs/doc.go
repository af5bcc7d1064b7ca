// Package tvs speaks the protocol of Trust Verification Services: a request and
// a response over TLS, tcp port 2445, by which a phone asks its cluster whether
// a certificate that its lists lack can be trusted.
//
//	c := &tvs.Client{Dial: dialer.DialContext, Device: "CP-7965G-SEP64A0E71502CC"}
//	state.Answers = c.Cached()
//	v := trust.Decide(state, candidate)
//	if v.Question != nil {
//		answer := c.Query(ctx, itl, []string{"192.0.2.1:2445"}, *v.Question)
//		if v = v.Answered(state, answer); v.Accepted {
//			c.Remember([]trust.Answer{answer})
//		}
//	}
//
// The client talks to the servers in the order given, one connection a request,
// and trusts only a server whose certificate the phone's own ITL lists with
// the role TVS. An answer that has vouched for a file is remembered for as long as it
// says; Flush drops it when the lists change. The server half is the messages and
// Respond.
//
// Messages have a 10-byte header and at most MaxPayload bytes behind it. A
// Client is safe for concurrent use. Source: public traces of a phone and its
// server, and the usecallmanager project's description; quirks.go has the rest.
package tvs
