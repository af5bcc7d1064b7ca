package comeback

import (
	"context"
	"slices"
	"testing"
	"time"

	"itlagent/testbench/cluster/registrar"
)

// A phone is back once its registration is another one, whichever node has it; who stays
// away is named when the patience is over.
func TestWait(t *testing.T) {
	was := func(device, node string, serial uint64) registrar.Phone {
		return registrar.Phone{Device: device, Node: node, Serial: serial, Registered: true}
	}
	w := &Watcher{Patience: time.Millisecond, back: make(map[string]bool), before: map[string]Mark{
		"same": {"pub", 1}, "again": {"pub", 2}, "over": {"pub", 3}, "gone": {"pub", 4}, "down": {"pub", 5}}}
	gone := was("gone", "pub", 9)
	gone.Registered = false
	w.phones = func() ([]registrar.Phone, error) {
		return []registrar.Phone{was("same", "pub", 1), was("again", "pub", 6), was("over", "sub", 3), gone, was("new", "pub", 7)}, nil
	}
	var shown []int
	missing, err := w.Wait(t.Context(), func(back, of int) { shown = append(shown, back, of) })
	if err != nil || !slices.Equal(missing, []string{"down", "gone", "same"}) || !slices.Equal(shown, []int{2, 5}) {
		t.Errorf("missing %v, %v, shown %v", missing, err, shown)
	}
	w.phones = func() ([]registrar.Phone, error) { return nil, nil } // both nodes go down: who was back stays so
	if missing, err = w.Look(); err != nil || len(missing) != 3 {
		t.Errorf("missing %v, %v, want the same three", missing, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Patience = time.Hour
	if _, err := w.Wait(ctx, nil); err != context.Canceled {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
