package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
)

// The list of the note is shown line for line as in the note; only times and the
// bytes of keys differ.
func TestShowOfTheNote(t *testing.T) {
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range []string{"show-itl.txt", "show-itl-reset.txt"} {
		path := filepath.Join(t.TempDir(), "ITLFile.tlv")
		if err := os.WriteFile(path, c.Publisher().ITL(), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if code := run([]string{"show", path}, &env{stdout: &out, stderr: &errs}); code != exitOK || errs.Len() != 0 {
			t.Fatalf("exit code %d, %s", code, &errs)
		}
		want, err := os.ReadFile(filepath.Join("testdata", golden))
		if err != nil {
			t.Fatal(err)
		}
		if got := anonymous(out.String()); got != string(want) {
			t.Errorf("%s:\n%s", golden, firstDifference(got, string(want)))
		}
		if err := c.Apply(operation.ResetITL(nil)); err != nil {
			t.Fatal(err)
		}
	}
}

var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?m)^[0-9a-f]{32,40}\(`), "HASH("},
	{regexp.MustCompile(`modified on .*`), "modified on TIME"},
	{regexp.MustCompile(`([0-9A-F]{2}:){15}[0-9A-F]{2}`), "SERIAL"},
	{regexp.MustCompile(`(CERTIFICATE|CERTHASH) ([0-9]+) ([0-9A-F]{2} ){19}[0-9A-F]{2}`), "$1 $2 HASH"},
	{regexp.MustCompile(`(?m)^([0-9a-f]{1,2} ){7}[0-9a-f]{1,2}$`), "EIGHT BYTES"},
}

func anonymous(s string) string {
	for _, v := range varying {
		s = v.pattern.ReplaceAllString(s, v.with)
	}
	return s
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(g) || g[i] != w[i] {
			have := "(end)"
			if i < len(g) {
				have = g[i]
			}
			return "line " + w[i] + "\n got " + have
		}
	}
	return "more lines than wanted"
}
