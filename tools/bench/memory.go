package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"itlagent/testbench/cluster"
	"itlagent/testbench/cluster/profile"
)

// memoryLimit is what the device program may hold after a whole cycle, in bytes.
const memoryLimit = 16 << 20

// residentMemory runs the device program on this machine against a cluster until
// it has finished a cycle, and returns what it holds then, and held at most, in
// bytes.
func residentMemory() (now, peak int, err error) {
	dir, err := os.MkdirTemp("", "itlagent-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "itlagent")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./firmware/itlagent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, out)
	}
	c, err := cluster.New(profile.Note(), cluster.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return 0, 0, err
	}
	phone := exec.Command(program, "-mac", "64A0E71502CC", "-tftp", c.Publisher().Address(), "-state", filepath.Join(dir, "state"), "-web", "127.0.0.1:0")
	out, err := phone.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := phone.Start(); err != nil {
		return 0, 0, err
	}
	defer func() { phone.Process.Kill(); phone.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return 0, 0, fmt.Errorf("the phone ends: %w", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", phone.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(status), name+":")
		kib, err := strconv.Atoi(strings.Fields(rest + " x")[0])
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return field("VmRSS"), field("VmHWM"), nil
}
