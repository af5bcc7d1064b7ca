package capture_test

import (
	"bytes"
	"net/netip"
	"testing"

	"itlagent/testbench/evidence/capture"
)

// Whatever the bytes are, reading and judging ends without a panic, and says nothing of what it
// has not seen.
func FuzzCapture(f *testing.F) {
	r := newRecorder()
	server := netip.MustParseAddrPort("192.0.2.1:69")
	r.transfer(server, "CTLSEP"+mac+".tlv", nil, nil, 512)
	r.transfer(server, "ITLSEP"+mac+".tlv", []byte("no list"), nil, 1428)
	r.transfer(server, "SEP"+mac+".cnf.xml", []byte("<device></device>"), nil, 1428)
	r.lease([6]byte{0x64, 0xa0, 0xe7, 0x15, 0x02, 0xcc}, r.client)
	c := &recordedConn{r: r, ends: [2]netip.AddrPort{r.next(), netip.MustParseAddrPort("192.0.2.1:2445")}}
	c.bytes(0, []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"))
	c.bytes(1, []byte("\x16\x03\x03\x00\x0a\x0b\x00\x00\x06\x00\x00\x03\x00\x00\x00\x15\x03\x03\x00\x02\x02\x2a"))
	c.closed = [2]bool{}
	c.close(0)
	h := &recordedConn{r: r, ends: [2]netip.AddrPort{r.next(), netip.MustParseAddrPort("192.0.2.1:6970")}}
	h.bytes(0, []byte("GET /ITLSEP"+mac+".tlv HTTP/1.1\r\nHost:a\r\n\r\n"))
	h.bytes(1, []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
	for i := range forms {
		f.Add(forms[i].write(f, r.packets))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := capture.Read(t.Context(), bytes.NewReader(b), capture.Limits{Bytes: 1 << 20, Phones: 20, Events: 50, Flows: 20, Kept: 1 << 20}, nil)
		if err != nil {
			return
		}
		for _, p := range c.Phones {
			all, err := p.Judge(t.Context(), capture.Held{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range all {
				if v.Known && len(v.Boot.Events) == 0 || !v.Known && v.Word() != "not-known" {
					t.Errorf("%s of %d events", v.Text(), len(v.Boot.Events))
				}
			}
			for _, e := range p.Events {
				_ = e.Text()
			}
		}
	})
}
