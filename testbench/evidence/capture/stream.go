package capture

import (
	"slices"
)

// half is one direction of a TCP connection: segments in, bytes in order out.
type half struct {
	known   bool   // next is
	next    uint32 // sequence number of the next byte
	early   []segment
	waiting int  // bytes of early
	lost    bool // a gap was given up: nothing more comes out
	fin     bool // the sender has closed, and all before that came out
	finAt   uint32
	finSeen bool
	acked   uint32 // what the other end has confirmed
}

// segment is one that came before what stands before it. Its bytes are a copy.
type segment struct {
	seq  uint32
	data []byte
}

// start sets where the stream begins.
func (h *half) start(seq uint32) { h.known, h.next, h.acked = true, seq, seq }

// gap reports whether bytes were sent that the capture lacks.
func (h *half) gap() bool {
	return h.known && (len(h.early) > 0 || h.finSeen && h.next != h.finAt || before(h.next, h.acked) && !h.fin)
}

// before reports whether a sequence number is before another one, modulo 2^32 (RFC 9293, 3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// add takes a segment, and gives out what is in order now. room says whether n more bytes
// may wait; where they may not, the stream is lost.
func (h *half) add(seq uint32, data []byte, fin bool, room func(n int) bool, out func([]byte)) {
	if h.lost || !h.known {
		return
	}
	if fin && !h.finSeen {
		h.finSeen, h.finAt = true, seq+uint32(len(data))
	}
	if len(data) > 0 {
		switch end := seq + uint32(len(data)); {
		case !before(h.next, end):
			// it had come
		case before(h.next, seq):
			h.keep(seq, data, room)
		default:
			data = data[h.next-seq:]
			h.next = end
			out(data)
		}
	}
	h.drain(out)
	if h.finSeen && h.next == h.finAt {
		h.fin = true
	}
}

// keep stores a segment that came early.
func (h *half) keep(seq uint32, data []byte, room func(n int) bool) {
	at, found := slices.BinarySearchFunc(h.early, seq, func(s segment, seq uint32) int { return int(int32(s.seq - seq)) })
	if found && len(h.early[at].data) >= len(data) {
		return
	}
	if h.waiting+len(data) > maxEarly || len(h.early) >= maxEarly/64 || !room(len(data)) {
		h.lost = true
		return
	}
	h.early = slices.Insert(h.early, at, segment{seq, slices.Clone(data)})
	h.waiting += len(data)
}

// drain gives out the early segments that are in order now.
func (h *half) drain(out func([]byte)) {
	for len(h.early) > 0 && !before(h.next, h.early[0].seq) {
		s := h.early[0]
		h.early = h.early[1:]
		h.waiting -= len(s.data)
		if end := s.seq + uint32(len(s.data)); before(h.next, end) {
			data := s.data[h.next-s.seq:]
			h.next = end
			out(data)
		}
	}
}
