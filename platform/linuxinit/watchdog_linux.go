package linuxinit

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// feedsPerTimeout bounds how often Feed goes to the device: some are behind a slow bus.
const feedsPerTimeout = 60

// Watchdog is an open watchdog device, which resets the board unless it is fed. The
// loop that does the program's work feeds it at every bounded step, so that the board
// is reset when that loop hangs; feeding it from a goroutine of its own would defeat
// it. A nil Watchdog, of a board without one, can be fed and closed. It is safe for
// concurrent use.
type Watchdog struct {
	mu      sync.Mutex
	dev     watchdogDevice
	timeout time.Duration
	fed     time.Time
}

// watchdogDevice is what a Watchdog asks of the kernel. Tests have one of their own.
type watchdogDevice interface {
	Write(p []byte) (int, error)
	Close() error
	setTimeout(seconds int) error
	getTimeout() (seconds int, err error)
}

// kernelWatchdog is a device file.
type kernelWatchdog struct{ *os.File }

func (k kernelWatchdog) setTimeout(seconds int) error {
	return unix.IoctlSetPointerInt(int(k.Fd()), unix.WDIOC_SETTIMEOUT, seconds)
}

func (k kernelWatchdog) getTimeout() (int, error) {
	n, err := unix.IoctlGetUint32(int(k.Fd()), unix.WDIOC_GETTIMEOUT)
	return int(n), err
}

// OpenWatchdog opens a watchdog, which starts it, and sets its timeout in whole
// seconds, rounded up. Without the device the error is fs.ErrNotExist. A driver that
// does not grant the whole timeout would reset a program that works: it is closed
// again, and an error.
func OpenWatchdog(path string, timeout time.Duration) (*Watchdog, error) {
	info, err := os.Stat(path) // opening some other device could do harm
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeCharDevice == 0 {
		return nil, fmt.Errorf("%s: not a character device", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	w, err := newWatchdog(kernelWatchdog{f}, timeout)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

// newWatchdog sets the timeout of an open device, and closes it where that fails.
func newWatchdog(dev watchdogDevice, timeout time.Duration) (*Watchdog, error) {
	w := &Watchdog{dev: dev}
	want := int((timeout + time.Second - 1) / time.Second)
	setErr := dev.setTimeout(want) // many cannot: what counts is what they have then
	have, err := dev.getTimeout()
	switch {
	case err != nil:
		err = fmt.Errorf("watchdog without a known timeout: %w", err)
	case have < want:
		err = errors.Join(fmt.Errorf("the watchdog resets the board after %d s, %d s are needed: not used", have, want), setErr)
	}
	if err == nil {
		w.timeout = time.Duration(have) * time.Second
		err = w.Feed()
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Timeout is the time after which the device resets the board, as its driver says; 0
// without a device.
func (w *Watchdog) Timeout() time.Duration {
	if w == nil {
		return 0
	}
	return w.timeout
}

// Feed puts the reset off for another Timeout. It may be called as often as is
// convenient: most calls do nothing.
func (w *Watchdog) Feed() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if !w.fed.IsZero() && now.Sub(w.fed) < w.timeout/feedsPerTimeout {
		return nil
	}
	if _, err := w.dev.Write([]byte{0}); err != nil {
		return err
	}
	w.fed = now
	return nil
}

// magicClose, written last, tells the driver that the close is meant.
const magicClose = "V"

// Close stops the watchdog, for an orderly power-off alone: a program that ends in any
// other way leaves it running, and the board is reset. A kernel that was built or
// started with nowayout lets it run on nevertheless.
func (w *Watchdog) Close() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.dev.Write([]byte(magicClose))
	return errors.Join(err, w.dev.Close())
}
