package login

import (
	"fmt"
	"testing"
	"time"
)

// clock is the time, which the test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func TestWaitsGrow(t *testing.T) {
	c := &clock{time.Unix(1<<30, 0)}
	d := &Delay{Now: c.now}
	const half = First
	for i, want := range []time.Duration{0, half, 2 * half, 4 * half, 8 * half, 16 * half, Longest, Longest} {
		got, ok := d.Begin("a")
		if got != want || !ok {
			t.Errorf("guess %d waits %v, %v, want %v", i+1, got, ok, want)
		}
		c.Time = c.Add(got)
	}
	if got, _ := d.Begin("b"); got != 0 {
		t.Errorf("somebody else waits %v", got)
	}
	d.Right("a")
	if got, _ := d.Begin("a"); got != 0 {
		t.Errorf("after the right password: %v", got)
	}
	c.Time = c.Add(Forget + First + 1)
	if got, _ := d.Begin("a"); got != 0 {
		t.Errorf("after a long time: %v", got)
	}
}

// 510 guesses at once get no further than those one after the other, and leave nobody
// waiting for longer than Queue.
func TestGuessesAtOnce(t *testing.T) {
	c := &clock{time.Unix(1<<30, 0)}
	d := &Delay{Now: c.now}
	looked := 0
	for range 510 {
		if wait, ok := d.Begin("a"); ok && wait <= Queue {
			looked++
		}
	}
	if looked > 8 {
		t.Errorf("%d guesses of 510 are looked at within %v", looked, Queue)
	}
	c.Time = c.Add(Queue)
	if wait, ok := d.Begin("a"); !ok || wait > Longest {
		t.Errorf("once they stop, the owner waits %v, %v", wait, ok)
	}
}

func TestManyPeers(t *testing.T) {
	c := &clock{time.Unix(1<<30, 0)}
	d := &Delay{Now: c.now}
	for range 10 {
		d.Begin("guesser")
		c.Time = c.Add(Longest)
	}
	d.Begin("guesser")
	for i := range 3 * maxPeers {
		d.Begin(fmt.Sprint(i))
		if len(d.peers) > maxPeers {
			t.Fatalf("%d peers are remembered", len(d.peers))
		}
	}
	if wait, _ := d.Begin("guesser"); wait != Longest {
		t.Errorf("a crowd of others made it forget a guesser: %v", wait)
	}
}
