package fleet

import (
	"fmt"
	"io/fs"
	"sync"
	"unique"
)

// shared is a holdings.Store in memory whose values are held once in a process, however
// many phones have them: those of one cluster have the same lists. What no phone has any
// more is collected. It is safe for concurrent use.
type shared struct {
	mu     sync.Mutex
	values map[string]unique.Handle[string]
}

func (s *shared) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	return []byte(v.Value()), nil
}

func (s *shared) Put(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = make(map[string]unique.Handle[string])
	}
	s.values[key] = unique.Make(string(value))
	return nil
}

func (s *shared) Delete(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, key)
	return nil
}

// Values returns what is stored. The map is the caller's.
func (s *shared) Values() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte, len(s.values))
	for key, v := range s.values {
		all[key] = []byte(v.Value())
	}
	return all
}
