package trust

import (
	"fmt"
	"strings"
)

// Renamed says why a file that calls itself named is not the one that was asked
// for, "" where it is. Signed files must have the very name, ".sgn" and the case of
// letters aside; of lists, whose name in CUCM is the same for all phones, only the
// device counts, where both names have one. Where nothing was asked for by name,
// any name will do.
func Renamed(asked, named string) string {
	switch {
	case asked == "":
		return ""
	case named == "":
		return fmt.Sprintf("it has no FILENAME, asked for %.60q", asked)
	case hasSuffixFold(asked, ".tlv") && hasSuffixFold(named, ".tlv"):
		if a, b := Device(asked), Device(named); a == b || a == "" || b == "" {
			return ""
		}
	case strings.EqualFold(withoutSign(asked), withoutSign(named)):
		return ""
	}
	return fmt.Sprintf("FILENAME is %.60q, asked for %.60q", named, asked)
}

// Device returns the device that the name of a file speaks of, such as
// "SEP64A0E71502CC", or "".
func Device(name string) string {
	const prefix, digits = "SEP", 12
	upper := strings.ToUpper(name)
	for at := 0; ; at++ {
		next := strings.Index(upper[at:], prefix)
		if next < 0 {
			return ""
		}
		at += next
		if end := at + len(prefix) + digits; end <= len(upper) && strings.Trim(upper[at+len(prefix):end], "0123456789ABCDEF") == "" {
			return upper[at:end]
		}
	}
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// withoutSign returns a name without the ending of signed files.
func withoutSign(name string) string {
	const ending = ".sgn"
	if hasSuffixFold(name, ending) {
		return name[:len(name)-len(ending)]
	}
	return name
}
