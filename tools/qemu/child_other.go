//go:build !linux

package qemu

import "syscall"

// childAttributes keep Ctrl-C from an emulator. Only Linux ends it with a program that
// is killed.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
