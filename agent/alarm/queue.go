package alarm

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync"
)

// MaxQueued bounds the alarms that wait.
const MaxQueued = 8

// Store keeps values by name, as the agent's does. One with a method Delete(key
// string) error is asked to delete the value when a queue is cleared.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
}

// Queue is the alarms that wait.
type Queue struct {
	store Store
	key   string

	mu               sync.Mutex
	waiting          []Info
	dropped, refused int
}

// Open reads the queue that a store has under a key. One that is damaged counts as
// empty: the error says so, beside a queue that can be used.
func Open(s Store, key string) (*Queue, error) {
	q := &Queue{store: s, key: key}
	data, err := s.Get(key)
	if errors.Is(err, fs.ErrNotExist) {
		return q, nil
	}
	if err != nil {
		return q, fmt.Errorf("queue of alarms: %w", err)
	}
	kept, err := decode(data)
	if err != nil {
		return q, fmt.Errorf("queue of alarms: %w", err)
	}
	q.dropped, q.refused = int(kept.Dropped), int(kept.Refused)
	for _, r := range kept.Waiting {
		q.waiting = append(q.waiting, r.info())
	}
	return q, nil
}

// save writes the queue. The caller holds mu.
func (q *Queue) save() error {
	kept := stored{Dropped: count(q.dropped), Refused: count(q.refused)}
	for _, i := range q.waiting {
		kept.Waiting = append(kept.Waiting, recordOf(i))
	}
	data, err := kept.MarshalMsg(nil)
	if err != nil {
		return fmt.Errorf("queue of alarms: %w", err)
	}
	return q.store.Put(q.key, data)
}

// Add appends an alarm; of one that is too many the oldest is dropped. Fields are
// cut to bounded.MaxLen bytes. After an error the alarm waits in memory alone, until
// the next change is stored.
func (q *Queue) Add(i Info) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == MaxQueued {
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.dropped++
	}
	r := recordOf(i)
	q.waiting = append(q.waiting, r.info())
	return q.save()
}

// Waiting returns the alarms that wait, oldest first, and how many were dropped
// because too many waited. Hashes must not be changed.
func (q *Queue) Waiting() (waiting []Info, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.waiting), q.dropped
}

// Refused returns how many alarms ended because servers refused them for good.
func (q *Queue) Refused() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refused
}

// SendOneWay sends the alarms that wait, oldest first, by a way on which nobody answers
// them, with the address of the connection's own end where they have none. It ends at the
// first that cannot be sent.
func (q *Queue) SendOneWay(local net.Addr, send func(xml []byte) error) error {
	for {
		waiting, _ := q.Waiting()
		if len(waiting) == 0 {
			return nil
		}
		i := waiting[0]
		i.ownAddress(local)
		if err := send(i.Body()); err != nil {
			return err
		}
		if err := q.remove(waiting[0], false); err != nil {
			return err
		}
	}
}

// Clear drops all that waits, and the counts, and deletes the stored value. After an
// error everything is as before.
func (q *Queue) Clear() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var err error
	if s, ok := q.store.(interface{ Delete(key string) error }); ok {
		err = s.Delete(q.key)
	} else {
		var data []byte
		if data, err = new(stored).MarshalMsg(nil); err == nil {
			err = q.store.Put(q.key, data)
		}
	}
	if err != nil {
		return fmt.Errorf("queue of alarms: %w", err)
	}
	q.waiting, q.dropped, q.refused = nil, 0, 0
	return nil
}

// remove removes an alarm that a server has accepted, or refused for good. After an
// error it is stored still, and would be sent again after a restart.
func (q *Queue) remove(i Info, refused bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if refused {
		q.refused++
	}
	if len(q.waiting) == 0 || !q.waiting[0].Equal(i) {
		if !refused {
			return nil // dropped in the meantime
		}
		return q.save()
	}
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return q.save()
}
