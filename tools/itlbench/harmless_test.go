package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// JSON and error lines have nothing that a terminal obeys, whatever names and arguments
// are, and JSON still says the same.
func TestOutputIsHarmless(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x300; r++ {
		all.WriteRune(r)
	}
	all.WriteString("\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\U000e0001\U0001f600")
	var out bytes.Buffer
	printJSON(&out, map[string]string{"name": all.String()})
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["name"] != all.String() {
		t.Errorf("read back: %v", err)
	}
	var stderr bytes.Buffer
	e := &env{stdin: strings.NewReader(""), stdout: &stderr, stderr: &stderr}
	if code := run([]string{"show", "no\x1b[31m\u009b\u202e"}, e); code == exitOK {
		t.Errorf("code %d", code)
	}
	run([]string{"x\x1b[31m\u009b"}, e)
	for name, text := range map[string]string{"JSON": out.String(), "errors": stderr.String()} {
		for i, r := range text {
			if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2028 || r == 0x200b || r == 0xe0001 || r == utf8.RuneError) {
				t.Errorf("%s: %U at %d", name, r, i)
			}
		}
	}
}
