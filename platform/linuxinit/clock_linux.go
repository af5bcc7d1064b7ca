package linuxinit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// timespecSize is the size of the kernel's struct __kernel_timespec, in bytes: seconds
// and nanoseconds, 64 bits each on every machine.
const timespecSize = 16

// timespec encodes a time for clock_settime64.
func timespec(t time.Time) (b [timespecSize]byte) {
	binary.NativeEndian.PutUint64(b[:], uint64(t.Unix()))
	binary.NativeEndian.PutUint64(b[8:], uint64(t.Nanosecond()))
	return b
}

// fromTimespec decodes what clock_gettime64 returns.
func fromTimespec(b [timespecSize]byte) time.Time {
	return time.Unix(int64(binary.NativeEndian.Uint64(b[:])), int64(binary.NativeEndian.Uint64(b[8:])))
}

// Now is the wall clock, read with 64-bit seconds on every machine: on 32-bit ones
// time.Now wraps around in 2106. It has no monotonic reading.
func Now() time.Time {
	var b [timespecSize]byte
	if _, _, errno := unix.Syscall(sysClockGettime, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&b)), 0); errno != 0 {
		return time.Now().Round(0) // a 32-bit kernel before 5.1
	}
	return fromTimespec(b)
}

// Clock sets the clock if it is before the given time, as on a board without an RTC,
// and reports whether it set it.
func Clock(least time.Time) (bool, error) {
	if !Now().Before(least) {
		return false, nil
	}
	return SetClock(least)
}

// SetClock sets the clock, and reports whether it did. Times after 2038-01-19 need a
// 64-bit machine or Linux 5.1 and later; without them they are an error, and the clock
// stays. Linux refuses times after 2232.
func SetClock(at time.Time) (bool, error) {
	b := timespec(at)
	_, _, errno := unix.Syscall(sysClockSettime, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&b)), 0)
	if errors.Is(errno, unix.ENOSYS) { // a 32-bit kernel before 5.1
		tv, err := timeval(at)
		if err != nil {
			return false, err
		}
		return true, unix.Settimeofday(&tv)
	}
	if errno != 0 {
		return false, errno
	}
	return true, nil
}

// timeval encodes a time for the old call, whose seconds have 32 bits on 32-bit
// machines.
func timeval(t time.Time) (unix.Timeval, error) {
	if s := t.Unix(); s < 0 || s > math.MaxInt32 {
		return unix.Timeval{}, fmt.Errorf("the kernel has no 64-bit time: it cannot set %s", t.UTC().Format(time.RFC3339))
	}
	return unix.NsecToTimeval(t.UnixNano()), nil
}
