package scenario_test

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"itlagent/testbench/scenario"
)

var stops = flag.Int("stops", 6, "how often TestStopUnderSteps stops a scenario")

// cancelling ends a context at the n-th write.
type cancelling struct {
	left int
	stop context.CancelFunc
}

func (c *cancelling) Write(p []byte) (int, error) {
	if c.left--; c.left == 0 {
		c.stop()
	}
	return len(p), nil
}

// A scenario that is stopped at any step ends, and leaves nothing running that the next
// one would meet (run it with -race).
func TestStopUnderSteps(t *testing.T) {
	stopped := 0
	for i := range *stops {
		names := []string{"recovery-note", "mixed-mode", "directory"}
		s, err := scenario.Load(names[i%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan scenario.Result, 1)
		go func() {
			ended <- scenario.Run(ctx, s, scenario.Options{Dir: t.TempDir(), Out: &cancelling{left: 1 + i/len(names)%12, stop: stop}})
		}()
		select {
		case r := <-ended:
			if errors.Is(r.Err, context.Canceled) || r.Err != nil && ctx.Err() != nil {
				stopped++
			} else if r.Err != nil {
				t.Errorf("%s: %v\n%s", s.Name, r.Err, r.Journal)
			}
		case <-time.After(3 * time.Minute):
			t.Fatalf("%s, stopped at line %d, hangs", s.Name, 1+i/len(names)%12)
		}
		stop()
	}
	t.Logf("%d of %d were stopped before their end", stopped, *stops)
	if stopped == 0 {
		t.Error("none was stopped")
	}
}
