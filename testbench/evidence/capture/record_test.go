package capture_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"itlagent/agent/fetch"
)

// recorder writes the packets that connections would have been, for machines that let nobody
// look at theirs.
type recorder struct {
	mu      sync.Mutex
	client  netip.Addr
	port    uint16
	now     time.Time
	packets []recorded
}

// recorded is an IPv4 datagram.
type recorded struct {
	at   time.Time
	data []byte
}

func newRecorder() *recorder {
	return &recorder{client: netip.MustParseAddr("10.77.0.9"), port: 40_000, now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}
}

// put adds a datagram.
func (r *recorder) put(src, dst netip.AddrPort, proto layers.IPProtocol, l4 gopacket.SerializableLayer, payload []byte) {
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: uint16(len(r.packets)), Protocol: proto, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	switch l := l4.(type) {
	case *layers.TCP:
		l.SrcPort, l.DstPort, l.Window = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port()), 65_000
		l.SetNetworkLayerForChecksum(ip)
	case *layers.UDP:
		l.SrcPort, l.DstPort = layers.UDPPort(src.Port()), layers.UDPPort(dst.Port())
		l.SetNetworkLayerForChecksum(ip)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, l4, gopacket.Payload(payload)); err != nil {
		panic(err)
	}
	r.now = r.now.Add(time.Millisecond)
	r.packets = append(r.packets, recorded{r.now, bytes.Clone(buf.Bytes())})
}

// next returns a port of the phone that was not used yet.
func (r *recorder) next() netip.AddrPort {
	r.port++
	return netip.AddrPortFrom(r.client, r.port)
}

// dial connects, and records the connection.
func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	r.mu.Lock()
	defer r.mu.Unlock()
	here, there := r.next(), netip.MustParseAddrPort(address)
	c := &recordedConn{Conn: conn, r: r, ends: [2]netip.AddrPort{here, there}, seq: [2]uint32{0xffff_fff0, 7_000}}
	c.segment(0, &layers.TCP{SYN: true}, nil)
	if err != nil {
		c.segment(1, &layers.TCP{RST: true, ACK: true}, nil)
		return nil, err
	}
	c.segment(1, &layers.TCP{SYN: true, ACK: true}, nil)
	c.segment(0, &layers.TCP{ACK: true}, nil)
	return c, nil
}

// recordedConn is a connection whose segments are written down.
type recordedConn struct {
	net.Conn
	r      *recorder
	ends   [2]netip.AddrPort
	seq    [2]uint32
	closed [2]bool
}

func (c *recordedConn) segment(dir int, t *layers.TCP, data []byte) {
	t.Seq, t.Ack = c.seq[dir], c.seq[1-dir]
	c.r.put(c.ends[dir], c.ends[1-dir], layers.IPProtocolTCP, t, data)
	c.seq[dir] += uint32(len(data))
	if t.SYN || t.FIN {
		c.seq[dir]++
	}
}

func (c *recordedConn) bytes(dir int, data []byte) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	const segment = 1_400
	for len(data) > 0 {
		n := min(len(data), segment)
		c.segment(dir, &layers.TCP{ACK: true, PSH: true}, data[:n])
		data = data[n:]
	}
}

func (c *recordedConn) close(dir int) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if !c.closed[dir] {
		c.closed[dir] = true
		c.segment(dir, &layers.TCP{ACK: true, FIN: true}, nil)
	}
}

func (c *recordedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes(0, b[:n])
	return n, err
}

func (c *recordedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes(1, b[:n])
	if err == io.EOF {
		c.close(1)
	}
	return n, err
}

func (c *recordedConn) Close() error {
	c.close(0)
	return c.Conn.Close()
}

// tftp gets a file, and records what a transfer of it is.
func (r *recorder) tftp(ctx context.Context, address, name string, limit int) ([]byte, error) {
	data, err := fetch.PlainTFTP(ctx, address, name, limit)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transfer(netip.MustParseAddrPort(address), name, data, err, 1428)
	return data, err
}

// transfer records a file by TFTP, with a block size that is agreed.
func (r *recorder) transfer(server netip.AddrPort, name string, data []byte, err error, block int) {
	here := r.next()
	there := netip.AddrPortFrom(server.Addr(), r.port+10_000)
	send := func(src, dst netip.AddrPort, b []byte) { r.put(src, dst, layers.IPProtocolUDP, new(layers.UDP), b) }
	for range 2 { // the request is repeated
		send(here, server, []byte("\x00\x01"+name+"\x00octet\x00blksize\x001428\x00tsize\x000\x00"))
	}
	switch {
	case errors.Is(err, fetch.ErrNotFound):
		send(there, here, []byte("\x00\x05\x00\x01File not found\x00"))
		return
	case err != nil:
		return
	}
	send(there, here, append([]byte("\x00\x06blksize\x001428\x00tsize\x00"), []byte("0\x00")...))
	for n := 1; ; n++ {
		part := data[:min(len(data), block)]
		data = data[len(part):]
		send(there, here, append(binary.BigEndian.AppendUint16([]byte{0, 3}, uint16(n)), part...))
		send(here, there, binary.BigEndian.AppendUint16([]byte{0, 4}, uint16(n)))
		if len(part) < block {
			return
		}
	}
}

// form is a way to write a capture.
type form struct {
	name string
	link layers.LinkType
	ng   bool
	zip  bool
	head func(ip []byte) []byte // the link layer
}

var ethernet = []byte{0x02, 0, 0, 0, 0, 1, 0x64, 0xa0, 0xe7, 0x15, 0x02, 0xcc}

// forms are the link types and files that are read.
var forms = []form{
	{"ethernet", layers.LinkTypeEthernet, false, false, func(ip []byte) []byte { return join(ethernet, []byte{8, 0}, ip) }},
	{"ethernet pcapng", layers.LinkTypeEthernet, true, false, func(ip []byte) []byte { return join(ethernet, []byte{8, 0}, ip) }},
	{"VLAN in gzip", layers.LinkTypeEthernet, false, true, func(ip []byte) []byte { return join(ethernet, []byte{0x81, 0, 0, 100, 8, 0}, ip) }},
	{"cooked", layers.LinkTypeLinuxSLL, false, false, func(ip []byte) []byte {
		return join([]byte{0, 4, 0, 1, 0, 6}, ethernet[6:], []byte{0, 0, 8, 0}, ip)
	}},
	{"cooked 2 pcapng in gzip", layers.LinkTypeLinuxSLL2, true, true, func(ip []byte) []byte {
		return join([]byte{8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 4, 6}, ethernet[6:], []byte{0, 0}, ip)
	}},
	{"loopback of BSD", layers.LinkTypeNull, false, false, func(ip []byte) []byte { return join([]byte{2, 0, 0, 0}, ip) }},
	{"raw", layers.LinkTypeRaw, false, false, func(ip []byte) []byte { return ip }},
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// write writes packets in a form.
func (f *form) write(t testing.TB, packets []recorded) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.Writer = &out
	if f.zip {
		z := gzip.NewWriter(&out)
		defer z.Close()
		w = z
	}
	frame := func(p recorded) (gopacket.CaptureInfo, []byte) {
		b := f.head(p.data)
		return gopacket.CaptureInfo{Timestamp: p.at, Length: len(b), CaptureLength: len(b)}, b
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if f.ng {
		ng, err := pcapgo.NewNgWriter(w, f.link)
		check(err)
		for _, p := range packets {
			info, b := frame(p)
			check(ng.WritePacket(info, b))
		}
		check(ng.Flush())
	} else {
		plain := pcapgo.NewWriter(w)
		check(plain.WriteFileHeader(262_144, f.link))
		for _, p := range packets {
			info, b := frame(p)
			check(plain.WritePacket(info, b))
		}
	}
	if z, ok := w.(*gzip.Writer); ok {
		check(z.Close())
	}
	return out.Bytes()
}
