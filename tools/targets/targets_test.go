package targets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `targets:
  bbb:
    console: usb:A50285BI,115200
    power: relay 3
    board: beaglebone-black
    boot: {prompt: "=> ", key: " "}
  emulated: {console: "unix:/run/board.sock"}
`

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "targets.yaml")
	if err := os.WriteFile(name, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Read(name)
	if err != nil || len(all) != 2 || all["bbb"].Power != "relay 3" || all["bbb"].Boot.Prompt != "=> " || all["emulated"].Console != "unix:/run/board.sock" {
		t.Errorf("%+v, %v", all, err)
	}
	for what, test := range map[string][2]string{
		"an unknown key": {"board: beagle", "bored: beagle"},
		"a name":         {"  bbb:", "  '../x':"},
		"no console":     {"{console: \"unix:/run/board.sock\"}", "{}"},
		"a console":      {"unix:/run", "serial:/run"},
	} {
		if _, err := parse([]byte(strings.Replace(good, test[0], test[1], 1))); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := parse(nil); len(all) != 0 || err != nil {
		t.Errorf("an empty file: %v, %v", all, err)
	}
	t.Setenv("ITLBENCH_TARGETS", name)
	if Default() != name {
		t.Error(Default())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := parse(data); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
