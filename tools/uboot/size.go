package uboot

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	startLine = regexp.MustCompile(`(?s)^[^#]*?Sector Start Addresses:\s*([0-9a-fA-F]{6,16})\b`)
	chipLine  = regexp.MustCompile(`SF: Detected [^\n]*, total (\d{1,7}) ([KMG])iB`)
	mtdLine   = regexp.MustCompile(`0x([0-9a-fA-F]{1,15})-0x([0-9a-fA-F]{1,15}) : "([^"\n]{1,64})"`)
	cardLine  = regexp.MustCompile(`(?m)^\s*Capacity: (\d{1,7})(?:\.(\d))? ([KMG])iB\s*$`)
	diskLine  = regexp.MustCompile(`Capacity: [^\n]*\((\d{1,13}) x (\d{3,5})\)`)
)

var units = map[string]int64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

// ParseBanks reads the output of flinfo: where banks of NOR flash lie in memory. A bank
// without the addresses of its sectors is left out.
func ParseBanks(out string) (banks []Range) {
	out = strings.ReplaceAll(out, "\r", "")
	for _, at := range flashLine.FindAllStringIndex(out, -1) {
		g := startLine.FindStringSubmatch(out[at[1]:])
		if g == nil {
			continue
		}
		start, err := strconv.ParseUint(g[1], 16, 64)
		size := uint64(ParseFlash(out[at[0]:at[1]])[0])
		if err == nil && size > 0 && start+size > start {
			banks = append(banks, Range{start, size})
		}
	}
	return banks
}

// ParseStorage reads what a loader says of the size of its storage: the output of sf
// probe, of mtd list for the device of this name, of mmc info, virtio info or ide info.
// It is in bytes, and 0 where the output does not say. Where the loader rounds, the
// result is the most that it can be.
func ParseStorage(kind, device, out string) int64 {
	out = strings.ReplaceAll(out, "\r", "")
	switch kind {
	case "sf":
		if g := chipLine.FindStringSubmatch(out); g != nil {
			n, _ := strconv.ParseInt(g[1], 10, 64) // seven digits at most
			return n * units[g[2]]
		}
	case "mtd":
		for _, g := range mtdLine.FindAllStringSubmatch(out, -1) {
			first, _ := strconv.ParseInt(g[1], 16, 64) // 60 bits at most
			end, _ := strconv.ParseInt(g[2], 16, 64)
			if g[3] == device && end > first {
				return end - first
			}
		}
	default:
		if g := diskLine.FindStringSubmatch(out); g != nil {
			n, _ := strconv.ParseInt(g[1], 10, 64)
			size, _ := strconv.ParseInt(g[2], 10, 64)
			return n * size // 13 digits and 5: below 2^63
		}
		if g := cardLine.FindStringSubmatch(out); g != nil {
			n, _ := strconv.ParseInt(g[1], 10, 64)
			tenth := units[g[3]] / 10
			if g[2] == "" {
				return n * units[g[3]]
			}
			d, _ := strconv.ParseInt(g[2], 10, 64)
			return n*units[g[3]] + (d+1)*tenth
		}
	}
	return 0
}
