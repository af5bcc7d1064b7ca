package wording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"itlagent/agent/printable"
)

// JSON writes one object on one line.
func JSON(w io.Writer, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
	io.WriteString(w, EscapeJSON(b.String()))
}

// EscapeJSON writes what would disturb a terminal as \\u escapes: encoding/json leaves C1
// and bidi controls as they are. Outside of strings JSON has none of them.
func EscapeJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || printable.Text(string(r)) == string(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
