package handset_test

import (
	"flag"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"itlagent/agent/holdings"
	"itlagent/agent/shell"
	"itlagent/firmware/handset"
	"itlagent/platform/console"
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

// A shell that ends after wrong logins is followed by one that waits on: the wait grows
// over shells, up to its limit.
func TestWrongLoginsOverShells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(holdings.MemStore)
		if err := store.Put(holdings.Config, []byte("<device><sshUserId>admin</sshUserId><sshPassword>secret</sshPassword></device>")); err != nil {
			t.Fatal(err)
		}
		h, err := handset.New(handset.Options{MAC: "64A0E71502CC", Model: "CP-7965G", Servers: handset.Servers{"192.0.2.1"}, Older: "warn"}, handset.Storage{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		var took []time.Duration
		for range 3 {
			begin := time.Now()
			in := strings.NewReader("admin\nwrong\n")
			h.Shell(console.NewPlain(in, io.Discard), shell.Options{}).Loop(t.Context())
			took = append(took, time.Since(begin))
		}
		if took[1] <= took[0] || took[2] <= took[1] {
			t.Errorf("the shells waited %v: each is to wait longer", took)
		}
	})
}
