package strictyaml_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"itlagent/platform/strictyaml"
)

type document struct {
	Name   string   `yaml:"name"`
	Parts  []string `yaml:"parts"`
	Number int      `yaml:"number"`
	Truth  bool     `yaml:"truth"`
}

func TestUnmarshal(t *testing.T) {
	var d document
	if err := strictyaml.Unmarshal([]byte("name: a\nparts: [b, c]\n"), &d); err != nil || d.Name != "a" || len(d.Parts) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	for name, test := range map[string][2]string{
		"an unknown key": {"name: a\ncolour: red\n", "line 2: unknown field \"colour\""},
		"a wrong type":   {"name: a\nparts: {b: c}\n", "line 2: "},
		"no number":      {"parts: []\nnumber: x\n", "line 2: a number belongs here"},
		"no truth value": {"truth: maybe\n", "line 1: true or false belongs here"},
		"a list":         {"name: [1]\n", "line 1: a text belongs here"},
		"a tab":          {"\t{", "line 1"},
		"too long":       {strings.Repeat("#", strictyaml.MaxSize+1), "at most 262144"},
	} {
		if err := strictyaml.Unmarshal([]byte(test[0]), &d); err == nil || !strings.Contains(err.Error(), test[1]) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, test[1])
		}
	}
	// What the library panics on is an error.
	if err := strictyaml.Unmarshal([]byte("parts: !0000000 00"), &d); !errors.Is(err, strictyaml.ErrUnreadable) {
		t.Errorf("a panic of the library: %v", err)
	}
}

// Nothing that a document is made of takes more memory than a fixed multiple of the
// largest one, or seconds: the library alone took 2.5 GB for 40 KB of brackets.
func TestBoundedMemory(t *testing.T) {
	indented := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
		return b.String()
	}
	for name, unit := range map[string]string{"[": "[", "{": "{a: ", "-": "- ", "?": "? ", "mixed": "- [{a: ", "&": "&a ", "!": "!a ", ":": ": ", "quotes": "\"", "|": "|\n ", "closed": "[]"} {
		for _, size := range []int{40 << 10, strictyaml.MaxSize} {
			text := strings.Repeat(unit, size/len(unit))
			if got := allocated(func() {
				var v any
				if err := strictyaml.Unmarshal([]byte(text), &v); err == nil && name != "|" { // one long text
					t.Errorf("%s, %d bytes: accepted", name, len(text))
				}
			}); got > 1<<10*strictyaml.MaxSize {
				t.Errorf("%s, %d bytes: %d MiB of memory", name, len(text), got>>20)
			}
		}
	}
	for n, ok := range map[int]bool{strictyaml.MaxDepth - 1: true, strictyaml.MaxDepth: true, strictyaml.MaxDepth + 1: false, 600: false} {
		for _, text := range []string{strings.Repeat("[", n) + strings.Repeat("]", n), strings.Repeat("- ", n) + "x", indented(n)} {
			var v any
			if err := strictyaml.Unmarshal([]byte(text), &v); (err == nil) != ok {
				t.Errorf("%d levels of %.12q: %v", n, text, err)
			}
		}
	}
}

func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte("name: a\nparts: [b, c]\n"))
	f.Add([]byte("parts: !0000000 00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d document
		if err := strictyaml.Unmarshal(data, &d); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("an error of several lines: %q", err)
		}
	})
}
