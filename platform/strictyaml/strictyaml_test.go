package strictyaml_test

import (
	"errors"
	"strings"
	"testing"

	"itlagent/platform/strictyaml"
)

type document struct {
	Name  string   `yaml:"name"`
	Parts []string `yaml:"parts"`
}

func TestUnmarshal(t *testing.T) {
	var d document
	if err := strictyaml.Unmarshal([]byte("name: a\nparts: [b, c]\n"), &d); err != nil || d.Name != "a" || len(d.Parts) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	for name, test := range map[string][2]string{
		"an unknown key": {"name: a\ncolour: red\n", "line 2: unknown field \"colour\""},
		"a wrong type":   {"name: a\nparts: {b: c}\n", "line 2: "},
		"a tab":          {"\t{", "line 1"},
		"too long":       {strings.Repeat("#", strictyaml.MaxSize+1), "at most 1048576"},
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
