package holdings

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// Store is what a phone keeps across power cuts. Keys are short names of lower-case
// letters. Get of an absent key returns an error that is fs.ErrNotExist. Put returns
// nil once the value would survive.
type Store interface {
	Get(key string) ([]byte, error)
	Put(key string, value []byte) error
	Delete(key string) error
}

// MemStore is a Store in memory, for phones that need not outlive their process. The
// zero value is empty. It is safe for concurrent use.
type MemStore struct {
	mu     sync.Mutex
	values map[string][]byte
}

// NewMemStore returns a store with copies of the values.
func NewMemStore(values map[string][]byte) *MemStore {
	m := new(MemStore)
	for key, value := range values {
		m.Put(key, value)
	}
	return m
}

// Values returns what is stored. The map is the caller's; the values are not to be
// changed.
func (m *MemStore) Values() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values)
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

// Put stores a copy of the value.
func (m *MemStore) Put(key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	m.values[key] = append([]byte{}, value...)
	return nil
}

// Delete deletes the value; an absent one is no error.
func (m *MemStore) Delete(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}
