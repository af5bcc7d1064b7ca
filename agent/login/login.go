// Package login makes guessing passwords slow: each wrong one makes the next wait
// longer, for the console or the address that it came from and for no other.
//
//	var guesses login.Delay
//	wait, ok := guesses.Begin(peer) // before the password is looked at
//	...                             // wait that long, or refuse where not ok
//	guesses.Right(peer)             // where it was the right one
//
// The right password waits as the wrong ones do, else the wait would tell which is
// which. A guess counts as wrong until Right is called: many at once are no way around
// the wait. No wait is longer than Longest, so that nobody can keep the owner out for
// longer than that from another peer, or from the same one once they stop.
//
// The zero Delay is ready. It is safe for concurrent use. It remembers at most maxPeers.
// The figures are this project's choice; no source has those of phones or of CUCM.
package login

import (
	"sync"
	"time"
)

// Figures of a Delay.
const (
	First    = 500 * time.Millisecond // behind the first wrong password; doubled by each
	Longest  = 10 * time.Second       // between two guesses, and so 6 a minute at most
	Queue    = 2 * Longest            // a guess that would have to wait longer is refused unseen
	Forget   = 15 * time.Minute       // without a guess, and all is forgotten
	maxPeers = 1024
)

// Delay knows who has guessed, and when.
type Delay struct {
	Now func() time.Time // time.Now where nil

	mu    sync.Mutex
	peers map[string]*peer
}

type peer struct {
	wrong int       // guesses in a row
	next  time.Time // when the next guess may be looked at
}

func (d *Delay) now() time.Time {
	if d.Now == nil {
		return time.Now()
	}
	return d.Now()
}

// Begin counts a guess, and returns how long it has to wait before it is looked at. Not
// ok, it must be refused: too many guesses of this peer wait already.
func (d *Delay) Begin(name string) (wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	p := d.peers[name]
	if p == nil || now.Sub(p.next) > Forget {
		p = d.add(name, now)
	}
	at := p.next
	if at.Before(now) {
		at = now
	}
	if wait = at.Sub(now); wait > Queue {
		return wait, false
	}
	p.wrong++
	p.next = at.Add(pause(p.wrong))
	return wait, true
}

// pause is the time behind so many wrong guesses.
func pause(wrong int) time.Duration {
	d := First
	for range wrong - 1 {
		if d *= 2; d >= Longest {
			return Longest
		}
	}
	return d
}

// add makes room for a peer: the one whose guesses are the oldest is dropped.
func (d *Delay) add(name string, now time.Time) *peer {
	if d.peers == nil {
		d.peers = make(map[string]*peer)
	}
	if len(d.peers) >= maxPeers {
		oldest := ""
		for n, p := range d.peers {
			if oldest == "" || p.next.Before(d.peers[oldest].next) {
				oldest = n
			}
		}
		delete(d.peers, oldest)
	}
	p := &peer{next: now}
	d.peers[name] = p
	return p
}

// Right says that a peer's password was the right one: it waits no more.
func (d *Delay) Right(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers, name)
}
