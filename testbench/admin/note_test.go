package admin_test

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
)

// elementLines are the lines of a listing that show elements, without values that are made
// by chance and without the marks of a page.
func elementLines(text string) (lines []string) {
	text = strings.ReplaceAll(text, `\_`, "_")
	number := regexp.MustCompile(`^\d+ [A-Z]`)
	chance := regexp.MustCompile(`([0-9A-F]{2}:){15}[0-9A-F]{2}$|( [0-9A-F]{2}){20}( \(SHA1.*)?$|SERIAL$|SHA1.*$`)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if number.MatchString(line) && !strings.HasSuffix(line, " SHA-1") {
			lines = append(lines, strings.TrimSpace(chance.ReplaceAllString(line, "")))
		}
	}
	return lines
}

// What is printed is what the CUCM 10.0 note prints, but for the differences that
// docs/cluster.md has.
func TestNoteListing(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	want := elementLines(read("../evidence/showtext/testdata/note.txt"))
	got := elementLines(read("testdata/show-itl.golden") + read("testdata/show-itl-reset.golden"))
	if len(got) != len(want) || len(got) < 100 {
		t.Fatalf("%d lines, the note has %d", len(got), len(want))
	}
	// What is printed here, and in the note.
	differences := map[string][2]string{
		"ISSUERNAM": {"5 ISSUERNAME ", "5 ISSUERNAM "}, "CETHASH": {"11 CERTHASH ", "11 CETHASH "},
		"ITLRECOVERY_test10pub.joe2.lab": {"CN=ITLRECOVERY_test10pub.joe2.lab;", "CN=ITLRECOVERY_test10pub.joemar2.lab;"},
	}
	known := map[string]int{}
	for i := range got {
		line := got[i]
		for name, d := range differences {
			if strings.Contains(want[i], d[1]) {
				if next := strings.Replace(line, d[0], d[1], 1); next != line {
					line = next
					known[name]++
				}
			}
		}
		if line != want[i] {
			t.Errorf("line %d: %q, the note has %q", i+1, got[i], want[i])
		}
	}
	if want := map[string]int{"ISSUERNAM": 10, "CETHASH": 1, "ITLRECOVERY_test10pub.joe2.lab": 6}; !maps.Equal(known, want) {
		t.Errorf("known differences %v, want %v", known, want)
	}
	page := read("../../docs/cluster.md")
	for name := range differences {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/cluster.md does not have %s", name)
		}
	}
}
