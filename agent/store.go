package agent

import (
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// Store is what a phone keeps across power cuts. Keys are short names of lower-
// case letters. Get of an absent key returns an error that is fs.ErrNotExist.
// Put returns once the value would survive; after an error the old value stays.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
	Delete(key string) error
}

// The keys that the agent uses.
const (
	keyCTL    = "ctl"
	keyITL    = "itl"
	keyConfig = "config" // the configuration's XML, without its signature

	keyNetwork = "network" // what was set on the phone: TFTP servers
	// The phone's certificates with their keys, in PEM.
	keyLSC = "lsc" // of its cluster
	keyMIC = "mic" // of its maker
)

// MemStore is a Store in memory, for phones that need not outlive their process.
// The zero value is empty. It is safe for concurrent use.
type MemStore struct {
	mu     sync.Mutex
	values map[string][]byte
}

// Get returns a copy of the value.
func (m *MemStore) Get(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return slices.Clone(v), nil
}

// Put keeps a copy of the value.
func (m *MemStore) Put(key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.values[key] = slices.Clone(value)
	return nil
}

// Delete forgets the value; an absent one is no error.
func (m *MemStore) Delete(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}
