package capture

import (
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
)

// Link types that have two numbers, one of a file and one of BSD systems.
const (
	linkRawBSD  = layers.LinkType(12)
	linkRawOpen = layers.LinkType(14)
)

// decoder takes the headers off frames. Its layers are used again for each.
type decoder struct {
	ethernet  layers.Ethernet
	tag       layers.Dot1Q
	cooked    layers.LinuxSLL
	cooked2   layers.LinuxSLL2
	loopback  layers.Loopback
	ip        layers.IPv4
	udp       layers.UDP
	tcp       layers.TCP
	fragments *ip4defrag.IPv4Defragmenter
	waiting   int // bytes of fragments since the last start

	ip6, other, broken, dropped int // frames that were not read, fragments that were dropped
}

// packet is what of a frame counts.
type packet struct {
	at       time.Time
	src, dst netip.AddrPort
	mac      [6]byte     // of the sender, zero where it is not known
	tcp      *layers.TCP // nil for UDP
	payload  []byte
	cut      bool // the capture has less of it than was sent
}

// packet reads a frame; ok is false where it is none of IPv4 with TCP or UDP.
func (d *decoder) packet(data []byte, link layers.LinkType, at time.Time) (p packet, ok bool) {
	p.at = at
	data, ok = d.network(data, link, &p)
	if !ok {
		return p, false
	}
	if d.ip.DecodeFromBytes(data, gopacket.NilDecodeFeedback) != nil {
		d.broken++
		return p, false
	}
	ip := &d.ip
	p.cut = len(ip.Contents)+len(ip.Payload) < int(ip.Length)
	if ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0 {
		if ip = d.whole(at); ip == nil {
			return p, false
		}
	}
	src, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	dst, _ := netip.AddrFromSlice(ip.DstIP.To4())
	switch ip.Protocol {
	case layers.IPProtocolUDP:
		if d.udp.DecodeFromBytes(ip.Payload, gopacket.NilDecodeFeedback) != nil {
			d.broken++
			return p, false
		}
		p.src, p.dst = netip.AddrPortFrom(src, uint16(d.udp.SrcPort)), netip.AddrPortFrom(dst, uint16(d.udp.DstPort))
		p.payload = d.udp.Payload
		p.cut = p.cut || int(d.udp.Length) > len(p.payload)+8
		return p, true
	case layers.IPProtocolTCP:
		if d.tcp.DecodeFromBytes(ip.Payload, gopacket.NilDecodeFeedback) != nil {
			d.broken++
			return p, false
		}
		p.src, p.dst = netip.AddrPortFrom(src, uint16(d.tcp.SrcPort)), netip.AddrPortFrom(dst, uint16(d.tcp.DstPort))
		p.tcp, p.payload = &d.tcp, d.tcp.Payload
		return p, true
	}
	d.other++
	return p, false
}

// network takes the link layer off, and leaves IPv4.
func (d *decoder) network(data []byte, link layers.LinkType, p *packet) ([]byte, bool) {
	kind, err := layers.EthernetTypeIPv4, error(nil)
	switch link {
	case layers.LinkTypeEthernet:
		if err = d.ethernet.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err == nil {
			kind, data = d.ethernet.EthernetType, d.ethernet.Payload
			copy(p.mac[:], d.ethernet.SrcMAC)
		}
	case layers.LinkTypeLinuxSLL:
		if err = d.cooked.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err == nil {
			kind, data = d.cooked.EthernetType, d.cooked.Payload
			if len(d.cooked.Addr) == len(p.mac) {
				copy(p.mac[:], d.cooked.Addr)
			}
		}
	case layers.LinkTypeLinuxSLL2:
		if err = d.cooked2.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err == nil {
			kind, data = layers.EthernetType(d.cooked2.ProtocolType), d.cooked2.Payload
			if d.cooked2.AddrLength == uint8(len(p.mac)) {
				copy(p.mac[:], d.cooked2.Addr)
			}
		}
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		if err = d.loopback.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err == nil {
			data = d.loopback.Payload
			if d.loopback.Family != layers.ProtocolFamilyIPv4 {
				kind = layers.EthernetTypeIPv6
			}
		}
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, linkRawBSD, linkRawOpen:
	default:
		d.other++
		return nil, false
	}
	for range maxTags {
		if err != nil || kind != layers.EthernetTypeDot1Q && kind != layers.EthernetTypeQinQ {
			break
		}
		if err = d.tag.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err == nil {
			kind, data = d.tag.Type, d.tag.Payload
		}
	}
	switch {
	case err != nil || len(data) == 0:
		d.broken++
	case kind == layers.EthernetTypeIPv4 && data[0]>>4 == 4:
		return data, true
	case kind == layers.EthernetTypeIPv6, kind == layers.EthernetTypeIPv4 && data[0]>>4 == 6:
		d.ip6++
	default:
		d.other++
	}
	return nil, false
}

// whole puts the datagram of a fragment together, and returns nil as long as it lacks another.
func (d *decoder) whole(at time.Time) *layers.IPv4 {
	if d.fragments == nil || d.waiting > maxFragments {
		if d.waiting > 0 {
			d.dropped++
		}
		d.fragments, d.waiting = ip4defrag.NewIPv4Defragmenter(), 0
	}
	// The library keeps what it is given.
	ip := d.ip
	ip.Options = nil
	ip.Contents = append([]byte(nil), d.ip.Contents...)
	ip.Payload = append([]byte(nil), d.ip.Payload...)
	ip.SrcIP = append([]byte(nil), d.ip.SrcIP...)
	ip.DstIP = append([]byte(nil), d.ip.DstIP...)
	const overhead = 512 // bytes of a fragment beside its own
	d.waiting += len(ip.Payload) + overhead
	out, err := d.fragments.DefragIPv4WithTimestamp(&ip, at)
	if err != nil {
		d.broken++
		return nil
	}
	if out != nil {
		d.waiting = max(0, d.waiting-len(out.Payload)-overhead)
	}
	return out
}
