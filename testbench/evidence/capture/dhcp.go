package capture

import (
	"net/netip"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// dhcp reads what DHCP gives (RFC 2131; option 66 of RFC 2132, 150 of RFC 5859).
func (r *reader) dhcp(p *packet) {
	var d layers.DHCPv4
	if d.DecodeFromBytes(p.payload, gopacket.NilDecodeFeedback) != nil || d.Operation != layers.DHCPOpReply || len(d.ClientHWAddr) != 6 {
		return
	}
	l := &Lease{MAC: [6]byte(d.ClientHWAddr), Server: p.src.Addr()}
	l.IP, _ = netip.AddrFromSlice(d.YourClientIP.To4())
	ack := false
	for _, o := range d.Options {
		switch {
		case o.Type == layers.DHCPOptMessageType && len(o.Data) == 1:
			ack = layers.DHCPMsgType(o.Data[0]) == layers.DHCPMsgTypeAck
		case o.Type == 150:
			for b := o.Data; len(b) >= 4 && len(l.TFTP) < 8; b = b[4:] {
				l.TFTP = append(l.TFTP, netip.AddrFrom4([4]byte(b)).String())
			}
		case o.Type == 66 && len(o.Data) > 0 && len(l.TFTP) < 8:
			l.TFTP = append(l.TFTP, strings.TrimRight(string(o.Data), "\x00"))
		}
	}
	if !ack || len(r.leases) >= 2*r.limits.Phones && r.leases[l.MAC] == nil {
		return
	}
	r.leases[l.MAC] = &Event{Time: p.at, End: p.at, Server: p.src, Lease: l}
}
