package portal

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// hub tells everybody who waits that the cluster changed: one look at it, however many
// wait.
type hub struct {
	mark func() any // another value where something changed

	mu      sync.Mutex
	waiting map[chan struct{}]bool
}

const (
	lookEvery = 500 * time.Millisecond
	// aliveEvery is how often a stream says something: what is behind a connection that was
	// lost is noticed by that.
	aliveEvery = 20 * time.Second
)

// run looks until the context ends. Where nobody waits, it does not look.
func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := h.mark()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.mu.Lock()
		n := len(h.waiting)
		h.mu.Unlock()
		if n == 0 {
			continue
		}
		if now := h.mark(); now != last {
			last = now
			h.tell()
		}
	}
}

// tell wakes everybody; who has not looked since the last time is not told twice.
func (h *hub) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// join returns a channel that hears of changes, or nil where too many wait.
func (h *hub) join() chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) >= maxStreams {
		return nil
	}
	if h.waiting == nil {
		h.waiting = make(map[chan struct{}]bool)
	}
	c := make(chan struct{}, 1)
	h.waiting[c] = true
	return c
}

func (h *hub) leave(c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, c)
}

// stream sends an event whenever the cluster changed, as server-sent events (WHATWG HTML,
// section 9.2). It says that something changed and not what: pages then ask for their part.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	c := s.hub.join()
	if c == nil {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many pages follow the cluster; this one stays as it is until it is loaded again", http.StatusServiceUnavailable)
		return
	}
	defer s.hub.leave(c)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	out.SetReadDeadline(time.Time{})
	for line := "retry: 5000\n\n"; ; {
		out.SetWriteDeadline(time.Now().Add(readTime))
		if _, err := fmt.Fprint(w, line); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-c:
			line = "event: changed\ndata: \n\n"
		case <-alive.C:
			line = ": alive\n\n"
		}
	}
}
