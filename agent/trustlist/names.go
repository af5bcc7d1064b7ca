package trustlist

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"itlagent/agent/printable"
)

// SameSerial compares serial numbers as numbers: leading zero bytes do not
// count. An absent serial number equals nothing.
func SameSerial(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	return bytes.Equal(trimZeros(a), trimZeros(b))
}

func trimZeros(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

// FormatSerial writes a serial number as CUCM does: upper-case hex pairs joined
// by colons.
func FormatSerial(serial []byte) string {
	var b strings.Builder
	for i, c := range serial {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return b.String()
}

// SameName compares distinguished names written by different makers: separated
// by ";" or ",", in either order, without regard to quotes, spaces and the case of
// attribute types. An absent name equals nothing. A name only selects a key, which
// then has to verify; a loose comparison therefore admits nobody.
func SameName(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	if bytes.Equal(a, b) {
		return true
	}
	return slices.Equal(nameParts(string(a)), nameParts(string(b)))
}

// nameParts returns the sorted "type=value" parts of a name.
func nameParts(name string) []string {
	var parts []string
	for len(name) > 0 {
		end := partEnd(name)
		part := strings.TrimSpace(name[:end])
		if end < len(name) {
			end++ // the separator
		}
		name = name[end:]
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		value = strings.Map(func(r rune) rune {
			if r == '"' || r == '\\' {
				return -1
			}
			return r
		}, value)
		parts = append(parts, strings.ToLower(strings.TrimSpace(key))+"="+strings.Join(strings.Fields(value), " "))
	}
	slices.Sort(parts)
	return parts
}

// partEnd returns where the first part of a name ends: at a ";" or ","
// that is not escaped and is followed by another "type=". CUCM writes values
// such as "Cisco Systems, Inc." without quotes.
func partEnd(name string) int {
	for i := 1; i < len(name); i++ {
		if (name[i] == ';' || name[i] == ',') && name[i-1] != '\\' && startsWithType(name[i+1:]) {
			return i
		}
	}
	return len(name)
}

// startsWithType reports whether s begins with an attribute type and "=". What
// is left empty after a separator counts too: it ends the name.
func startsWithType(s string) bool {
	s = strings.TrimLeft(s, " ")
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '=':
			return i > 0
		case c == '.' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z':
		default:
			return false
		}
	}
	return s == ""
}

// Printable is printable.Bytes.
func Printable(b []byte) string { return printable.Bytes(b) }
