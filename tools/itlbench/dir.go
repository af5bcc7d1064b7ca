package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// dirVariable names the cluster of a shell session, so that its lines need no --dir.
const dirVariable = "ITLBENCH_DIR"

// defaultDir keeps the cluster where no --dir is given.
var defaultDir = dirOfSession()

func dirOfSession() string { return firstOf(os.Getenv(dirVariable), "itlbench-cluster") }

func dirFlag(f *pflag.FlagSet) *string {
	return f.String("dir", defaultDir, "`DIR` that keeps the cluster; "+dirVariable+" sets another default")
}

// dirInFront moves a --dir that stands in front of the command behind it.
func dirInFront(args []string) ([]string, error) {
	var dirs []string
	for len(args) > 0 {
		n := dirWords(args)
		if n == 0 {
			break
		}
		if n > len(args) {
			return nil, errors.New("--dir: no directory given")
		}
		dirs, args = append(dirs, args[:n]...), args[n:]
	}
	if len(dirs) == 0 {
		return args, nil
	}
	if len(args) == 0 {
		return nil, errors.New("--dir, but no command")
	}
	return slices.Concat(args[:1], dirs, args[1:]), nil
}

// dirBehind returns the arguments of a command without its name. A --dir between cluster
// and its command, and one among the words of admin, whose own commands have no such word,
// stand where those look for it.
func dirBehind(line []string) []string {
	args := line[1:]
	switch line[0] {
	case "cluster":
		n := 0
		for n < len(args) && dirWords(args[n:]) > 0 && n+dirWords(args[n:]) < len(args) {
			n += dirWords(args[n:])
		}
		if n > 0 {
			return slices.Concat(args[n:n+1], args[:n], args[n+1:])
		}
	case "admin":
		for at := 1; at < len(args) && args[at-1] != "--"; at++ {
			if n := dirWords(args[at:]); n > 0 && at+n <= len(args) {
				return slices.Concat(args[at:at+n], args[:at], args[at+n:])
			}
		}
	}
	return args
}

// dirWords returns how many words a --dir at the front takes: 0 where there is none.
func dirWords(args []string) int {
	switch {
	case len(args) == 0:
	case args[0] == "--dir":
		return 2
	case strings.HasPrefix(args[0], "--dir="):
		return 1
	}
	return 0
}
