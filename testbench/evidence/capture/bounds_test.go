package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var gigabyte = flag.Bool("gigabyte", false, "TestConstantMemory reads a capture of 1 GB")

// flood is a capture without an end that was made to fill memory: connections that never end,
// segments behind gaps, fragments that lack one, transfers that nobody finishes, phones without
// number, files that are all different, between packets of calls.
type flood struct {
	r     *rand.Rand
	buf   bytes.Buffer
	w     *pcapgo.Writer
	at    time.Time
	left  int64
	count int
}

func newFlood(size int64) *flood {
	f := &flood{r: rand.New(rand.NewPCG(1, 2)), at: time.Unix(1_800_000_000, 0), left: size}
	f.w = pcapgo.NewWriter(&f.buf)
	f.w.WriteFileHeader(maxPacket, layers.LinkTypeRaw)
	return f
}

func (f *flood) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	for f.buf.Len() < len(p) {
		f.more()
	}
	n, err := f.buf.Read(p)
	f.left -= int64(n)
	return n, err
}

func (f *flood) any() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(f.r.Uint32()), byte(f.r.Uint32()), byte(f.r.Uint32())}), uint16(1024+f.r.IntN(60_000)))
}

func (f *flood) put(src, dst netip.AddrPort, ip layers.IPv4, l4 gopacket.SerializableLayer, payload []byte) {
	ip.Version, ip.IHL, ip.TTL, ip.SrcIP, ip.DstIP = 4, 5, 9, src.Addr().AsSlice(), dst.Addr().AsSlice()
	switch l := l4.(type) {
	case *layers.TCP:
		ip.Protocol, l.SrcPort, l.DstPort = layers.IPProtocolTCP, layers.TCPPort(src.Port()), layers.TCPPort(dst.Port())
	case *layers.UDP:
		ip.Protocol, l.SrcPort, l.DstPort = layers.IPProtocolUDP, layers.UDPPort(src.Port()), layers.UDPPort(dst.Port())
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, &ip, l4, gopacket.Payload(payload)); err != nil {
		panic(err)
	}
	f.at = f.at.Add(time.Microsecond)
	b := buf.Bytes()
	f.w.WritePacket(gopacket.CaptureInfo{Timestamp: f.at, Length: len(b), CaptureLength: len(b)}, b)
}

// more writes the packets of one kind of trouble.
func (f *flood) more() {
	f.count++
	client, server := f.any(), netip.MustParseAddrPort("192.0.2.1:6970")
	device := fmt.Sprintf("SEP%012X", f.count%1_200)
	body := make([]byte, 1_400)
	for i := 0; i < len(body); i += 8 {
		binary.LittleEndian.PutUint64(body[i:], f.r.Uint64())
	}
	switch f.count % 7 {
	case 0: // a connection that stays
		f.put(client, server, layers.IPv4{}, &layers.TCP{Seq: 1, SYN: true}, nil)
	case 1: // a file, and no two are equal
		f.put(client, server, layers.IPv4{}, &layers.TCP{Seq: 1, Ack: 1, ACK: true}, []byte("GET /ITL"+device+".tlv HTTP/1.1\r\n\r\n"))
		f.put(server, client, layers.IPv4{}, &layers.TCP{Seq: 1, Ack: 1, ACK: true}, append([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1400\r\n\r\n"), body...))
	case 2: // a body without an end, and bytes behind a gap
		f.put(client, server, layers.IPv4{}, &layers.TCP{Seq: 1, Ack: 1, ACK: true}, []byte("GET /"+device+".cnf.xml HTTP/1.1\r\n\r\n"))
		f.put(server, client, layers.IPv4{}, &layers.TCP{Seq: 1, Ack: 1, ACK: true}, append([]byte("HTTP/1.1 200 OK\r\n\r\n"), body...))
		for i := range uint32(20) {
			f.put(server, client, layers.IPv4{}, &layers.TCP{Seq: 1e6 + i*2_000, Ack: 1, ACK: true}, body)
		}
	case 3: // a fragment that lacks the rest
		f.put(client, server, layers.IPv4{Id: uint16(f.count), Flags: layers.IPv4MoreFragments, FragOffset: 8}, new(layers.UDP), body)
	case 4: // a transfer with blocks ahead
		f.put(client, server, layers.IPv4{}, new(layers.UDP), []byte("\x00\x01CTL"+device+".tlv\x00octet\x00"))
		for i := range uint16(20) {
			f.put(server, client, layers.IPv4{}, new(layers.UDP), append(binary.BigEndian.AppendUint16([]byte{0, 3}, 2+i), body[:512]...))
		}
	case 5: // leases
		d := &layers.DHCPv4{Operation: layers.DHCPOpReply, HardwareType: layers.LinkTypeEthernet, ClientHWAddr: body[:6], YourClientIP: client.Addr().AsSlice(),
			Options: layers.DHCPOptions{layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{5}), layers.NewDHCPOption(66, body[:200])}}
		buf := gopacket.NewSerializeBuffer()
		d.SerializeTo(buf, gopacket.SerializeOptions{FixLengths: true})
		f.put(netip.MustParseAddrPort("192.0.2.1:67"), netip.AddrPortFrom(client.Addr(), 68), layers.IPv4{}, new(layers.UDP), buf.Bytes())
	default: // a call
		for range 20 {
			f.put(client, server, layers.IPv4{}, new(layers.UDP), body[:172])
		}
	}
}

// A capture is read in memory that does not grow with it, whatever it was made for.
func TestConstantMemory(t *testing.T) {
	size := int64(64 << 20)
	switch {
	case *gigabyte:
		size = 1 << 30
	case testing.Short():
		size = 24 << 20
	}
	limits := Limits{Phones: 1_000, Events: 100, Flows: 1_024, Kept: 8 << 20}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, read, next := uint64(0), 0, 8<<20
	c, err := Read(t.Context(), newFlood(size), limits, func(n int) {
		if read += n; read >= next {
			next += int(size / 8)
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB, %d packets: at most %d MiB held; %d phones, %d connections and transfers given up, %q", size>>20, c.Packets, most>>20, len(c.Phones), c.Evicted, c.Notes)
	// What waits of segments (32 MiB) and fragments (16 MiB), what is kept and under way (8 MiB
	// each), and the rest.
	if right := uint64(96 << 20); most > right {
		t.Errorf("%d bytes held, at most %d are right", most, right)
	}
	if len(c.Phones) != limits.Phones || c.Evicted == 0 || !errors.Is(c.Damage, io.ErrUnexpectedEOF) { // the flood ends where it is
		t.Errorf("%d phones, %d given up, %v", len(c.Phones), c.Evicted, c.Damage)
	}
}

// pcapng blocks that would have the library fill memory, or read past what they say.
func TestGate(t *testing.T) {
	block := func(kind uint32, body []byte) []byte {
		n := uint32(len(body) + 12)
		b := binary.LittleEndian.AppendUint32(nil, kind)
		b = binary.LittleEndian.AppendUint32(b, n)
		return binary.LittleEndian.AppendUint32(append(b, body...), n)
	}
	section := block(sectionHeader, []byte("\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	iface := block(interfaceBlock, []byte{101, 0, 0, 0, 0, 0, 4, 0})
	packet := func(says uint32, has int) []byte {
		body := make([]byte, 20+has)
		binary.LittleEndian.PutUint32(body[12:], says)
		binary.LittleEndian.PutUint32(body[16:], says)
		return block(enhancedPacket, body)
	}
	long := block(interfaceBlock, make([]byte, 8<<10))
	twoLengths := packet(4, 4)
	twoLengths[len(twoLengths)-4] = 1
	for _, c := range []struct {
		name   string
		parts  [][]byte
		damage string // "" for none
		count  int
	}{
		{"sound", [][]byte{section, iface, packet(4, 4), packet(3, 4), packet(0, 0)}, "", 3},
		{"unknown blocks", [][]byte{section, block(0x0bad, make([]byte, 1<<20)), iface, block(10, make([]byte, 400)), packet(4, 4)}, "", 1},
		{"two sections", [][]byte{section, iface, packet(4, 4), section, iface, packet(4, 4)}, "", 2},
		{"a packet longer than its block", [][]byte{section, iface, packet(4, 4), packet(5_000, 8)}, "a packet of 5000 bytes", 1},
		{"a huge packet", [][]byte{section, iface, packet(1<<31, 8)}, "a packet of", 0},
		{"a long interface", [][]byte{section, long}, "bytes in one block", 0},
		{"interfaces without number", [][]byte{section, bytes.Repeat(iface, maxInterfaces+1), packet(4, 4)}, "at most 1024 interfaces", 0},
		{"two lengths", [][]byte{section, iface, twoLengths}, "its two lengths differ", 0},
		{"a block of no length", [][]byte{section, iface, {6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, "length 0", 0},
		{"no interface", [][]byte{section, packet(4, 4)}, "not present", 0},
	} {
		got, err := Read(t.Context(), bytes.NewReader(bytes.Join(c.parts, nil)), Limits{}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Packets != c.count || (c.damage == "") != (got.Damage == nil) || got.Damage != nil && !strings.Contains(got.Damage.Error(), c.damage) {
			t.Errorf("%s: %d packets, %v; want %d, %q", c.name, got.Packets, got.Damage, c.count, c.damage)
		}
	}
	for name, b := range map[string][]byte{"text": []byte("a text"), "nothing": nil, "a trust list": {1, 0, 2, 1, 2}} {
		if _, err := Read(t.Context(), bytes.NewReader(b), Limits{}, nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A pcap file whose lengths are made up asks for no memory.
func TestLengths(t *testing.T) {
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	w.WriteFileHeader(0xffff_ffff, layers.LinkTypeEthernet)
	for range 3 {
		b.Write(make([]byte, 8))
		b.Write([]byte{0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := Read(t.Context(), io.MultiReader(&b, io.LimitReader(zeros{}, 64<<20)), Limits{}, nil)
	runtime.ReadMemStats(&after)
	if err != nil || c.Damage == nil || c.Packets != 0 {
		t.Errorf("%v, %+v", err, c)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d bytes allocated", grown)
	}
	c, err = Read(t.Context(), newFlood(1<<30), Limits{Bytes: 1 << 20}, nil)
	if err != nil || !errors.Is(c.Damage, ErrLimit) {
		t.Errorf("more than Limits.Bytes: %v, %v", err, c.Damage)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
