package capture

import (
	"container/list"
	"net/netip"
	"time"
)

// The directions of a connection.
const (
	fromClient = 0
	fromServer = 1
	nobody     = 2 // has closed: the capture ends before
)

// pair names a connection: who opened it first.
type pair struct{ client, server netip.AddrPort }

// ending says how a connection ended.
type ending struct {
	at      time.Time
	by      int  // who closed first
	reset   bool // by RST
	refused bool // SYN was answered by RST
	silent  bool // SYN was not answered
	evicted bool // it was given up for others
}

// parser reads the bytes of a connection, in order.
type parser interface {
	data(dir int, at time.Time, b []byte)
	lost(dir int) // bytes are missing in the capture
	end(e ending)
}

// flow is one TCP connection.
type flow struct {
	pair
	opened, last time.Time
	syn          uint32 // of the client, where it was seen
	synSeen      bool
	answered     bool
	halves       [2]half
	told         [2]bool // of lost bytes
	parser       parser  // nil before the first byte of the client
	dull         bool    // it is nothing that is looked at
	by           int
	place        *list.Element
}

// flows are the connections that are followed, the one with the oldest packet first to go.
type flows struct {
	most    int
	all     map[pair]*flow
	order   *list.List // of *flow, the latest packet last
	waiting int        // bytes that wait in all of them
	evicted int
	// begin returns what reads a connection whose client begins with these bytes, nil where
	// nothing does.
	begin func(f *flow, first []byte) parser
	// failed is told of a connection that never had data.
	failed func(f *flow, e ending)
}

func newFlows(most int) *flows {
	return &flows{most: most, all: map[pair]*flow{}, order: list.New()}
}

// packet takes a TCP segment.
func (fs *flows) packet(p *packet) {
	key, dir := pair{p.src, p.dst}, fromClient
	f := fs.all[key]
	if f == nil {
		if f = fs.all[pair{p.dst, p.src}]; f != nil {
			dir = fromServer
		}
	}
	opens := p.tcp.SYN && !p.tcp.ACK
	if opens && f != nil && !(dir == fromClient && f.synSeen && f.syn == p.tcp.Seq) {
		fs.end(f, ending{at: p.at, by: f.by}) // its ports are used again
		f = nil
	}
	if f == nil {
		if f = fs.open(p, opens); f == nil {
			return
		}
		dir = fromClient
	}
	f.last = p.at
	fs.order.MoveToBack(f.place)
	fs.segment(f, dir, p)
}

// open begins to follow a connection: at its SYN, or in its middle where a client says what is
// looked at.
func (fs *flows) open(p *packet, opens bool) *flow {
	if !opens && (p.tcp.SYN || p.tcp.RST || kindOf(p.payload) == kindNone) {
		return nil
	}
	for len(fs.all) >= fs.most {
		fs.evicted++
		oldest := fs.order.Front().Value.(*flow)
		fs.end(oldest, ending{at: p.at, by: nobody, evicted: true})
	}
	f := &flow{pair: pair{p.src, p.dst}, opened: p.at, by: nobody}
	if opens {
		f.syn, f.synSeen = p.tcp.Seq, true
		f.halves[fromClient].start(p.tcp.Seq + 1)
	} else {
		f.answered = true
		f.halves[fromClient].start(p.tcp.Seq)
		f.halves[fromServer].start(p.tcp.Ack)
	}
	f.place = fs.order.PushBack(f)
	fs.all[f.pair] = f
	return f
}

// segment takes what a segment carries.
func (fs *flows) segment(f *flow, dir int, p *packet) {
	h := &f.halves[dir]
	if other := &f.halves[1-dir]; p.tcp.ACK && !p.tcp.RST && other.known && before(other.acked, p.tcp.Ack) {
		other.acked = p.tcp.Ack
	}
	if dir == fromServer && p.tcp.SYN {
		f.answered = true
		h.start(p.tcp.Seq + 1)
	} else if dir == fromServer && !h.known && !p.tcp.RST {
		f.answered = true // SYN and ACK are missing in the capture
		h.start(p.tcp.Seq)
	}
	if dir == fromClient && p.tcp.ACK && !p.tcp.RST {
		f.answered = true // or there would be nothing to confirm
	}
	if !f.dull && !p.tcp.SYN {
		waited := h.waiting
		h.add(p.tcp.Seq, p.payload, p.tcp.FIN && !p.cut, func(n int) bool { return fs.waiting+n <= maxAllEarly }, func(b []byte) { fs.data(f, dir, p.at, b) })
		fs.waiting += h.waiting - waited
		fs.tell(f, dir)
	}
	if (p.tcp.FIN || p.tcp.RST) && f.by == nobody {
		f.by = dir
	}
	switch {
	case p.tcp.RST:
		fs.end(f, ending{at: p.at, by: f.by, reset: true, refused: dir == fromServer && !f.answered})
	case f.halves[fromClient].finSeen && f.halves[fromServer].finSeen && (f.dull || f.halves[fromClient].done() && f.halves[fromServer].done()):
		fs.end(f, ending{at: p.at, by: f.by})
	case f.dull:
		fs.drop(f)
	}
}

// done reports whether nothing more comes.
func (h *half) done() bool { return h.fin || h.lost }

// data hands bytes on.
func (fs *flows) data(f *flow, dir int, at time.Time, b []byte) {
	if f.parser == nil && !f.dull {
		if dir == fromClient {
			f.parser = fs.begin(f, b)
		}
		f.dull = f.parser == nil
	}
	if f.parser != nil {
		f.parser.data(dir, at, b)
	}
}

// tell tells the parser of lost bytes, once.
func (fs *flows) tell(f *flow, dir int) {
	if f.halves[dir].lost && !f.told[dir] {
		f.told[dir] = true
		if f.parser != nil {
			f.parser.lost(dir)
		} else {
			f.dull = true
		}
	}
}

// end ends a connection.
func (fs *flows) end(f *flow, e ending) {
	fs.drop(f)
	for dir := range f.halves {
		if h := &f.halves[dir]; h.gap() && !h.lost {
			h.lost = true
			fs.tell(f, dir)
		}
	}
	switch {
	case f.parser != nil:
		f.parser.end(e)
	case !f.dull:
		e.silent = !f.answered && !e.refused
		fs.failed(f, e)
	}
}

func (fs *flows) drop(f *flow) {
	if fs.all[f.pair] != f {
		return
	}
	for dir := range f.halves {
		fs.waiting -= f.halves[dir].waiting
		f.halves[dir].waiting = 0
	}
	delete(fs.all, f.pair)
	fs.order.Remove(f.place)
}

// finish ends every connection at the end of the capture.
func (fs *flows) finish(at time.Time) {
	for fs.order.Len() > 0 {
		f := fs.order.Front().Value.(*flow)
		fs.end(f, ending{at: at, by: f.by})
	}
}
