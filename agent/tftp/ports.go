package tftp

import (
	"net/netip"
	"sync"
	"time"
)

// ports remembers what may still arrive at local ports whose transfer has ended, so that
// the next transfer on the same port does not take it for its own. A packet that comes
// late is told by its sender's port: every answer to a request comes from a port of its
// own. Which one that was is known where one request had one answer; where a request
// went out more than once, or nobody answered, an answer may come from a port that we
// have never seen, and the local port rests until the server has given up.
//
// The zero value is ready. It is safe for concurrent use.
type ports struct {
	mu    sync.Mutex
	late  map[uint16]*lately
	sweep int // number of entries at which those that are over are removed
}

// lately is what happened on one port.
type lately struct {
	until time.Time // after which nothing comes any more
	rests bool      // anything may come
	peers []netip.AddrPort
}

// maxPeers bounds what is remembered of one port; then it rests.
const maxPeers = 8

// free reports whether a request from the port to the server can be told from whatever
// else may come, and returns the function that tells.
func (p *ports) free(port uint16, server netip.AddrPort, now time.Time) (late func(netip.AddrPort) bool, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.late[port]
	if l == nil || now.After(l.until) {
		return nil, true
	}
	// A server that answers from the port it was asked at answers every request from it.
	if l.rests || has(l.peers, server) {
		return nil, false
	}
	peers := append([]netip.AddrPort(nil), l.peers...)
	return func(from netip.AddrPort) bool { return has(peers, from) }, true
}

// ended remembers a transfer. A peer that is not valid makes the port rest.
func (p *ports) ended(port uint16, peer netip.AddrPort, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late == nil {
		p.late = map[uint16]*lately{}
	}
	l := p.late[port]
	if l == nil || now.After(l.until) {
		l = new(lately)
		p.late[port] = l
	}
	l.until = now.Add(lateTime)
	if !peer.IsValid() || len(l.peers) == maxPeers {
		l.rests, l.peers = true, nil
	}
	if !l.rests {
		l.peers = append(l.peers, peer)
	}
	if len(p.late) >= p.sweep {
		for port, l := range p.late {
			if now.After(l.until) {
				delete(p.late, port)
			}
		}
		p.sweep = 2*len(p.late) + 64
	}
}

func has(peers []netip.AddrPort, one netip.AddrPort) bool {
	for _, p := range peers {
		if p == one {
			return true
		}
	}
	return false
}
