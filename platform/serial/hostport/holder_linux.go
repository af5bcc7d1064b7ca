package hostport

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	tcget = unix.TCGETS
	tcset = unix.TCSETS
)

// holder looks for a process that has a device open, another than this one if it can.
// It returns 0 where it sees none: those of other users are hidden.
func holder(real string) int {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0
	}
	found := 0
	for _, l := range links {
		if to, err := os.Readlink(l); err != nil || to != real {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(l, "/")[2])
		if err != nil {
			continue
		}
		if pid != os.Getpid() {
			return pid
		}
		found = pid
	}
	return found
}

// program returns the name of a process, which may be anything.
func program(pid int) string {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil || pid == 0 {
		return ""
	}
	return strings.TrimSpace(string(name))
}
