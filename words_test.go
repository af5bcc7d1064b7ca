package itlagent_test

import (
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unwanted are words that comments, texts and pages do not use, with what to write
// instead. The glossary says what words mean here.
var unwanted = []struct{ pattern, instead string }{
	{`mend(s|ed|ing)?`, "fix, repair"},
	{`anew`, "again, re-create"},
	{`ways? back`, "remedy"},
	{`of no avail|in vain|vain`, "ineffective"},
	{`foresees?|foresaw|foreseen|foretells?|foretold|foretelling|seers?`, "predict, plan"},
	{`fates?`, "outcome"},
	{`stories|story`, "scenario"},
	{`rooms`, "packages, layout"},
	{`(give|gives|gave|given) way`, "dropped, evicted"},
	{`roll-back`, "rollback"},
	{`in the open`, "unencrypted"},
	{`for one user`, "not safe for concurrent use"},
	{`is no (host name|node|unit|model)`, `invalid host name "x"`},
	{`believe[sd]?|believing`, "trust"},
	{`whither|whence|thence|hitherto|therein|thereof|heretofore|naught|betwixt`, "plain English"},
}

// TestWords looks for unwanted words in comments and strings of Go files, in pages, and
// in scripts. Tests may quote them.
func TestWords(t *testing.T) {
	var all []string
	for _, u := range unwanted {
		all = append(all, u.pattern)
	}
	any := regexp.MustCompile(`(?i)\b(` + strings.Join(all, "|") + `)\b`)
	look := func(name string, line int, text string) {
		for _, hit := range any.FindAllString(text, -1) {
			for _, u := range unwanted {
				if regexp.MustCompile(`(?i)^(` + u.pattern + `)$`).MatchString(hit) {
					t.Errorf("%s:%d: %q: write %s", name, line, hit, u.instead)
				}
			}
		}
	}
	for _, name := range sources(t) {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "words_test.go" {
			continue
		}
		fset := token.NewFileSet()
		file := fset.AddFile(name, -1, len(src))
		var s scanner.Scanner
		s.Init(file, src, nil, scanner.ScanComments)
		for {
			pos, kind, text := s.Scan()
			if kind == token.EOF {
				break
			}
			if kind == token.COMMENT || kind == token.STRING && !strings.HasSuffix(name, "_test.go") {
				look(name, file.Line(pos), strings.ReplaceAll(text, `\n`, " "))
			}
		}
	}
	others := append(pages(t), "Makefile")
	for _, pattern := range []string{".ci/*", "firmware/kernel/*", "firmware/boards/*.yaml", "testbench/*/*/*.yaml", "tools/itlbench/testdata/*/*.txt"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		others = append(others, found...)
	}
	for _, name := range others {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			look(name, n, line)
		}
	}
}
