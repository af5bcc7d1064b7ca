package handset_test

import (
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"itlagent/agent/holdings"
	"itlagent/firmware/handset"
)

// parse reads flags as both programs do, and puts a phone together.
func parse(args ...string) error {
	o := handset.Options{MAC: "64A0E71502CC", Interval: time.Minute}
	f := flag.NewFlagSet("phone", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	o.Flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	_, err := handset.New(o, handset.Storage{Store: new(holdings.MemStore)})
	return err
}

// What cannot be meant is refused with a line that says why, not run.
func TestFlags(t *testing.T) {
	for line, want := range map[string]string{
		"-tftp 192.0.2.1":                          "",
		"-tftp 192.0.2.1,192.0.2.2 -tftp pub":      "",
		"-tftp 192.0.2.1 -interval 1ms":            "",
		"":                                         "no TFTP server",
		"-tftp ,":                                  "no TFTP server",
		"-tftp 192.0.2.1 -interval 0":              "at least 1ms",
		"-tftp 192.0.2.1 -interval -1s":            "at least 1ms",
		"-tftp 192.0.2.1 -interval 999us":          "at least 1ms",
		"-tftp 192.0.2.1 -interval 1":              "not a duration",
		"-tftp 192.0.2.1 -interval 300000h":        "at most",
		"-tftp 192.0.2.1 -older never":             "older",
		"-tftp 192.0.2.1 -mac 64A0E71502C":         "12 hex digits",
		"-tftp 192.0.2.1 -mac 64A0E71502CC\x1b[2J": "12 hex digits",
		"-tftp 192.0.2.1 -model 7965":              "model",
		"-tftp 192.0.2.1 -once -console":           "once and console",
	} {
		err := parse(strings.Fields(line)...)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n")) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}
