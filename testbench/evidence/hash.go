package evidence

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
)

// digests are the hashes by which phones and tools name a list, by their number of hex digits.
// Phones show MD5 or SHA-1 by model, and report SHA-1; public tools compare SHA-512, too.
var digests = map[int]func([]byte) string{
	2 * md5.Size:    func(data []byte) string { sum := md5.Sum(data); return hex.EncodeToString(sum[:]) },
	2 * sha1.Size:   HashOf,
	2 * sha512.Size: func(data []byte) string { sum := sha512.Sum512(data); return hex.EncodeToString(sum[:]) },
}

// HashOf returns how a list is named in alarms: its SHA-1 in lower-case hex.
func HashOf(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

var separators = strings.NewReplacer(" ", "", ":", "", "-", "", "\t", "", "\n", "", "\r", "")

// ParseHash reads the hash of a list as alarms, pages, displays and people write it: MD5, SHA-1 or SHA-512
// in 32, 40 or 128 hex digits, with or without separators. It returns lower-case digits, and ""
// for "Not Installed" and "N/A".
func ParseHash(text string) (string, error) {
	hash := strings.ToLower(separators.Replace(text))
	switch {
	case hash == "" || hash == "notinstalled" || hash == "n/a":
		return "", nil
	case digests[len(hash)] == nil || strings.Trim(hash, "0123456789abcdef") != "":
		return "", fmt.Errorf("invalid hash %.60q: MD5, SHA-1 and SHA-512 have 32, 40 and 128 hex digits", text)
	}
	return hash, nil
}
