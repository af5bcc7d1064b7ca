package qemu

import "syscall"

// childAttributes keep Ctrl-C from an emulator, and end it with this program, even one
// that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
