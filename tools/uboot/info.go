package uboot

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// answer is how long a command that does no work may take; lines are slow.
const answer = 20 * time.Second

// Has says whether the loader has a command.
func (l *Loader) Has(ctx context.Context, command string) (bool, error) {
	out, err := l.Run(ctx, answer, "help "+command)
	if errors.Is(err, ErrResult) { // also after it has helped
		err = nil
	}
	return err == nil && !strings.Contains(out, "Unknown command"), err
}

// Version is what the loader says of itself.
type Version struct {
	Text string // "U-Boot 2023.01+dfsg-2 ..."
	Arch string // arm, arm64, mips, mipsle or amd64, by its compiler; "" where that is not known
}

// Version asks for the version.
func (l *Loader) Version(ctx context.Context) (Version, error) {
	out, err := l.Run(ctx, answer, "version")
	return ParseVersion(out), err
}

var compilers = []struct{ prefix, arch string }{
	{"aarch64", "arm64"}, {"arm", "arm"}, {"mipsel", "mipsle"}, {"mips64", ""}, {"mips", "mips"}, {"x86_64", "amd64"},
}

// ParseVersion reads the output of version.
func ParseVersion(out string) (v Version) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if v.Text == "" && strings.HasPrefix(line, "U-Boot ") {
			v.Text = line
		}
		for _, c := range compilers {
			if v.Arch == "" && strings.HasPrefix(line, c.prefix) && strings.Contains(line, "gcc") {
				v.Arch = c.arch
				break
			}
		}
	}
	return v
}

// Range is a part of memory, in bytes.
type Range struct{ Start, Size uint64 }

// Memory asks for the banks of RAM.
func (l *Loader) Memory(ctx context.Context) ([]Range, error) {
	out, err := l.Run(ctx, answer, "bdinfo")
	return ParseMemory(out), err
}

var (
	bankLine   = regexp.MustCompile(`(?m)^\s*->\s*start\s*=\s*0x([0-9a-fA-F]{1,16})\s*\n\s*->\s*size\s*=\s*0x([0-9a-fA-F]{1,16})\s*$`)
	memoryLine = regexp.MustCompile(`(?m)^\s*memstart\s*=\s*0x([0-9a-fA-F]{1,16})\s*\n\s*memsize\s*=\s*0x([0-9a-fA-F]{1,16})\s*$`)
)

// ParseMemory reads the output of bdinfo.
func ParseMemory(out string) (banks []Range) {
	for _, re := range []*regexp.Regexp{bankLine, memoryLine} {
		for _, g := range re.FindAllStringSubmatch(strings.ReplaceAll(out, "\r", ""), -1) {
			start, err1 := strconv.ParseUint(g[1], 16, 64)
			size, err2 := strconv.ParseUint(g[2], 16, 64)
			if errors.Join(err1, err2) == nil && size > 0 && start+size > start {
				banks = append(banks, Range{start, size})
			}
		}
	}
	return banks
}

var flashLine = regexp.MustCompile(`Size: (\d{1,6}) (MB|kB) in (\d{1,6}) Sectors`)

// ParseFlash reads the output of flinfo: the sizes of the banks of NOR flash, in bytes.
func ParseFlash(out string) (banks []int64) {
	for _, g := range flashLine.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.ParseInt(g[1], 10, 64) // six digits at most
		banks = append(banks, n*map[string]int64{"MB": 1 << 20, "kB": 1 << 10}[g[2]])
	}
	return banks
}

var sumLine = regexp.MustCompile(`(?m)==> ([0-9a-fA-F]{8})\s*$`)

// Checksum asks for the CRC-32 of a part of memory.
func (l *Loader) Checksum(ctx context.Context, limit time.Duration, at uint64, size int64) (uint32, error) {
	command := fmt.Sprintf("crc32 %x %x", at, size)
	out, err := l.Run(ctx, limit, command)
	if err != nil {
		return 0, err
	}
	return ParseChecksum(out)
}

// ParseChecksum reads the output of crc32.
func ParseChecksum(out string) (uint32, error) {
	g := sumLine.FindStringSubmatch(strings.ReplaceAll(out, "\r", ""))
	if g == nil {
		return 0, fmt.Errorf("crc32: %w: no checksum in its output", ErrResult)
	}
	n, err := strconv.ParseUint(g[1], 16, 32)
	return uint32(n), err
}
