// Package itlagent holds the tests of the tree itself: its form, who may know
// whom, what the device program is made of, and that documented commands work.
package itlagent_test

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "itlagent"

// sources returns every Go file below the root.
func sources(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != "." || d.Name() == "bin" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(p, ".go") {
			files = append(files, filepath.ToSlash(p))
		}
		return err
	})
	if err != nil || len(files) < 40 {
		t.Fatalf("%d Go files, %v", len(files), err)
	}
	return files
}

func TestFormatted(t *testing.T) {
	for _, name := range sources(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := format.Source(src); err != nil || !bytes.Equal(out, src) {
			t.Errorf("%s is not formatted by gofmt (%v)", name, err)
		}
	}
}

// parsed reads the files of each package, its path below the module in front.
func parsed(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	packages := map[string]map[string]*ast.File{}
	fset := token.NewFileSet()
	for _, name := range sources(t) {
		f, err := parser.ParseFile(fset, name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(name)
		if packages[dir] == nil {
			packages[dir] = map[string]*ast.File{}
		}
		packages[dir][name] = f
	}
	return packages
}

func TestOnePackageComment(t *testing.T) {
	for dir, files := range parsed(t) {
		var with []string
		for name, f := range files {
			if f.Doc != nil {
				with = append(with, name)
			}
		}
		if len(with) != 1 {
			t.Errorf("package %s has %d package comments, want 1: %v", dir, len(with), with)
		}
	}
}

// mayImport says which of our packages a package may know, by prefixes. Longer
// prefixes count first.
var mayImport = []struct {
	of  string
	may []string
}{
	{"agent", []string{"agent", "platform/flash", "platform/console"}}, // and see agentMayImport
	{"platform", []string{"platform"}},
	{"firmware/handset", []string{"agent", "platform"}},
	{"firmware/repair", []string{"agent", "platform"}},
	{"firmware/uimage", []string{"agent/printable"}},
	{"firmware/itlagent", []string{"agent", "platform", "firmware/handset", "firmware/repair"}},
	{"firmware/boards", []string{"platform"}},
	{"firmware/image", []string{"firmware", "platform"}},
	{"testbench/fleet", []string{"testbench", "agent", "platform", "firmware/handset"}},
	{"testbench", []string{"testbench", "agent", "platform"}},
	{"tools", []string{"tools", "testbench", "agent", "platform", "firmware"}},
}

// agentMayImport says which packages of the phone a package of it may know: only those
// that stand above it here.
var agentMayImport = []struct{ of, may string }{
	{"printable", ""},
	{"logger", ""},
	{"bounded", ""},
	{"accept", ""},
	{"login", ""},
	{"model", "printable"},
	{"trustlist", "printable"},
	{"settings", "printable"},
	{"status", "bounded model printable"},
	{"trust", "trustlist printable"},
	{"tftp", "printable"},
	{"fetch", "printable tftp"},
	{"tvs", "trust trustlist printable"},
	{"sip", ""},
	{"alarm", "bounded logger printable sip"},
	{"vault", "bounded status"},
	{"holdings", "alarm logger model settings status trustlist"},
	{"boot", "fetch holdings logger model printable settings status trust trustlist tvs"},
	{"sccp", ""},
	{"register", "logger model printable sccp sip"},
	{"register/registertest", "sip"},
	{"", "alarm boot fetch holdings logger model printable register settings sip status trust trustlist"},
	{"shell", " alarm boot holdings logger login printable register settings trust trustlist"},
	{"web", " accept alarm model printable register settings trustlist"},
}

func TestAgentEdges(t *testing.T) {
	may, above := map[string][]string{}, []string{}
	for _, r := range agentMayImport {
		may["agent/"+r.of] = strings.Split(r.may, " ")
		for _, p := range strings.Fields(r.may) {
			if !slices.Contains(above, p) {
				t.Errorf("agent/%s may know agent/%s, which does not stand above it", r.of, p)
			}
		}
		above = append(above, r.of)
	}
	for dir, files := range parsed(t) {
		if dir != "agent" && !strings.HasPrefix(dir, "agent/") {
			continue
		}
		allowed, ok := may["agent/"+strings.TrimPrefix(strings.TrimPrefix(dir, "agent"), "/")]
		if !ok {
			t.Errorf("%s is not in the list of the phone's packages", dir)
		}
		for name, f := range files {
			for _, imp := range f.Imports {
				p, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module+"/agent")
				if ours && !strings.HasSuffix(name, "_test.go") && !slices.Contains(allowed, strings.TrimPrefix(p, "/")) {
					t.Errorf("%s imports agent%s, which it may not know", name, p)
				}
			}
		}
	}
}

func TestImportDirections(t *testing.T) {
	under := func(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }
	for dir, files := range parsed(t) {
		for name, f := range files {
			if strings.HasSuffix(name, "_test.go") || dir == "." {
				continue
			}
			i := slices.IndexFunc(mayImport, func(r struct {
				of  string
				may []string
			}) bool {
				return under(dir, r.of)
			})
			if i < 0 {
				t.Errorf("%s stands in no known room", name)
				continue
			}
			for _, imp := range f.Imports {
				p, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module+"/")
				if !ours {
					continue
				}
				if !slices.ContainsFunc(mayImport[i].may, func(may string) bool { return under(p, may) }) {
					t.Errorf("%s imports %s: %s may know only %v", name, p, mayImport[i].of, mayImport[i].may)
				}
			}
		}
	}
}

// The agent makes no system call of its own.
func TestAgentKnowsNoSystem(t *testing.T) {
	for dir, files := range parsed(t) {
		if dir != "agent" && !strings.HasPrefix(dir, "agent/") {
			continue
		}
		for name, f := range files {
			for _, imp := range f.Imports {
				if p := strings.Trim(imp.Path.Value, `"`); !strings.HasSuffix(name, "_test.go") && (p == "os" || p == "syscall" || strings.HasPrefix(p, "golang.org/x/sys")) {
					t.Errorf("%s imports %s", name, p)
				}
			}
			if strings.HasSuffix(name, "_linux.go") {
				t.Errorf("%s is for one system alone", name)
			}
		}
	}
}

func run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", strings.Join(env, " "), strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// Ceilings of the stripped device program for arm, in bytes, raw and as xz: with
// the phone's pages, and without.
var ceilings = map[string][2]int{"": {13 << 20 / 2, 2 << 20}, "small": {11 << 20 / 2, 17 << 20 / 10}}

// The device program of arm (GOARM=5), which is larger than those of the other arms, is
// below its ceilings. `make size` builds it for every target, .ci/cross vets it.
func TestDeviceProgram(t *testing.T) {
	xz, err := exec.LookPath("xz")
	if err != nil {
		t.Run("xz", func(t *testing.T) {
			t.Skip("SKIPPED: xz is not installed (package xz-utils): compressed sizes are not checked")
		})
	}
	for kind, ceiling := range ceilings {
		bin := filepath.Join(t.TempDir(), "itlagent")
		run(t, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=5"}, ".ci/device", bin, kind)
		info, err := os.Stat(bin)
		if err != nil {
			t.Fatal(err)
		}
		packed := 0
		if xz != "" {
			packed = len(run(t, nil, xz, "-9e", "-c", bin))
		}
		t.Logf("%s %d bytes, %d as xz", kind, info.Size(), packed)
		if info.Size() > int64(ceiling[0]) || packed > ceiling[1] {
			t.Errorf("%q: %d bytes, %d as xz; the ceilings are %d and %d", kind, info.Size(), packed, ceiling[0], ceiling[1])
		}
	}
}

// The device program links the packages of the committed list and no others:
// whoever adds one sees it in the diff. `go generate ./firmware/itlagent` writes
// the list.
func TestDevicePackages(t *testing.T) {
	want, err := os.ReadFile("firmware/itlagent/packages.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm"}, "go", "list", "-deps", "./firmware/itlagent")
	if got != string(want) {
		a, b := strings.Fields(got), strings.Fields(string(want))
		for _, p := range a {
			if !slices.Contains(b, p) {
				t.Errorf("newly linked: %s", p)
			}
		}
		for _, p := range b {
			if !slices.Contains(a, p) {
				t.Errorf("no longer linked: %s", p)
			}
		}
		t.Error("firmware/itlagent/packages.txt is out of date: go generate ./firmware/itlagent")
	}
	small := run(t, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm"}, "go", "list", "-tags", "small", "-deps", "./firmware/itlagent")
	for never, list := range map[string]string{"runtime/cgo": got, "github.com/spf13/pflag": got, "net/http": small} {
		if slices.Contains(strings.Fields(list), never) {
			t.Errorf("the device program links %s", never)
		}
	}
}

// JSON and its reflection are in the device program because msgp's library links
// them. Nothing else may use them.
func TestDeviceUsesJSONOnlyThroughMsgp(t *testing.T) {
	const msgp = "github.com/tinylib/msgp/msgp"
	for _, tags := range []string{"", "small"} {
		out := run(t, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm"}, "go", "list", "-tags", tags, "-deps",
			"-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./firmware/itlagent")
		var users []string
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); slices.Contains(f[1:], "encoding/json") {
				users = append(users, f[0])
			}
		}
		if !slices.Equal(users, []string{msgp}) {
			t.Errorf("tags %q: encoding/json is imported by %v, only %s may", tags, users, msgp)
		}
	}
}

// What `go generate` writes with msgp is what the tree holds.
func TestGeneratedRecords(t *testing.T) {
	const command = "//go:generate go tool msgp "
	msgp := strings.TrimSpace(run(t, nil, "go", "tool", "-n", "msgp"))
	generated := 0
	for _, name := range sources(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			args, ok := strings.CutPrefix(strings.TrimSpace(line), command)
			if !ok || strings.HasSuffix(name, "tree_test.go") {
				continue
			}
			generated++
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, path.Base(name)), src, 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(msgp, strings.Fields(args)...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFILE="+path.Base(name))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: msgp %s: %v\n%s", name, args, err, out)
			}
			written, err := filepath.Glob(filepath.Join(dir, "*_gen.go"))
			if err != nil || len(written) != 1 {
				t.Fatalf("%s: msgp %s wrote %v, %v", name, args, written, err)
			}
			got, err := os.ReadFile(written[0])
			if err != nil {
				t.Fatal(err)
			}
			kept := path.Join(path.Dir(name), filepath.Base(written[0]))
			if want, err := os.ReadFile(kept); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is out of date (%v): go generate ./%s", kept, err, path.Dir(name))
			}
		}
	}
	if generated == 0 {
		t.Errorf("no line begins with %q", command)
	}
}
