package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sizes prints the device program's size for every target, and what its packages add.
func (b *bench) sizes() error {
	fmt.Fprintln(b.out)
	size := exec.Command("./.ci/size")
	size.Stdout, size.Stderr = b.out, os.Stderr
	if err := size.Run(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "itlagent-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "itlagent")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./firmware/itlagent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=5")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", "-size", program).Output()
	if err != nil {
		return err
	}
	type share struct {
		name  string
		bytes int
	}
	sum := make(map[string]int)
	lines := bufio.NewScanner(bytes.NewReader(symbols))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// ADDRESS SIZE TYPE NAME
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.ContainsAny(f[2], "tTrRdD") { // bss takes no room in the file
			continue
		}
		n, err := strconv.Atoi(f[1])
		if err != nil || n > 4<<20 { // which is reserved, and not in the file
			continue
		}
		sum[packageOf(f[3])] += n
	}
	var all []share
	for name, n := range sum {
		all = append(all, share{name, n})
	}
	slices.SortFunc(all, func(a, b share) int { return b.bytes - a.bytes })
	fmt.Fprintf(b.out, "\nwhat the packages add, linux/arm GOARM=5, symbols alone, the largest and ours:\n")
	const largest = 12
	for i, s := range all {
		if i < largest || strings.HasPrefix(s.name, "itlagent") {
			fmt.Fprintf(b.out, "  %8d  %s\n", s.bytes, s.name)
		}
	}
	return lines.Err()
}

// packageOf returns the package of a symbol such as "crypto/tls.(*Conn).Read".
func packageOf(symbol string) string {
	for _, prefix := range []string{"type:", "go:"} {
		if strings.HasPrefix(symbol, prefix) {
			return "(types and tables)"
		}
	}
	slash := strings.LastIndexByte(symbol, '/')
	if bracket := strings.IndexByte(symbol, '['); bracket >= 0 && slash > bracket {
		slash = strings.LastIndexByte(symbol[:bracket], '/')
	}
	name, _, ok := strings.Cut(symbol[slash+1:], ".")
	if !ok {
		return "(other)"
	}
	return symbol[:slash+1] + name
}
