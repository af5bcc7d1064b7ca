package capture

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Packets of TFTP (RFC 1350, 2347).
const (
	rrq    = 1
	data   = 3
	ack    = 4
	errPkt = 5
	oack   = 6
)

const (
	plainBlock = 512 // bytes of a block where no other size was agreed
	maxBlock   = 65_464
	maxAhead   = 64 // blocks that wait for earlier ones
)

// transfer is one file by TFTP.
type transfer struct {
	answer
	event     *Event
	client    netip.AddrPort
	server    netip.AddrPort // as it was asked; it answers from another port
	port      uint16         // that it answers from, 0 before
	blockSize int
	next      uint16 // block
	ahead     map[uint16][]byte
	last      time.Time // of its packets
	gap       bool      // the capture lacks a packet of it
	place     *list.Element
}

// transfers are those that are followed, by the phone's end: it has a port for each.
type transfers struct {
	r     *reader
	most  int
	all   map[netip.AddrPort]*transfer
	order *list.List
}

// request reads a read request: its file and its options.
func request(b []byte) (name string, options []string, ok bool) {
	if len(b) < 4 || binary.BigEndian.Uint16(b) != rrq || b[len(b)-1] != 0 || len(b) > 1024 {
		return "", nil, false
	}
	words := strings.Split(string(b[2:len(b)-1]), "\x00")
	if len(words) < 2 || words[0] == "" {
		return "", nil, false
	}
	switch strings.ToLower(words[1]) {
	case "octet", "netascii":
	default:
		return "", nil, false
	}
	for _, c := range []byte(words[0]) {
		if c < ' ' || c > '~' {
			return "", nil, false
		}
	}
	return words[0], words[2:], true
}

// packet takes a datagram, and reports whether it is TFTP's.
func (ts *transfers) packet(p *packet) bool {
	if t := ts.all[p.dst]; t != nil && p.src.Addr() == t.server.Addr() {
		ts.fromServer(t, p)
		return true
	}
	name, options, ok := request(p.payload)
	if t := ts.all[p.src]; t != nil && p.dst.Addr() == t.server.Addr() {
		switch {
		case ok && p.dst == t.server && t.port == 0 && t.event.File.Name == name:
			t.event.File.Repeats++
			t.last = p.at
			return true
		case !ok:
			ts.fromClient(t, p)
			return true
		}
	}
	if !ok {
		return false
	}
	if t := ts.all[p.src]; t != nil { // its port is used again
		ts.end(t, p.at, ts.unanswered(t))
	}
	e := ts.r.asked(p.src, p.dst, name, "TFTP", p.at)
	if e == nil {
		return true
	}
	for len(ts.all) >= ts.most {
		ts.end(ts.order.Front().Value.(*transfer), p.at, NotSeen)
		ts.r.c.Evicted++
	}
	t := &transfer{event: e, client: p.src, server: p.dst, last: p.at, blockSize: plainBlock, next: 1}
	t.keep = trusted(name)
	if len(options) > 1 {
		e.File.Options = "asked: " + pairs(options)
	}
	t.place = ts.order.PushBack(t)
	ts.all[p.src] = t
	return true
}

// fromClient takes what the phone says to the server's other port.
func (ts *transfers) fromClient(t *transfer, p *packet) {
	if len(p.payload) < 4 {
		return
	}
	switch number := binary.BigEndian.Uint16(p.payload[2:]); binary.BigEndian.Uint16(p.payload) {
	case errPkt:
		ts.end(t, p.at, BrokenOff)
	case ack:
		// It confirms what the capture lacks.
		t.gap = t.gap || number != 0 && number-t.next < maxAhead
	}
}

// pairs writes options as "name=value".
func pairs(words []string) string {
	var all []string
	for i := 0; i+1 < len(words); i += 2 {
		all = append(all, strings.ToLower(words[i])+"="+words[i+1])
	}
	return strings.Join(all, " ")
}

func (ts *transfers) fromServer(t *transfer, p *packet) {
	if len(p.payload) < 4 || t.port != 0 && t.port != p.src.Port() {
		return
	}
	ts.order.MoveToBack(t.place)
	t.last = p.at
	code, rest := binary.BigEndian.Uint16(p.payload), p.payload[2:]
	if code == data || code == oack || code == errPkt {
		t.port = p.src.Port()
	}
	switch code {
	case errPkt:
		t.event.File.Code = int(binary.BigEndian.Uint16(rest))
		result := Refused
		if t.event.File.Code == 1 {
			result = NotFound
		}
		ts.end(t, p.at, result)
	case oack:
		t.agree(rest)
	case data:
		if p.cut {
			ts.end(t, p.at, NotSeen)
			return
		}
		ts.block(t, p.at, binary.BigEndian.Uint16(rest), rest[2:])
	}
}

// agree takes the options that the server acknowledges.
func (t *transfer) agree(b []byte) {
	words := strings.Split(string(bytes.TrimSuffix(b, []byte{0})), "\x00")
	if len(words) > 16 {
		return
	}
	for i := 0; i+1 < len(words); i += 2 {
		n, err := strconv.ParseInt(words[i+1], 10, 64)
		switch {
		case err != nil || n < 0:
		case strings.EqualFold(words[i], "blksize") && n >= 8 && n <= maxBlock:
			t.blockSize = int(n)
		case strings.EqualFold(words[i], "tsize"):
			t.event.File.Size = n
		}
	}
	t.event.File.Options = pairs(words)
}

// block takes a block of data.
func (ts *transfers) block(t *transfer, at time.Time, number uint16, b []byte) {
	switch ahead := number - t.next; {
	case ahead == 0:
	case ahead <= maxAhead:
		if _, there := t.ahead[number]; there {
			t.event.File.Repeats++
			return
		}
		if t.ahead == nil {
			t.ahead = map[uint16][]byte{}
		}
		if ts.r.hold(&t.answer, len(b)) {
			t.ahead[number] = slices.Clone(b)
		}
		return
	default:
		t.event.File.Repeats++
		return
	}
	if len(b) > t.blockSize { // what the server has agreed to is missing
		t.blockSize, t.gap = len(b), true
	}
	for more := true; more; b, more = t.ahead[t.next] {
		delete(t.ahead, t.next)
		t.next++
		t.size += int64(len(b))
		if t.keep && len(t.body) < maxFile && !ts.r.grow(&t.answer, b) {
			t.keep = false
		}
		if len(b) < t.blockSize {
			t.event.File.Size = t.size
			ts.end(t, at, Got)
			return
		}
	}
}

// unanswered is the result of a transfer that did not end.
func (ts *transfers) unanswered(t *transfer) Result {
	switch {
	case t.gap, len(t.ahead) > 0:
		return NotSeen
	case t.port == 0:
		return NoAnswer
	}
	return CutShort
}

func (ts *transfers) end(t *transfer, at time.Time, result Result) {
	delete(ts.all, t.client)
	ts.order.Remove(t.place)
	f := t.event.File
	if result != Got && t.size > 0 && f.Size < t.size {
		f.Size = t.size
	}
	if result == Got && trusted(f.Name) && t.size < maxFile {
		result = ts.r.keep(f, t.body, t.keep)
	}
	t.ahead = nil
	ts.r.release(&t.answer)
	ts.r.close(t.event, at, result)
}

// patience is how long a phone may wait for the next packet.
const patience = 5 * time.Second

// finish ends every transfer at the end of the capture.
func (ts *transfers) finish(at time.Time) {
	for ts.order.Len() > 0 {
		t := ts.order.Front().Value.(*transfer)
		result := ts.unanswered(t)
		if at.Sub(t.last) < patience && t.event == t.event.of.latest {
			result = NotSeen // what came next may be behind the end
		}
		ts.end(t, at, result)
	}
}
