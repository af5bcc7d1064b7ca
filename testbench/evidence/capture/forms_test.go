package capture_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"itlagent/agent/fetch"
	"itlagent/agent/trust"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence/capture"
)

// locked is a bench whose phone was locked in its second boot, by TVS and by TFTP.
func locked(t *testing.T) *bench {
	b := newBench(t)
	if r := b.reset(); r.Reason() != trust.Accepted {
		t.Fatalf("first boot: %v", r.Reason())
	}
	b.regenerate(profile.TVS, profile.CallManager)
	b.fault(profile.TFTPService, "busy")
	if r := b.reset(); r.Reason() != trust.TVSUntrusted {
		t.Fatalf("second boot: %v", r.Reason())
	}
	return b
}

// Every form of a capture, and every way in which packets come, gives the same verdict.
func TestForms(t *testing.T) {
	b := locked(t)
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) { check(t, f.name, b, f.write(t, b.rec.packets), false) })
	}
	for _, c := range []struct {
		name   string
		change func([]recorded) []recorded
	}{
		{"twice", func(all []recorded) (out []recorded) {
			for _, p := range all {
				out = append(out, p, p)
			}
			return out
		}},
		{"out of order", outOfOrder},
		{"in fragments", func(all []recorded) []recorded { return fragmented(t, all, false) }},
		{"in fragments, the last one first", func(all []recorded) []recorded { return fragmented(t, all, true) }},
		{"overlapping segments", overlapping},
	} {
		t.Run(c.name, func(t *testing.T) { check(t, c.name, b, forms[0].write(t, c.change(b.rec.packets)), false) })
	}
}

func tcpOf(p recorded) (ip layers.IPv4, tcp layers.TCP, ok bool) {
	if ip.DecodeFromBytes(p.data, gopacket.NilDecodeFeedback) != nil || ip.Protocol != layers.IPProtocolTCP {
		return ip, tcp, false
	}
	return ip, tcp, tcp.DecodeFromBytes(ip.Payload, gopacket.NilDecodeFeedback) == nil
}

// outOfOrder turns each run of segments with data of one direction around.
func outOfOrder(all []recorded) []recorded {
	out := slices.Clone(all)
	same := func(a, b recorded) bool {
		ia, ta, oka := tcpOf(a)
		ib, tb, okb := tcpOf(b)
		return oka && okb && ia.SrcIP.Equal(ib.SrcIP) && ta.SrcPort == tb.SrcPort && len(ta.Payload) > 0 && len(tb.Payload) > 0
	}
	for i := 0; i < len(out); {
		j := i + 1
		for j < len(out) && same(out[i], out[j]) {
			j++
		}
		slices.Reverse(out[i:j])
		i = j
	}
	return out
}

// overlapping sends what each segment has once more with the half of the one before.
func overlapping(all []recorded) (out []recorded) {
	for _, p := range all {
		ip, tcp, ok := tcpOf(p)
		if out = append(out, p); !ok || len(tcp.Payload) < 2 {
			continue
		}
		half := len(tcp.Payload) / 2
		again := layers.TCP{SrcPort: tcp.SrcPort, DstPort: tcp.DstPort, Seq: tcp.Seq + uint32(half), Ack: tcp.Ack, ACK: true, Window: 9}
		again.SetNetworkLayerForChecksum(&ip)
		buf := gopacket.NewSerializeBuffer()
		copied := layers.IPv4{Version: 4, IHL: 5, TTL: 9, Protocol: ip.Protocol, SrcIP: ip.SrcIP, DstIP: ip.DstIP}
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, &copied, &again, gopacket.Payload(tcp.Payload[half:])); err != nil {
			panic(err)
		}
		out = append(out, recorded{p.at, bytes.Clone(buf.Bytes())})
	}
	return out
}

// fragmented cuts datagrams into fragments of 400 bytes.
func fragmented(t *testing.T, all []recorded, reverse bool) (out []recorded) {
	t.Helper()
	for n, p := range all {
		const head, size = 20, 400
		var parts []recorded
		for at := head; at < len(p.data); at += size {
			part := append(bytes.Clone(p.data[:head]), p.data[at:min(at+size, len(p.data))]...)
			binary.BigEndian.PutUint16(part[2:], uint16(len(part)))
			binary.BigEndian.PutUint16(part[4:], uint16(n))
			flags := uint16((at - head) / 8)
			if at+size < len(p.data) {
				flags |= 0x2000
			}
			binary.BigEndian.PutUint16(part[6:], flags)
			parts = append(parts, recorded{p.at, part})
		}
		if reverse {
			slices.Reverse(parts)
		}
		out = append(out, parts...)
	}
	return out
}

// With any one packet missing, what is said is right or "not known". One is left out, because it
// cannot be told: the answer of TFTP that is a single packet, and without which nothing was
// answered.
func TestLostPackets(t *testing.T) {
	known, unknown := 0, 0
	for _, c := range cases {
		switch c.name {
		case "TVS vouches", "TVS is not trusted", "TVS does not vouch", "TVS hangs up", "TVS is stopped", "half a list", "unsigned configuration", "no file":
		default:
			continue
		}
		b := newBench(t)
		b.reset()
		c.do(b)
		b.reset()
		for lost := range b.rec.packets {
			v := b.without(lost)
			switch {
			case !v.Known:
				unknown++
			case v.Reason != c.want:
				t.Errorf("%s, without packet %d: %v\n%q", c.name, lost, v.Reason, v.Notes)
				for _, e := range v.Boot.Events {
					t.Logf("  %s %v %s", e.Kind(), e.Server, e.Text())
				}
			default:
				known++
			}
		}
	}
	t.Logf("each packet missing once: %d verdicts known, %d not", known, unknown)
	if known == 0 || unknown == 0 || unknown > known {
		t.Errorf("%d known, %d not", known, unknown)
	}
}

// without judges the last boot beside what the phone held, with one packet missing.
func (b *bench) without(lost int) *capture.Verdict {
	b.t.Helper()
	packets := slices.Delete(slices.Clone(b.rec.packets), lost, lost+1)
	c, err := capture.Read(b.t.Context(), bytes.NewReader(forms[0].write(b.t, packets)), capture.Limits{}, nil)
	if err != nil || len(c.Phones) != 1 {
		b.t.Fatalf("without packet %d: %d phones, %v", lost, len(c.Phones), err)
	}
	held, err := b.held(len(b.was) - 1)
	b.must(err)
	p := c.Phones[0]
	boots := p.Boots()
	p.Events = boots[len(boots)-1].Events
	all, err := p.Judge(b.t.Context(), capture.Held{Stored: held})
	if err != nil || len(all) != 1 {
		b.t.Fatalf("without packet %d: %d verdicts, %v", lost, len(all), err)
	}
	return all[0]
}

// A capture that begins with the refused list, of a phone of which nothing else is known: the
// phone's own alert tells the reason.
func TestLastBootAlone(t *testing.T) {
	b := locked(t)
	c, err := capture.Read(t.Context(), bytes.NewReader(forms[0].write(t, b.rec.packets)), capture.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := *c.Phones[0]
	p.Events = p.Boots()[1].Events
	all, err := p.Judge(t.Context(), capture.Held{})
	if err != nil || len(all) != 1 {
		t.Fatal(len(all), err)
	}
	v := all[0]
	if !v.Known || v.Reason != trust.TVSUntrusted || v.Paper || len(v.Shows) != 2 || !strings.Contains(v.Shows[0], "the phone's ITL lacks: CN=test10pub") {
		t.Errorf("%s, on paper %v, %q\n%q", v.Word(), v.Paper, v.Shows, v.Notes)
	}
	if text := v.Text(); !strings.HasPrefix(text, "SEP"+mac+" is locked: tvs-untrusted") {
		t.Error(text)
	}
	// Without the alerts nothing tells it.
	for _, e := range p.Events {
		if e.TLS != nil {
			e.TLS.Alerts = nil
		}
	}
	all, err = p.Judge(t.Context(), capture.Held{})
	if err != nil || all[0].Known {
		t.Errorf("without alerts: %s, %v", all[0].Word(), err)
	}
}

// TFTP with other block sizes, blocks that come again and out of order, and requests that
// nobody answers.
func TestTFTP(t *testing.T) {
	server := netip.MustParseAddrPort("192.0.2.1:69")
	for _, c := range []struct {
		name   string
		data   int
		err    error
		change func([]recorded) []recorded
		want   capture.Result
	}{
		{"empty", 0, nil, nil, capture.Got},
		{"a block less one", 1427, nil, nil, capture.Got},
		{"a block", 1428, nil, nil, capture.Got},
		{"many blocks", 100_000, nil, nil, capture.Got},
		{"twice", 5_000, nil, func(all []recorded) (out []recorded) {
			for _, p := range all {
				out = append(out, p, p)
			}
			return out
		}, capture.Got},
		{"a window out of order", 12_000, nil, func(all []recorded) []recorded {
			rand.New(rand.NewPCG(1, 2)).Shuffle(len(all)-5, func(i, j int) { all[i+3], all[j+3] = all[j+3], all[i+3] })
			return all
		}, capture.Got},
		{"a block missing", 12_000, nil, func(all []recorded) []recorded { return slices.Delete(all, 7, 8) }, capture.NotSeen},
		{"not found", 0, fetch.ErrNotFound, nil, capture.NotFound},
		{"nobody", 0, fetch.ErrUnanswered, nil, capture.NotSeen},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRecorder()
			data := bytes.Repeat([]byte("list"), c.data/4+1)[:c.data]
			r.transfer(server, "ITLSEP"+mac+".tlv", data, c.err, 1428)
			if c.change != nil {
				r.packets = c.change(r.packets)
			}
			got, err := capture.Read(t.Context(), bytes.NewReader(forms[0].write(t, r.packets)), capture.Limits{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := got.Phones[0].Events[0].File
			if f.Result != c.want || c.want == capture.Got && !bytes.Equal(f.Data, data) {
				t.Errorf("%s, %d bytes; want %s", got.Phones[0].Events[0].Text(), len(f.Data), c.want)
			}
		})
	}
}

// lease records what a DHCP server gives.
func (r *recorder) lease(phone [6]byte, at netip.Addr, options ...layers.DHCPOption) {
	d := &layers.DHCPv4{Operation: layers.DHCPOpReply, HardwareType: layers.LinkTypeEthernet, ClientHWAddr: phone[:], YourClientIP: at.AsSlice(),
		Options: append([]layers.DHCPOption{layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{byte(layers.DHCPMsgTypeAck)})}, options...)}
	buf := gopacket.NewSerializeBuffer()
	if err := d.SerializeTo(buf, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		panic(err)
	}
	r.put(netip.MustParseAddrPort("192.0.2.67:67"), netip.MustParseAddrPort("255.255.255.255:68"), layers.IPProtocolUDP, new(layers.UDP), bytes.Clone(buf.Bytes()))
}

// Several phones, told by their names, addresses and leases.
func TestPhones(t *testing.T) {
	r := newRecorder()
	server := netip.MustParseAddrPort("192.0.2.1:69")
	first, second := netip.MustParseAddr("192.0.2.21"), netip.MustParseAddr("192.0.2.22")
	r.lease([6]byte{0, 0x11, 0x22, 0, 0, 1}, first, layers.NewDHCPOption(150, []byte{192, 0, 2, 1, 192, 0, 2, 2}))
	r.lease([6]byte{0, 0x11, 0x22, 0, 0, 2}, second, layers.NewDHCPOption(66, []byte("tftp.example.lab\x00")))
	r.lease([6]byte{0, 0x11, 0x22, 0, 0, 3}, netip.MustParseAddr("192.0.2.23"))
	for range 2 {
		for at, device := range map[netip.Addr]string{first: "SEP001122000001", second: "SEP001122000002"} {
			r.client = at
			for _, name := range []string{"CTL" + device + ".tlv", "ITL" + device + ".tlv", "ITLFile.tlv", device + ".cnf.xml", "XMLDefault.cnf.xml"} {
				r.transfer(server, name, nil, fetch.ErrNotFound, 1428)
			}
		}
	}
	c, err := capture.Read(t.Context(), bytes.NewReader(forms[5].write(t, r.packets)), capture.Limits{}, nil)
	if err != nil || len(c.Phones) != 2 {
		t.Fatalf("%d phones, %v", len(c.Phones), err)
	}
	for _, p := range c.Phones {
		at, servers := first, "192.0.2.1 192.0.2.2"
		if p.Device == "SEP001122000002" {
			at, servers = second, "tftp.example.lab"
		}
		boots := p.Boots()
		if len(p.Addresses) != 1 || p.Addresses[0] != at || p.Shares || len(boots) != 2 || !boots[0].Whole || len(boots[1].Events) != 5 {
			t.Errorf("%s: %v, shares %v, %d boots", p.Device, p.Addresses, p.Shares, len(boots))
		}
		if l := boots[0].Events[0].Lease; l == nil || strings.Join(l.TFTP, " ") != servers {
			t.Errorf("%s: %v", p.Device, boots[0].Events[0].Text())
		}
		all, err := p.Judge(t.Context(), capture.Held{})
		if err != nil || len(all) != 2 || !all[1].Known || all[1].Reason != trust.NotFound {
			t.Errorf("%s: %d verdicts, %v", p.Device, len(all), err)
		}
	}
	// A capture from the middle of a boot on.
	c, err = capture.Read(t.Context(), bytes.NewReader(forms[5].write(t, r.packets[9:])), capture.Limits{}, nil)
	if err != nil || c.Phones[0].Boots()[0].Whole {
		t.Errorf("from the middle on: %v", err)
	}
}

// A file that ends inside a packet is read up to there.
func TestCutCapture(t *testing.T) {
	r := newRecorder()
	r.transfer(netip.MustParseAddrPort("192.0.2.1:69"), "ITLSEP"+mac+".tlv", make([]byte, 4000), nil, 1428)
	r.transfer(netip.MustParseAddrPort("192.0.2.1:69"), "SEP"+mac+".cnf.xml", make([]byte, 4000), nil, 1428)
	for _, f := range forms {
		whole := f.write(t, r.packets)
		for cut := 1; cut < len(whole); cut += 97 {
			c, err := capture.Read(t.Context(), bytes.NewReader(whole[:cut]), capture.Limits{}, nil)
			if err == nil && c.Damage == nil && c.Packets == len(r.packets) {
				t.Errorf("%s: %d of %d bytes count as whole", f.name, cut, len(whole))
			}
		}
		c, err := capture.Read(t.Context(), bytes.NewReader(whole), capture.Limits{}, nil)
		if err != nil || c.Damage != nil || c.Packets != len(r.packets) || !c.Last.After(c.First) || c.First.Sub(r.packets[0].at).Abs() > time.Millisecond {
			t.Errorf("%s: %v, %+v", f.name, err, c)
		}
	}
}
