package rfc2217

import (
	"os"
	"sync"
	"time"
)

// maxInbox bounds what arrived and nobody has read yet, in bytes. Beyond it the peer is
// held back, commands and all.
const maxInbox = 1 << 20

// inbox is data that arrived and waits to be read. Its Read obeys a deadline.
type inbox struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	err      error // of the peer, once the data is read
	closed   bool
	deadline time.Time
	timer    *time.Timer
}

func newInbox() *inbox {
	i := new(inbox)
	i.changed = sync.NewCond(&i.mu)
	return i
}

// put adds data, and waits while there is too much.
func (i *inbox) put(b []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.data) >= maxInbox && !i.closed {
		i.changed.Wait()
	}
	i.data = append(i.data, b...)
	i.changed.Broadcast()
}

// end says that nothing more arrives.
func (i *inbox) end(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
	i.changed.Broadcast()
}

// Read implements io.Reader.
func (i *inbox) Read(b []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for {
		switch {
		case i.closed:
			return 0, os.ErrClosed
		case !i.deadline.IsZero() && !time.Now().Before(i.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(i.data) > 0 || len(b) == 0:
			n := copy(b, i.data)
			if i.data = i.data[n:]; len(i.data) == 0 {
				i.data = nil
			}
			i.changed.Broadcast()
			return n, nil
		case i.err != nil:
			return 0, i.err
		}
		i.changed.Wait()
	}
}

// SetReadDeadline implements serial.Stream.
func (i *inbox) SetReadDeadline(t time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer != nil {
		i.timer.Stop()
		i.timer = nil
	}
	i.deadline = t
	if !t.IsZero() {
		i.timer = time.AfterFunc(time.Until(t), func() {
			i.mu.Lock()
			defer i.mu.Unlock()
			i.changed.Broadcast()
		})
	}
	i.changed.Broadcast()
	return nil
}

func (i *inbox) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.timer != nil {
		i.timer.Stop()
	}
	i.changed.Broadcast()
}
