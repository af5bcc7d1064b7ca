//go:build !(386 || arm || mips || mipsle)

package linuxinit

import "golang.org/x/sys/unix"

// Time has 64 bits in every call of 64-bit machines.
const (
	sysClockGettime = unix.SYS_CLOCK_GETTIME
	sysClockSettime = unix.SYS_CLOCK_SETTIME
)
