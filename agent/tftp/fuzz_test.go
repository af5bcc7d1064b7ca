package tftp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// FuzzTransfer has a transfer hear any datagrams: each is a byte that says from whom, two
// of its length, and its bytes. Whatever comes, the file has at most its limit, and is
// what the peer's blocks are in their order; only the server's address ends a transfer.
func FuzzTransfer(f *testing.F) {
	say := func(datagrams ...string) (b []byte) {
		for _, d := range datagrams {
			b = append(b, d[0])
			b = binary.BigEndian.AppendUint16(b, uint16(len(d)-1))
			b = append(b, d[1:]...)
		}
		return b
	}
	f.Add(say("\x00\x00\x03\x00\x01list"), uint8(0))
	f.Add(say("\x00\x00\x06tsize\x003\x00blksize\x0016\x00", "\x00\x00\x03\x00\x01abc"), uint8(1))
	f.Add(say("\x01\x00\x05\x00\x08no options\x00", "\x00\x00\x03\x00\x01list"), uint8(3))
	f.Add(say("\x02\x00\x03\x00\x01evil", "\x00\x00\x05\x00\x01File not found\x00"), uint8(0))
	f.Add(say("\x00\x00\x06blksize\x008\x00windowsize\x002\x00", "\x00\x00\x03\x00\x01aaaaaaaa", "\x00\x00\x03\x00\x03cccccccc", "\x00\x00\x03\x00\x02bbbbbbbb", "\x00\x00\x03\x00\x03c"), uint8(2))
	senders := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.1:4001"),
		netip.MustParseAddrPort("198.51.100.9:4000"), netip.MustParseAddrPort("192.0.2.1:69")}
	asks := []Options{{}, {BlockSize: 1024, Timeout: 3, Size: true}, {BlockSize: 8, Window: 3}, {BlockSize: 512, Size: true, Window: 64}}
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		const limit = 4096
		x, err := newTransfer(netip.MustParseAddrPort("192.0.2.1:69"), "ITLFile.tlv", limit, asks[int(how)%len(asks)])
		if err != nil {
			t.Fatal(err)
		}
		x.late = func(from netip.AddrPort) bool { return from == senders[1] && how >= 128 }
		x.packet()
		var model []byte // of the peer's blocks, in their order
		var end error
		done, useless := false, 0
		for len(b) >= 3 && !done && end == nil {
			from, n := senders[int(b[0])%len(senders)], min(int(binary.BigEndian.Uint16(b[1:])), len(b)-3, x.bufferSize())
			d := b[3 : 3+n]
			b = b[3+n:]
			hadPeer, before := x.peer, len(x.data)
			var r result
			r, end = x.receive(from, d)
			done = r.done
			if end != nil && (from.Addr() != x.server.Addr() || hadPeer.IsValid() && from != hadPeer) {
				t.Fatalf("%v ended the transfer with %v", from, end)
			}
			if hadPeer.IsValid() && x.peer != hadPeer || x.peer.IsValid() && x.late(x.peer) {
				t.Fatalf("the peer is %v, was %v", x.peer, hadPeer)
			}
			if len(x.data) != before {
				p, err := parse(d)
				if err != nil || from != x.peer || p.op != opDATA || p.block != x.last {
					t.Fatalf("taken as block %d from %v: %q", x.last, from, d)
				}
				model = append(model, d[headerSize:]...)
			}
			if r.send && len(x.packet()) < headerSize {
				t.Fatalf("nothing to send: %q", x.out)
			}
			if !r.fresh && from == x.peer {
				useless++
			}
		}
		if len(x.data) > limit || !bytes.Equal(x.data, model) || useless > wordyServer+2*len(model)+3 {
			t.Errorf("%d bytes, %d of the model, %d useless packets", len(x.data), len(model), useless)
		}
		if done && x.size >= 0 && x.size != len(x.data) {
			t.Errorf("complete with %d bytes of %d", len(x.data), x.size)
		}
	})
}
