package fleet

import (
	"fmt"
	"os"

	"itlagent/platform/readfile"
)

// Resident returns how much memory this process has resident, in bytes; 0 where the system
// does not say.
func Resident() int {
	data, err := readfile.AtMost("/proc/self/statm", 4096)
	if err != nil {
		return 0
	}
	var total, resident int
	if _, err := fmt.Sscan(string(data), &total, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize()
}
