// Package shellcmd runs a command line of the user's own by sh.
//
//	cmd := shellcmd.New(ctx, "relay 3 off")
//	err := cmd.Run()
//
// When the context ends, the command ends with all that it started, not the shell alone.
// What a command that ends by itself leaves running in the background runs on.
package shellcmd

import (
	"context"
	"os/exec"
	"syscall"
	"time"
)

// New returns a command that is not started yet. What it starts may keep its output
// open for a second behind its end; Run then returns exec.ErrWaitDelay.
func New(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}
