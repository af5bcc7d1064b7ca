package portal

import (
	"context"
	"sync"

	"itlagent/testbench/cluster/state"
)

// memory keeps what was found out last of one state of the cluster, up to maxKept values.
// Its zero value is empty.
type memory[T any] struct {
	mu   sync.Mutex
	of   *state.State
	kept map[string]T
}

const maxKept = 64

func (m *memory[T]) get(of *state.State, key string) (v T, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == of {
		v, ok = m.kept[key]
	}
	return v, ok
}

func (m *memory[T]) put(of *state.State, key string, v T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of != of || len(m.kept) >= maxKept {
		m.of, m.kept = of, make(map[string]T)
	}
	m.kept[key] = v
}

// atWork waits for a place among those that explain and plan, and gives it up with done.
func (s *Server) atWork(ctx context.Context) (work context.Context, done func(), err error) {
	work, cancel := context.WithTimeout(ctx, workTime)
	select {
	case s.work <- struct{}{}:
		return work, func() { cancel(); <-s.work }, nil
	case <-work.Done():
		cancel()
		return nil, nil, work.Err()
	}
}
