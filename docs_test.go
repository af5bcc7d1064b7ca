package itlagent_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"itlagent/agent/trust"
)

// pages returns every page of docs, and those at the top.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("docs/*.md")
	if err != nil || len(list) == 0 {
		t.Fatalf("docs: %v, %v", list, err)
	}
	return append([]string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}, list...)
}

// TestDocumentedCommands runs every command of a ```console block, a page after
// the other, and compares what it prints with what the page shows. "..." stands
// for any text, on a line of its own for any lines. Lines that begin with ">" go
// on with the command. A command that ends in "&"
// goes on behind the next ones, which wait for the lines shown. Makefile targets
// are looked up rather than run: TestMakeRun runs the one that is quick.
func TestDocumentedCommands(t *testing.T) {
	bin, err := filepath.Abs(filepath.Join(t.TempDir(), "bin"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", bin+"/", "./tools/itlbench", "./firmware/itlagent")
	scripts := t.TempDir()
	commands := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		script, n := scriptOf(t, page, string(text))
		commands += n
		if tool := missingTool(string(text)); tool != "" {
			t.Run(page, func(t *testing.T) { t.Skipf("SKIPPED: the page needs %s, which is not installed", tool) })
			continue
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md") + ".txt"
		if err := os.WriteFile(filepath.Join(scripts, name), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if commands < 20 {
		t.Fatalf("only %d commands found in the pages", commands)
	}
	t.Logf("%d documented commands", commands)
	testscript.Run(t, testscript.Params{
		Dir: scripts,
		Setup: func(env *testscript.Env) error {
			return os.Symlink(bin, filepath.Join(env.WorkDir, "bin"))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"shows": shows},
	})
}

// missingTool returns a program that a page calls and the machine lacks.
func missingTool(text string) string {
	for _, tool := range []string{"ssh", "ssh-keygen", "curl", "socat", "tcpdump"} {
		_, err := exec.LookPath(tool)
		if tool == "tcpdump" && os.Geteuid() != 0 {
			err = os.ErrPermission // it is of no use without root
		}
		if err != nil && regexp.MustCompile(`(?m)^\$ .*\b`+tool+` -`).MatchString(text) {
			return tool
		}
	}
	return ""
}

// scriptOf turns a page into a testscript.
func scriptOf(t *testing.T, page, text string) (script string, commands int) {
	t.Helper()
	var b, files strings.Builder
	for i, block := range strings.Split(text, "\n```console\n")[1:] {
		block, _, closed := strings.Cut(block, "\n```")
		if !closed {
			t.Fatalf("%s: console block %d is not closed", page, i+1)
		}
		for _, part := range strings.Split("\n"+block, "\n$ ")[1:] {
			commands++
			command, want, _ := strings.Cut(part, "\n")
			for strings.HasPrefix(want, "> ") { // a command of several lines
				var more string
				more, want, _ = strings.Cut(want[2:], "\n")
				command += "\n" + more
			}
			if target, ok := strings.CutPrefix(command, "make "); ok {
				run(t, nil, "make", "-n", strings.Fields(target)[0])
				continue
			}
			command, background := strings.CutSuffix(command, " &")
			end := ""
			if background {
				command, end = "exec "+command, " &"
			}
			fmt.Fprintf(&b, "exec bash cmd%d%s\nshows out%d want%d\n", commands, end, commands, commands)
			fmt.Fprintf(&files, "-- cmd%d --\nexec >out%d 2>&1\n%s\n-- want%d --\n%s\n", commands, commands, command, commands, want)
		}
	}
	return b.String() + files.String(), commands
}

// shows OUT WANT waits until the output is what the page shows.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	var pattern strings.Builder
	pattern.WriteString(`^`)
	for line := range strings.Lines(strings.TrimRight(ts.ReadFile(args[1]), "\n") + "\n") {
		if line == "...\n" {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		if line != "\n" || pattern.Len() > 1 {
			pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
		}
	}
	pattern.WriteString(`$`)
	re, err := regexp.Compile(pattern.String())
	ts.Check(err)
	out := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if out = string(data); err == nil && re.MatchString(out) {
			return
		}
	}
	ts.Fatalf("output:\n%s\ndoes not match the page:\n%s", out, ts.ReadFile(args[1]))
}

// make run shows a lock-out and its recovery, as the README says.
func TestMakeRun(t *testing.T) {
	if out := run(t, nil, "make", "run"); !strings.Contains(out, "expectations held") {
		t.Errorf("make run printed:\n%s", out)
	}
}

// Every reason that the program prints is explained.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/trust-decision.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range trust.Reasons() {
		if !strings.Contains(string(text), "| `"+r.String()+"` |") {
			t.Errorf("docs/trust-decision.md does not explain %v", r)
		}
	}
}

// The README's picture shows the packages that are there.
func TestPackagesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rooms := func(parent string) (dirs []string) {
		entries, err := os.ReadDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && e.Name() != "testdata" && !strings.HasPrefix(e.Name(), ".") {
				dirs = append(dirs, e.Name())
			}
		}
		return dirs
	}
	for _, parent := range []string{"agent", "platform", "firmware", "testbench", "tools"} {
		for _, room := range append(rooms(parent), parent) {
			if !regexp.MustCompile(`(?m)^ *` + room + `/`).Match(text) {
				t.Errorf("README.md shows no package %s/ (of %s)", room, parent)
			}
		}
	}
}

// Links between pages lead somewhere.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := fs.Stat(os.DirFS("."), filepath.ToSlash(filepath.Join(filepath.Dir(page), m[1]))); err != nil {
				t.Errorf("%s: link to %s: %v", page, m[1], err)
			}
		}
	}
}

// Nothing in the tree names the machine that it was written on.
func TestNoAbsolutePaths(t *testing.T) {
	out, err := exec.Command("git", "grep", "-nE", `(^|[^A-Za-z0-9_.$])/(work|root|home)/[a-z]`, "--", ":!*.sum", ":!tree_test.go", ":!docs_test.go").Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("git grep: %v", err)
	}
	if len(out) > 0 {
		t.Errorf("absolute paths:\n%s", out)
	}
}
