package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"itlagent/testbench/cluster"
)

const (
	// upLog is the file in a cluster's directory with what a detached process says.
	upLog = "up.log"
	// readyFD is the descriptor on which a detached process says that it is up: what it
	// writes there is for its caller's output.
	readyFD = 3
	// maxReady bounds what is read of that, in bytes.
	maxReady = 1 << 20
	// detachedFlag tells a process that it is the detached one.
	detachedFlag = "detached"
)

// detach runs the same command in a session of its own, and returns once every port of
// its nodes is open, or with the code that it ended with.
func (e *env) detach(dir string, args []string) int {
	program, err := os.Executable()
	if err != nil {
		return e.fail(exitInfra, "cluster up: %v", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return e.fail(exitInfra, "cluster up: %v", plainPath(err))
	}
	log, err := os.OpenFile(filepath.Join(dir, upLog), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return e.fail(exitInfra, "cluster up: %v", plainPath(err))
	}
	defer log.Close()
	ready, far, err := os.Pipe()
	if err != nil {
		return e.fail(exitInfra, "cluster up: %v", err)
	}
	defer ready.Close()
	cmd := exec.Command(program, append([]string{"cluster", "up", "--" + detachedFlag}, args...)...)
	cmd.Args[0] = "itlbench"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{far}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	far.Close()
	if err != nil {
		return e.fail(exitInfra, "cluster up: %v", err)
	}
	said, err := io.ReadAll(io.LimitReader(ready, maxReady))
	if err == nil && bytes.HasSuffix(said, []byte("\n\n")) {
		e.stdout.Write(said[:len(said)-1])
		return exitOK
	}
	cmd.Wait() // it has said all that it had to say, and failed
	why := make([]byte, 4<<10)
	n, _ := log.ReadAt(why, 0)
	e.stderr.Write(why[:n]) // printed harmlessly by it
	if code := cmd.ProcessState.ExitCode(); code > exitOK {
		return code
	}
	return e.fail(exitInfra, "cluster up: it ended while it started; see %s", log.Name())
}

// withoutDetach returns the arguments of the detached process.
func withoutDetach(args []string) (rest []string) {
	for _, a := range args {
		if a != "--detach" && a != "--detach=true" {
			rest = append(rest, a)
		}
	}
	return rest
}

// untilReady sends what the command prints to its caller where it is the detached one,
// until what it returns is called, which says that the cluster is up.
func (e *env) untilReady(detached bool) (ready func()) {
	if !detached {
		return func() {}
	}
	own, caller := e.stdout, os.NewFile(readyFD, "ready")
	e.stdout = caller
	return func() {
		fmt.Fprintln(caller)
		caller.Close()
		e.stdout = own
	}
}

// waitUp waits until every node of a cluster is up.
func waitUp(ctx context.Context, c *cluster.Cluster, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var down []string
		for _, st := range c.Status() {
			if !st.Up {
				down = append(down, st.Name)
			}
		}
		if len(down) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not up: %s", strings.Join(down, ", "))
		case <-time.After(followEvery):
		}
	}
}
