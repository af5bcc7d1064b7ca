package itlagent_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// unboundedMayRead are files that read only what the kernel, this project or the test
// machine's own tools have written.
var unboundedMayRead = map[string]string{
	"agent/settings/parse.go":                  "a document of bounded size",
	"firmware/itlagent/init.go":                "the kernel's /proc, and the arguments of its own image",
	"platform/linuxinit/linuxinit_linux.go":    "the list of modules of its own image",
	"platform/serial/hostport/list_linux.go":   "the kernel's /sys",
	"platform/serial/hostport/holder_linux.go": "the kernel's /proc",
	"tools/bench/memory.go":                    "the kernel's /proc",
	"tools/bench/peers.go":                     "what it wrote a moment ago",
}

// What comes from outside is read within a bound: platform/readfile for files,
// io.LimitReader for the rest.
func TestReadsAreBounded(t *testing.T) {
	seen := make(map[string]bool)
	for _, name := range sources(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch calls(call) {
			case "os.ReadFile":
			case "io.ReadAll":
				if inner, ok := call.Args[0].(*ast.CallExpr); ok && calls(inner) == "io.LimitReader" {
					return true
				}
			default:
				return true
			}
			seen[name] = true
			if unboundedMayRead[name] == "" {
				t.Errorf("%s: %s has no bound: use platform/readfile, or io.LimitReader", name, calls(call))
			}
			return true
		})
	}
	for name := range unboundedMayRead {
		if !seen[name] {
			t.Errorf("%s reads nothing without a bound: take it off the list", name)
		}
	}
}

// calls returns "package.Function" of a call, or "".
func calls(call *ast.CallExpr) string {
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// Functions and files are short enough to be read, but for tests and generated code.
func TestLengths(t *testing.T) {
	const function, file = 60, 400 // lines
	check := func(what string, lines, most int) {
		if lines > most {
			t.Errorf("%s has %d lines, at most %d", what, lines, most)
		}
	}
	for _, name := range sources(t) {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_gen.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		check(name, set.File(f.Pos()).LineCount(), file)
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok {
				check(name+" "+fd.Name.Name, set.Position(fd.End()).Line-set.Position(fd.Pos()).Line+1, function)
			}
		}
	}
}
