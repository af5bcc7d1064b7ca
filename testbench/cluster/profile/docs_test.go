package profile

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keys are those of a structure as the page writes them.
func keys(t reflect.Type, path string) (all []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := path + f.Tag.Get("yaml")
		switch of := f.Type; {
		case of.Kind() == reflect.Struct:
			all = append(all, keys(of, name+".")...)
		case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
			all = append(all, keys(of.Elem(), name+"[].")...)
		default:
			all = append(all, name)
		}
	}
	return all
}

// The page on clusters has every key of a profile's file, and no other.
func TestKeysAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| key | what it is |")
	table, _, _ = strings.Cut(table, "\n\n")
	if !ok {
		t.Fatal("no table of keys")
	}
	var documented []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented = append(documented, m[1])
		}
	}
	all := keys(reflect.TypeFor[config](), "")
	for _, key := range all {
		if !slices.Contains(documented, key) {
			t.Errorf("docs/cluster.md does not explain %s", key)
		}
	}
	for _, key := range documented {
		if !slices.Contains(all, key) && key != "nodes" {
			t.Errorf("docs/cluster.md explains %s, which no file has", key)
		}
	}
}
