//go:build !small

package web

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
)

// Whatever a text has, the page has letters, digits and entities of characters that
// can be seen.
func TestEscape(t *testing.T) {
	for r := rune(0); r < 0x3000; r++ {
		for _, s := range []string{string(r), "a" + string(r) + "b", string([]byte{byte(r)})} {
			got := escape(s)
			if strings.ContainsAny(got, "<>\"'\x00\r\n\x1b\u0085\u202e") || strings.ContainsFunc(got, func(r rune) bool { return r > '~' }) {
				t.Fatalf("%q: %q", s, got)
			}
			if !unicode.IsGraphic(r) && strings.Contains(got, fmt.Sprintf("&#x%X;", r)) {
				t.Fatalf("%U is an entity: %q", r, got)
			}
		}
	}
	if got := escape("CN=a\u202eb\x1b[2J<c>"); got != `CN=a&#x5C;u202eb&#x5C;x1b&#x5B;2J&#x3C;c&#x3E;` {
		t.Error(got)
	}
}
