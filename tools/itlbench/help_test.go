package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// runHere runs the program in this process.
func runHere(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(args, &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return out.String(), errs.String(), code
}

// Whatever command is added has a summary, flags that are described, an example that is a
// line it takes, and help by both ways.
func TestEveryCommandHasHelp(t *testing.T) {
	pages := allPages()
	if len(pages) < 40 {
		t.Fatalf("%d commands found", len(pages))
	}
	left := examples()
	for _, p := range pages {
		if p.about == "" {
			t.Errorf("%s: no summary", p.path)
		}
		if p.flags != nil {
			p.flags.VisitAll(func(f *pflag.Flag) {
				if strings.TrimSpace(f.Usage) == "" {
					t.Errorf("%s: --%s is not described", p.path, f.Name)
				}
			})
		}
		delete(left, p.path)
		if len(p.examples()) == 0 {
			t.Errorf("%s: no example in examples.go", p.path)
		}
		for _, line := range p.examples() {
			checkExample(t, p.path, line)
		}
		words := strings.Fields(p.path)
		byHelp, _, code := runHere(append([]string{"help"}, words...)...)
		if code != exitOK || !strings.Contains(byHelp, "itlbench "+p.path) || !strings.Contains(byHelp, "example:") {
			t.Errorf("help %s: code %d, %q", p.path, code, byHelp)
		}
		byFlag, _, code := runHere(append(words, "--help")...)
		if code != exitOK || !strings.Contains(byFlag, "usage: itlbench "+words[0]) {
			t.Errorf("%s --help: code %d, %q", p.path, code, byFlag)
		}
	}
	for path := range left {
		t.Errorf("examples.go has examples of %q, which is no command", path)
	}
}

// checkExample reads a line's flags as its command would.
func checkExample(t *testing.T, path, line string) {
	t.Helper()
	line = strings.TrimSuffix(strings.TrimPrefix(line, "source <("), ")")
	words := strings.Fields(line)
	if words[0] != "itlbench" || !strings.HasPrefix(line+" ", "itlbench "+path+" ") && path != "cluster" && path != "board" && path != "fleet" {
		t.Errorf("%s: its example is %q", path, line)
		return
	}
	p, err := pageOf(words[1:2])
	if err == nil && p.flags == nil && len(words) > 2 {
		p, err = pageOf(words[1:3])
	}
	if err != nil {
		t.Errorf("%s: %q: %v", path, line, err)
		return
	}
	p.flags.SetInterspersed(path != "admin")
	if err := p.flags.Parse(words[2:]); err != nil {
		t.Errorf("%s: %q: %v", path, line, err)
	}
}

// What was mistyped is found where one thing alone is near.
func TestDidYouMean(t *testing.T) {
	for _, test := range []struct {
		args []string
		hint string
	}{
		{[]string{"plna"}, "did you mean plan?"},
		{[]string{"Sho"}, "did you mean show?"},
		{[]string{"consle"}, "did you mean console?"},
		{[]string{"cluster", "sttaus"}, "did you mean status?"},
		{[]string{"cluster", "phnes"}, "did you mean phones?"},
		{[]string{"cluster", "xyzzy"}, "there are: up, down, status"},
		{[]string{"show", "--jsn", "x"}, "did you mean --json?"},
		{[]string{"show", "--xyzzy", "x"}, "itlbench help show shows"},
		{[]string{"cluster", "up", "--profil", "14"}, "did you mean --profile?"},
		{[]string{"help", "exit-code"}, "did you mean exit-codes?"},
		{[]string{"help", "cluster", "dwon"}, "did you mean down?"},
		{[]string{"completion", "bahs"}, "did you mean bash?"},
		{[]string{"xyzzy"}, "there are: show"},
		{[]string{strings.Repeat("p", 1<<20)}, "there are: show"},
	} {
		_, stderr, code := runHere(test.args...)
		if lines := strings.Split(stderr, "\n"); code != exitUsage || len(lines) != 3 || !strings.HasPrefix(lines[0], "itlbench: ") || !strings.HasPrefix(lines[1], "hint: "+test.hint) || len(stderr) > 2000 {
			t.Errorf("%.60q: code %d, %.300q, want the hint %q", test.args, code, stderr, test.hint)
		}
	}
	for typed, want := range map[string]string{"plan": "plan", "pl": "plan", "p": "", "im": "", "vrfy": "verify", "é": ""} {
		if got := near(typed, names(commands())); got != want {
			t.Errorf("near(%q) = %q, want %q", typed, got, want)
		}
	}
}

// --dir is understood anywhere, and a session may name its directory once.
func TestDirAnywhere(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{"--dir lab cluster status", "cluster --dir lab status", "cluster status --dir lab", "--dir=lab cluster status",
		"cluster --dir=lab status", "--dir lab admin show itl", "admin --dir lab show itl", "admin show itl --dir lab", "admin show --dir=lab itl",
		"plan regenerate tvs --dir lab", "--dir lab plan regenerate tvs", "audit --dir lab", "--dir lab audit", "--dir lab explain --state x"} {
		_, stderr, code := runHere(strings.Fields(line)...)
		if code != exitInfra || !strings.Contains(stderr, "no cluster in lab") {
			t.Errorf("%s: code %d, %q", line, code, stderr)
		}
	}
	for _, line := range []string{"--dir", "--dir lab", "--dir lab --dir", "--dir=lab"} {
		if _, stderr, code := runHere(strings.Fields(line)...); code != exitUsage || !strings.HasPrefix(stderr, "itlbench: --dir") {
			t.Errorf("%s: code %d, %q", line, code, stderr)
		}
	}
	// The words behind "--" are the cluster's own.
	if _, stderr, code := runHere("admin", "--", "show", "--dir", "lab"); code != exitInfra || !strings.Contains(stderr, "no cluster in "+defaultDir) {
		t.Errorf("code %d, %q", code, stderr)
	}
	for _, command := range []string{"cluster status", "admin show itl", "plan regenerate tvs", "audit"} {
		cmd := exec.Command("itlbench", strings.Fields(command)...)
		cmd.Env = append(os.Environ(), dirVariable+"=elsewhere")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "no cluster in elsewhere") {
			t.Errorf("%s: %v, %s", command, err, out)
		}
	}
}

// The version is what the build says.
func TestVersion(t *testing.T) {
	want := buildVersion()
	for _, args := range [][]string{{"version"}, {"--version"}, {"version", "--json"}} {
		stdout, _, code := runHere(args...)
		for _, part := range []string{want.Version, want.Commit, want.Go, want.Platform} {
			if code != exitOK || part == "" || !strings.Contains(stdout, part) {
				t.Errorf("%q: code %d, %q, want %q in it", args, code, stdout, part)
			}
		}
	}
}

// The manual says what help says, in a form that man reads without a warning.
func TestManual(t *testing.T) {
	text, _, code := runHere(manualCommand)
	if code != exitOK {
		t.Fatalf("code %d", code)
	}
	path := filepath.Join(t.TempDir(), "itlbench.1")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("man", "--warnings", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=200", "MANPAGER=cat")
	var out, warnings bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Fatalf("man (package man-db): %v\n%s", err, warnings.String())
	}
	shown := strings.Join(strings.Fields(out.String()), " ")
	for _, p := range allPages() {
		if !strings.Contains(shown, strings.Join(p.usage(), " ")) {
			t.Errorf("the manual does not show the usage of %s: %s", p.path, p.usage())
		}
		for _, line := range p.examples() {
			if !strings.Contains(shown, line) {
				t.Errorf("the manual does not show %q", line)
			}
		}
	}
	for name := range topics() {
		for line := range strings.Lines(topics()[name]) {
			if line = strings.Join(strings.Fields(line), " "); !strings.Contains(shown, line) && name != "output" {
				t.Errorf("the manual does not show %q", line)
			}
		}
	}
}
