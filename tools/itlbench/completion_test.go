package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"itlagent/platform/console/consoletest"
	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
)

// aCluster makes the cluster of a directory without running it.
func aCluster(t *testing.T, dir string) {
	t.Helper()
	p, err := profile.Builtin("note")
	if err != nil {
		t.Fatal(err)
	}
	p.Phones = []profile.PhoneSpec{{MAC: "64A0E71502CC", Model: "CP-7965G"}}
	c, err := cluster.New(p, cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// The candidates of lines that are being typed.
func TestCandidates(t *testing.T) {
	t.Chdir(t.TempDir())
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	aCluster(t, "lab")
	for line, want := range map[string][]string{
		"pl":                                    {"plan"},
		"--ver":                                 {"--version"},
		"cluster st":                            {"status"},
		"cluster --dir lab st":                  {"status"},
		"--dir lab cluster up --no":             {"--node"},
		"cluster up --node --dir":               nil,
		"cluster up --dir lab --node ":          {"test10pub", "test10sub"},
		"cluster up --dir lab --node=test10p":   {"test10pub"},
		"cluster up --dir lab --node = test10p": {"test10pub"},
		"cluster fault --dir lab ":              {"test10pub", "test10sub"},
		"cluster fault pub t":                   {"tftp", "tvs", "tomcat"},
		"cluster fault --dir nowhere ":          nil,
		"cluster set --dir=lab ":                {"64A0E71502CC"},
		"explain --dir lab --mac 64":            {"64A0E71502CC"},
		"scenario run recovery-n":               {"recovery-note", filesToo},
		"scenario run recovery-note bad-ne":     {"bad-network", filesToo},
		"qemu qemu-arm-u":                       {"qemu-arm-uboot-virtio", "qemu-arm-uboot", filesToo},
		"cluster up --profile 1":                {"10.5", "11.5", "12.5", "14"},
		"admin utils itl re":                    {"reset"},
		"show --js":                             {"--json"},
		"show --json ":                          {filesToo},
		"help cluster do":                       {"down"},
		"help exit":                             {"exit-codes"},
		"completion z":                          {"zsh"},
		"version ":                              nil,
		"nothing such ":                         nil,
		"cluster nothing ":                      nil,
		"verify -- --no":                        {filesToo},
	} {
		got := candidates(joinEquals(strings.Split(line, " ")))
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	// A name that a shell would read as more than a word is not offered.
	if err := os.MkdirAll(filepath.Join(config, "itlbench"), 0o755); err != nil {
		t.Fatal(err)
	}
	targets := "targets:\n  router:\n    console: /dev/ttyUSB0\n"
	if err := os.WriteFile(filepath.Join(config, "itlbench", "targets.yaml"), []byte(targets), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ := runHere(completeCommand, "console", "r"); !strings.HasPrefix(stdout, "router\n") {
		t.Errorf("targets: %q", stdout)
	}
	for _, name := range []string{"a b", "$(id)", "`id`", "a;b", "a\nb", "a\x1b[31m", "'", ""} {
		if offered.MatchString(name) {
			t.Errorf("%q would be offered", name)
		}
	}
}

// A real bash completes what is typed at it: commands, flags, nodes, phones, scenarios,
// boards, profiles and files.
func TestBashCompletes(t *testing.T) {
	dir := t.TempDir()
	aCluster(t, filepath.Join(dir, "lab"))
	if err := os.WriteFile(filepath.Join(dir, "ITLFile.tlv"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	script, _, _ := runHere("completion", "bash")
	if err := os.WriteFile(filepath.Join(dir, "completion"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	master, tty := consoletest.PTY(t)
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "--noprofile", "-i")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, tty, tty, tty
	cmd.Env = append(os.Environ(), "PS1=ready> ", "TERM=dumb", "INPUTRC=/dev/null", "HISTFILE=", "COLUMNS=400")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	screen := newWatch(master)
	screen.sees(t, "ready> ")
	io.WriteString(master, "bind 'set enable-bracketed-paste off'; source completion; echo sour''ced\r")
	screen.sees(t, "sourced")
	for i, test := range []struct{ typed, want string }{
		{"itlbench exp\t", "itlbench explain "},
		{"itlbench cluster dow\t", "itlbench cluster down "},
		{"itlbench cluster status --dir lab --js\t", "--dir lab --json "},
		{"itlbench cluster up --dir lab --node test10s\t", "--node test10sub "},
		{"itlbench cluster up --dir lab --node=test10s\t", "--node=test10sub "},
		{"itlbench cluster set --dir lab 64\t", "--dir lab 64A0E71502CC "},
		{"itlbench scenario run recovery-n\t", "run recovery-note "},
		{"itlbench qemu qemu-mipsel-d\t", "qemu qemu-mipsel-debian "},
		{"itlbench cluster up --profile 12\t", "--profile 12.5 "},
		{"itlbench show IT\t", "show ITLFile.tlv "},
	} {
		mark := "mark" + string(rune('a'+i))
		io.WriteString(master, "echo "+mark[:4]+"''"+mark[4:]+"\r")
		screen.sees(t, mark+"\r\nready> ")
		io.WriteString(master, test.typed)
		screen.sees(t, test.want)
		io.WriteString(master, "\x15") // Ctrl-U
	}
}
