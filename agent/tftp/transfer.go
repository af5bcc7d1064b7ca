package tftp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"itlagent/agent/printable"
)

// transfer is one file on its way: what has come, from whom, and what is to be sent
// next. It knows neither socket nor clock.
type transfer struct {
	name   string
	limit  int
	ask    Options
	server netip.AddrPort                 // that the request goes to
	late   func(from netip.AddrPort) bool // reports the peer of a transfer before us on this port; may be nil

	peer      netip.AddrPort // whose answer was the first; invalid until then
	blockSize int            // bytes
	window    int            // blocks
	size      int            // bytes that the server announced, -1: none
	data      []byte
	last      uint16 // number of the block that came last, in order
	unacked   int    // blocks since the last ACK
	gap       bool   // a block is missing, and was asked for

	fresh, useless int    // packets of the peer that brought something, and that did not
	requests       int    // RRQ packets sent
	strangers      int    // packets from other ports of the server
	complaints     int    // ERROR packets sent to others
	over           bool   // the peer has ended the transfer
	refused        error  // why an answer was not taken for ours, for the error at the end
	out            []byte // what is sent until something new comes
}

func newTransfer(server netip.AddrPort, name string, limit int, ask Options) (*transfer, error) {
	if err := ask.valid(); err != nil {
		return nil, err
	}
	out, err := request(name, ask)
	if err != nil {
		return nil, err
	}
	return &transfer{name: name, limit: limit, ask: ask, server: server, blockSize: plainBlock, window: 1, size: -1, out: out}, nil
}

// bufferSize is that of the largest valid datagram and one byte more, by which a larger
// one is known.
func (t *transfer) bufferSize() int {
	return headerSize + max(t.blockSize, t.ask.BlockSize, plainBlock) + 1
}

// onlyPeer returns the peer where nobody else can have answered, else an invalid one.
func (t *transfer) onlyPeer() netip.AddrPort {
	if t.requests > 1 || t.strangers > 0 {
		return netip.AddrPort{}
	}
	return t.peer
}

// noAnswer is the error for a peer, or a server, that has fallen silent.
func (t *transfer) noAnswer() error {
	switch {
	case t.peer.IsValid():
		return fmt.Errorf("%w to block %d, sent %d times", ErrNoAnswer, t.last, Tries)
	case t.refused != nil:
		return fmt.Errorf("%w to the request, sent %d times; not taken: %w", ErrNoAnswer, Tries, t.refused)
	}
	return fmt.Errorf("%w to the request, sent %d times", ErrNoAnswer, Tries)
}

// to is where out goes.
func (t *transfer) to() netip.AddrPort {
	if t.peer.IsValid() {
		return t.peer
	}
	return t.server
}

// packet returns what is to be sent, now or once more.
func (t *transfer) packet() []byte {
	t.unacked = 0
	if !t.peer.IsValid() {
		t.requests++
	}
	return t.out
}

// result is what a datagram came to.
type result struct {
	fresh    bool   // something new: the tries begin again
	send     bool   // out is to be sent
	done     bool   // the file is complete, after out was sent
	stray    bool   // not of our peer
	complain []byte // an ERROR for whoever sent the datagram; nil: none
}

// abort ends a transfer; the peer is told the code.
type abort struct {
	code uint16
	error
}

func (a *abort) Unwrap() error { return a.error }

// receive judges one datagram. An error ends the transfer. Only a packet of the peer can
// cause one, or, as long as there is no peer, an ERROR of the server that was asked.
func (t *transfer) receive(from netip.AddrPort, b []byte) (result, error) {
	if from.Addr().WithZone("") != t.server.Addr().WithZone("") {
		return result{stray: true}, nil // and no answer: the sender's address may be forged
	}
	if !t.peer.IsValid() {
		return t.first(from, b)
	}
	if from != t.peer {
		// Another answer to a request that was sent twice, or a packet of a transfer before.
		t.strangers++
		return result{stray: true, complain: t.complaint()}, nil
	}
	p, err := parse(b)
	if err == nil {
		switch p.op {
		case opDATA:
			return t.block(p)
		case opERROR:
			t.over = true
			return result{}, fmt.Errorf("the server ended the transfer: %s", said(p))
		}
	}
	// Malformed, or the OACK once more: the server has not got our ACK, which is sent
	// again when its time has come.
	return result{}, t.nothingNew()
}

// first judges what may be the first answer: DATA 1, OACK or ERROR. Anything else belongs
// to another transfer. It gets no ERROR in return: its sender may have taken our request
// all the same, and would end our transfer.
func (t *transfer) first(from netip.AddrPort, b []byte) (result, error) {
	if t.late != nil && t.late(from) {
		t.strangers++
		return result{stray: true, complain: t.complaint()}, nil
	}
	p, err := parse(b)
	if err != nil {
		t.strangers++
		return result{stray: true}, nil
	}
	switch {
	case p.op == opDATA && p.block == 1 && len(p.data) <= plainBlock:
		t.peer = from // the server ignores options, or none were asked for
		return t.block(p)
	case p.op == opERROR && (p.code == codeOptions || p.code == codeIllegal) && t.ask != (Options{}):
		t.strangers++
		t.ask = Options{}
		t.out, err = request(t.name, t.ask)
		return result{fresh: true, send: true}, err
	case p.op == opERROR && p.code == codeUnknown:
		// No answer to a request, but to a packet that was sent to somebody else, at a port
		// that is ours by now.
		t.strangers++
		return result{stray: true}, nil
	case p.op == opERROR && p.code == codeNotFound:
		t.peer, t.over = from, true
		return result{}, ErrNotFound
	case p.op == opERROR:
		// It may be such an answer as well: then that of the server is still to come.
		t.strangers++
		t.peer, t.over = from, true
		return result{}, fmt.Errorf("the server refused: %s", said(p))
	case p.op == opOACK:
		return t.accept(from, p.options)
	}
	t.strangers++
	t.refused = fmt.Errorf("block %d of %d bytes does not begin a file", p.block, len(p.data))
	return result{stray: true}, nil
}

// accept judges an OACK. One that does not fit the request is not an answer to it.
func (t *transfer) accept(from netip.AddrPort, options []option) (result, error) {
	block, window, size := plainBlock, 1, -1
	seen := map[string]bool{}
	for _, o := range options {
		n, err := strconv.ParseUint(o.value, 10, 63)
		low, high := uint64(1), uint64(0) // what was not asked for has no value that is right
		switch o.name {
		case "blksize":
			if t.ask.BlockSize != 0 {
				low, high = uint64(min(t.ask.BlockSize, smallestBlock)), uint64(t.ask.BlockSize)
			}
			block = int(n)
		case "timeout":
			if t.ask.Timeout != 0 {
				low, high = uint64(t.ask.Timeout), uint64(t.ask.Timeout)
			}
		case "windowsize":
			high = uint64(t.ask.Window)
			window = int(n)
		case "tsize":
			if t.ask.Size {
				low, high = 0, 1<<62
			}
			size = int(min(n, uint64(t.limit)+1))
		}
		if err != nil || n < low || n > high || seen[o.name] {
			t.strangers++
			t.refused = fmt.Errorf("option %s=%s was not asked for", printable.Clip(o.name, 20), printable.Clip(o.value, 20))
			return result{stray: true}, nil
		}
		seen[o.name] = true
	}
	if len(options) == 0 {
		t.strangers++
		return result{stray: true}, nil
	}
	t.peer, t.blockSize, t.window, t.size = from, block, window, size
	if size > t.limit {
		return result{}, &abort{codeDiskFull, fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, t.limit)}
	}
	t.fresh++
	t.out = ack(0)
	return result{fresh: true, send: true}, nil
}

// block judges DATA of the peer.
func (t *transfer) block(p packet) (result, error) {
	if len(p.data) > t.blockSize {
		return result{}, t.nothingNew()
	}
	if p.block != t.last+1 {
		// Behind a gap in a window, the ACK of what came before it makes the server go
		// back (RFC 7440, section 4). Once: every other block behind the gap would ask it
		// again. Everything else was here before.
		ahead := p.block - t.last
		if ask := !t.gap && t.window > 1 && ahead > 1 && int(ahead) <= t.window; ask {
			t.gap, t.unacked = true, 0
			t.out = ack(t.last)
			return result{send: true}, t.nothingNew()
		}
		return result{}, t.nothingNew()
	}
	if len(t.data)+len(p.data) > t.limit {
		return result{}, &abort{codeDiskFull, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, t.limit)}
	}
	if t.size >= 0 && len(t.data)+len(p.data) > t.size {
		return result{}, &abort{codeOther, fmt.Errorf("more than the announced %d bytes", t.size)}
	}
	t.data = append(t.data, p.data...)
	t.last++ // 0 follows 65535
	t.fresh++
	t.unacked++
	t.gap = false
	t.out = ack(t.last)
	done := len(p.data) < t.blockSize
	if done && t.size >= 0 && len(t.data) != t.size {
		return result{}, &abort{codeOther, fmt.Errorf("ends after %d of the announced %d bytes", len(t.data), t.size)}
	}
	send := done || t.unacked >= t.window
	if send {
		t.unacked = 0
	}
	return result{fresh: true, send: send, done: done}, nil
}

// nothingNew counts a packet of the peer that changes nothing.
func (t *transfer) nothingNew() error {
	if t.useless++; t.useless > wordyServer+2*t.fresh {
		return &abort{codeOther, errors.New("the server repeats itself")}
	}
	return nil
}

// complaint returns an ERROR for a sender that is not our peer, a few times.
func (t *transfer) complaint() []byte {
	if t.complaints >= maxComplaints {
		return nil
	}
	t.complaints++
	return errorPacket(codeUnknown, "unknown transfer ID")
}

// said is an ERROR's code and text, safe to print.
func said(p packet) string {
	if p.text == "" {
		return fmt.Sprintf("error %d", p.code)
	}
	return fmt.Sprintf("error %d, %s", p.code, printable.Clip(p.text, 120))
}
