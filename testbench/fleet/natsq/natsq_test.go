package natsq

import (
	"strings"
	"testing"
	"time"

	"itlagent/testbench/fleet"
)

func job() fleet.Job {
	return fleet.Job{Run: "RUN1", Step: 1, Of: fleet.Range{From: 2, To: 4}, Spec: fleet.Spec{First: "001122000000", Count: 10,
		Models: []string{"CP-7965G"}, Servers: []string{"192.0.2.1"}, AtOnce: 4, Interval: time.Hour}}
}

// A job from the queue is read whole, and one that cannot be done is refused.
func TestReadJob(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fleet.Job)
		want   string
	}{
		{"good", func(*fleet.Job) {}, ""},
		{"no name", func(j *fleet.Job) { j.Run = "" }, "invalid name"},
		{"another subject", func(j *fleet.Job) { j.Run = "a.>" }, "invalid name"},
		{"a step before the first", func(j *fleet.Job) { j.Step = -1 }, "step -1"},
		{"phones of nobody", func(j *fleet.Job) { j.Of.To = 11 }, "not a range"},
		{"too many", func(j *fleet.Job) { j.Spec.Count, j.Of.To = 20_003, 10_003 }, "10001 phones in one range"},
		{"no phones", func(j *fleet.Job) { j.Spec.Count = 0 }, "0 phones"},
		{"an escape", func(j *fleet.Job) { j.Spec.Servers[0] = "\x1b[2J" }, "invalid TFTP server"},
	} {
		j := job()
		c.change(&j)
		data, err := j.MarshalMsg(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got fleet.Job
		err = readJob(data, &got)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		for n := range data {
			if readJob(data[:n], &got) == nil {
				t.Errorf("%s: %d of %d bytes are a job", c.name, n, len(data))
			}
		}
	}
	if err := readJob(make([]byte, maxMessage+1), new(fleet.Job)); err == nil {
		t.Error("a message that is too large is a job")
	}
}

// A password in a URL is in no message.
func TestRedacted(t *testing.T) {
	for _, url := range []string{"nats://joe:secret@192.0.2.1:4222", "nats://joe:secret@[::1", "\x1bnats://joe:secret@h"} {
		if got := redacted(url); strings.Contains(got, "secret") || strings.Contains(got, "\x1b") {
			t.Errorf("%q", got)
		}
	}
}
