// Package capture reads packet captures of phones that boot, and judges what they were served.
//
//	c, err := capture.Read(ctx, file, capture.Limits{}, nil)
//	for _, p := range c.Phones {
//		for _, v := range p.Judge(ctx, capture.Held{}) { fmt.Println(p.Device, v.Text()) }
//	}
//
// Read takes pcap and pcapng, either of them in gzip, with Ethernet, Linux cooked, loopback and
// raw IP link types. It follows IPv4, also in fragments, TCP with segments lost, repeated and out
// of order, TFTP with options, HTTP, DHCP options 150 and 66, unencrypted SIP, and of TLS what is
// not encrypted: certificates up to TLS 1.2, alerts, who closed. Protocols are told by their
// bytes, not by ports. A capture is read once, from front to back; Limits bound what is kept of
// it. Judge has a phone on paper go through what was captured, with the code of a phone, and
// never says more than the capture shows: see Verdict. Read and Judge are not safe for concurrent
// use of one Capture. Sources: the pcap and pcapng drafts of the IETF, RFC 791, 1350, 2131, 2132,
// 2347, 2348, 2349, 5246, 5859, 7440, 9112, 9293.
package capture
