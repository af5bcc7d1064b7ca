package limits_test

import (
	"flag"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"itlagent/platform/limits"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{
		"1s": "", "24h": "", "90s": "", "0": "at least 1s", "0s": "at least 1s", "-1m": "at least 1s", "999ms": "at least 1s",
		"24h0m0.000000001s": "at most 24h0m0s", "-2562047h": "at least 1s", "1h2d": "not a duration", "": "not a duration", "10": "not a duration", "NaN": "not a duration",
		"9999999h": "not a duration",
	} {
		d := 10 * time.Minute
		v := limits.Duration(&d, time.Second, 24*time.Hour)
		err := v.Set(text)
		if want == "" {
			if parsed, _ := time.ParseDuration(text); err != nil || d != parsed || v.String() != d.String() {
				t.Errorf("%q: %v, %v", text, d, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || d != 10*time.Minute {
			t.Errorf("%q: %v, %v; want %q and the default", text, d, err, want)
		}
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]string{
		"1": "", "8": "", "0": "at least 1", "-3": "at least 1", "9": "at most 8", "many": "not a number", "1.5": "not a number",
		"99999999999999999999": "not a number",
	} {
		n := 0 // outside of the range: not given
		err := limits.Int(&n, 1, 8).Set(text)
		if (want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), want) || n != 0) {
			t.Errorf("%q: %d, %v; want %q", text, n, err, want)
		}
	}
	n := 5
	if err := limits.Int(&n, math.MinInt, math.MaxInt).Set("-7"); err != nil || n != -7 {
		t.Errorf("%d, %v", n, err)
	}
}

// Both libraries take the values, refuse what is outside, and name the flag.
func TestLibraries(t *testing.T) {
	interval, count := 10*time.Minute, 3
	std := flag.NewFlagSet("x", flag.ContinueOnError)
	std.SetOutput(io.Discard)
	std.Var(limits.Duration(&interval, time.Second, time.Hour), "interval", "")
	std.Var(limits.Int(&count, 1, 10), "count", "")
	if err := std.Parse([]string{"-interval", "0"}); err == nil || !strings.Contains(err.Error(), `invalid value "0" for flag -interval: at least 1s`) {
		t.Errorf("flag: %v", err)
	}
	if err := std.Parse([]string{"-interval", "5s", "-count", "4"}); err != nil || interval != 5*time.Second || count != 4 {
		t.Errorf("flag: %v, %d, %v", interval, count, err)
	}
	var help strings.Builder
	std.SetOutput(&help)
	std.PrintDefaults()
	if !strings.Contains(help.String(), "(default 10m0s)") || !strings.Contains(help.String(), "(default 3)") {
		t.Errorf("help:\n%s", help.String())
	}
	posix := pflag.NewFlagSet("x", pflag.ContinueOnError)
	posix.Var(limits.Int(&count, 1, 10), "count", "`N` times")
	if err := posix.Parse([]string{"--count=-1"}); err == nil || !strings.Contains(err.Error(), "at least 1") || count != 4 {
		t.Errorf("pflag: %d, %v", count, err)
	}
}
