// Package holdings is what a phone holds: its CTL, ITL and configuration, what was set
// on the phone itself, its certificates, the alarms that wait, and the status messages.
//
//	h := holdings.Open(store, holdings.Options{Model: model})
//	err := h.SetList(list) // stored, read back, then in force
//	now := h.State()       // does not wait
//	err = h.FactoryReset()
//
// The rule: what is in force is what a fresh load would give, after any error too. A
// value is in force once it was stored and read back; after a failure of the storage
// it is read again, and what comes back counts. Each thing is loaded and judged on its
// own, so that a damaged list does not take the configuration with it.
//
// All methods are safe for concurrent use. Values are as large as the storage allows;
// the limits of their kinds are kept by those who parse them.
package holdings

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"itlagent/agent/alarm"
	"itlagent/agent/logger"
	"itlagent/agent/model"
	"itlagent/agent/settings"
	"itlagent/agent/status"
	"itlagent/agent/trustlist"
)

// Options are what Open needs beside the storage.
type Options struct {
	Model model.Model
	// Log keeps the status messages; nil keeps them in the store.
	Log    status.Backend
	Logger logger.Logger
}

// Holdings is what one phone holds.
type Holdings struct {
	store  Store
	opts   Options
	alarms *alarm.Queue

	mu       sync.Mutex // one change at a time
	state    atomic.Pointer[State]
	messages atomic.Pointer[status.Log]
}

// Open loads what is stored. What cannot be read is told as a notice; State().Damage
// names it.
func Open(store Store, o Options) *Holdings {
	h := &Holdings{store: store, opts: o}
	h.state.Store(Load(store))
	for _, err := range h.State().Damaged() {
		o.Logger.Noticef("%v", err)
	}
	var err error
	if h.alarms, err = alarm.Open(store, Alarms); err != nil {
		o.Logger.Noticef("%v", err)
	}
	h.openMessages()
	return h
}

func (h *Holdings) openMessages() {
	backend := h.opts.Log
	if backend == nil {
		kept, err := status.NewKept(h.store, Messages)
		if err != nil {
			h.opts.Logger.Noticef("messages: %v", err)
		}
		backend = kept
	}
	h.messages.Store(status.NewLog(backend, h.opts.Model))
}

// State returns what is in force now.
func (h *Holdings) State() *State { return h.state.Load() }

// Alarms returns the queue of alarms.
func (h *Holdings) Alarms() *alarm.Queue { return h.alarms }

// Messages returns the status messages.
func (h *Holdings) Messages() *status.Log { return h.messages.Load() }

// Retry reads again what could not be read before: a fault of the storage may have
// passed. It returns what is in force then.
func (h *Holdings) Retry() *State {
	if len(h.State().Damaged()) == 0 {
		return h.State()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	next := *h.State()
	for i := range keys {
		if next.damaged[keys[i].Name] != nil {
			next.load(h.store, &keys[i])
		}
	}
	h.state.Store(&next)
	return &next
}

// SetList stores a list and puts it into force. Where it is older than one that was in
// force, the date of that one is stored first, and survives it.
func (h *Holdings) SetList(list *trustlist.File) error {
	held := h.State()
	newest := held.Newest
	latest := newest.of(list.Kind)
	if before := held.list(list.Kind); before != nil && before.Time().After(*latest) {
		*latest = before.Time()
	}
	if list.Time().Before(*latest) && newest != held.Newest {
		if err := h.replace(Newest, newest.encode(), func(s *State) { s.Newest = newest }); err != nil {
			return err
		}
	}
	if list.Kind == trustlist.CTL {
		return h.replace(CTL, list.Bytes(), func(s *State) { s.CTL = list })
	}
	return h.replace(ITL, list.Bytes(), func(s *State) { s.ITL = list })
}

// SetConfig stores a configuration, of which parsed is what was read, and puts it into
// force.
func (h *Holdings) SetConfig(content []byte, parsed settings.Settings) error {
	return h.replace(Config, content, func(s *State) { s.Config, s.Settings = content, parsed })
}

// SetNetwork stores what is set on the phone, and puts it into force. It refuses names
// over 100 bytes or not of printable ASCII, and alternate servers without any.
func (h *Holdings) SetNetwork(n Network) error {
	if err := n.check(); err != nil {
		return err
	}
	return h.replace(Servers, n.encode(), func(s *State) { s.Network = n })
}

// find returns the key of a name that is in the list.
func find(name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	panic("holdings: no key " + name)
}

// replace stores a value and reads it back. set puts it into force where that went well;
// else what a fresh load gives is in force.
func (h *Holdings) replace(name string, value []byte, set func(*State)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := *h.State()
	err := h.persist(name, value)
	if err != nil {
		next.load(h.store, find(name))
	} else {
		set(&next)
		next.mark(name, nil)
	}
	h.state.Store(&next)
	return err
}

// persist stores a value. Only what comes back equal counts.
func (h *Holdings) persist(name string, value []byte) error {
	if err := h.store.Put(name, value); err != nil {
		return err
	}
	back, err := h.store.Get(name)
	if err != nil {
		return fmt.Errorf("read back %s: %w", name, err)
	}
	if !bytes.Equal(back, value) {
		return fmt.Errorf("read back %s: %d bytes that differ from the %d stored", name, len(back), len(value))
	}
	return nil
}

// ConfigLimit returns how many bytes a configuration may have to be stored, as far as the
// storage says. One that stores nothing at all sets no limit: that it failed is another
// reason than too large.
func (h *Holdings) ConfigLimit() int {
	if s, ok := h.store.(interface{ Limit(key string) int }); ok {
		if n := s.Limit(Config); n >= 0 {
			return n
		}
	}
	return math.MaxInt32
}

// Erase deletes trust lists and the dates of those before, as the security menu does.
// The configuration stays.
func (h *Holdings) Erase(kinds ...trustlist.Kind) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := *h.State()
	var all []error
	for _, kind := range kinds {
		name := ITL
		if kind == trustlist.CTL {
			name = CTL
		}
		err := h.store.Delete(name)
		next.load(h.store, find(name))
		if date := next.Newest; err == nil && !date.of(kind).IsZero() {
			*date.of(kind) = time.Time{}
			err = h.persist(Newest, date.encode())
			next.load(h.store, find(Newest))
		}
		all = append(all, err)
	}
	h.state.Store(&next)
	return errors.Join(all...)
}

// FactoryReset deletes all that the phone was not made with. It goes on after an error,
// and what could not be deleted is in force.
func (h *Holdings) FactoryReset() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := *h.State()
	var all []error
	for i := range keys {
		k := &keys[i]
		switch {
		case k.Made:
			continue
		case k.Name == Alarms:
			all = append(all, h.alarms.Clear())
		default:
			all = append(all, h.store.Delete(k.Name))
		}
		next.load(h.store, k)
	}
	h.state.Store(&next)
	h.openMessages()
	return errors.Join(all...)
}
