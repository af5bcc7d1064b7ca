package main

import (
	"testing"
	"time"

	"itlagent/testbench/fleet"
	"itlagent/testbench/fleet/natsq"
)

// A worker of another version, or whose clock is wrong, is named; others are not.
func TestUnfitWorkers(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		version int
		ahead   time.Duration
		want    string
	}{
		{natsq.Version, 0, ""},
		{natsq.Version, 4 * time.Second, ""},
		{natsq.Version, 10 * time.Second, "the clock of worker w is 10s ahead"},
		{natsq.Version, -10 * time.Second, "the clock of worker w is 10s behind"},
		{natsq.Version + 1, 0, "worker w speaks version 2, not 1: it gets none of these jobs"},
	} {
		b := fleet.Beat{Version: c.version, Worker: "w", Time: now.Add(c.ahead)}
		if got := unfit(&b, "w", now); got != c.want {
			t.Errorf("version %d, %v ahead: %q, want %q", c.version, c.ahead, got, c.want)
		}
	}
}
