//go:build 386 || arm || mips || mipsle

package linuxinit

import "golang.org/x/sys/unix"

// The calls with 64-bit time of 32-bit machines, since Linux 5.1.
const (
	sysClockGettime = unix.SYS_CLOCK_GETTIME64
	sysClockSettime = unix.SYS_CLOCK_SETTIME64
)
