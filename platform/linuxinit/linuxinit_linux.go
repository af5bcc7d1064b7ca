// Package linuxinit does the work of the first process of a Linux system: it mounts
// file systems, loads modules, sets an address and the clock, reaps orphans, feeds the
// watchdog, and turns the power off.
//
//	if linuxinit.First() {
//		err := linuxinit.Mount()
//		err = linuxinit.Address("eth0", "10.0.2.15/24", "10.0.2.2")
//		go linuxinit.Reap(ctx)
//		w, err := linuxinit.OpenWatchdog("/dev/watchdog", linuxinit.WatchdogTimeout)
//		defer linuxinit.PowerOff()
//	}
//
// The functions need root, and change the whole machine. They are not safe for
// concurrent use, except Reap and the methods of Watchdog. Sources: the manual pages
// netdevice(7), mount(2), finit_module(2), reboot(2), clock_settime(2), and Linux's
// Documentation/watchdog/watchdog-api.rst.
package linuxinit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// First reports whether this is the first process.
func First() bool { return os.Getpid() == 1 }

// mounts are the file systems that every system has.
var mounts = []struct{ kind, at, options string }{
	{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", ""}, {"tmpfs", "/tmp", "size=4m"}, {"tmpfs", "/run", "size=1m"},
}

// Mount mounts proc, sysfs, devtmpfs and two tmpfs. It leaves alone what is mounted
// already.
func Mount() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		err := unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID|unix.MS_NOEXEC, m.options)
		if err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.at, err)
		}
	}
	return nil
}

// Modules loads the modules of a directory in the order of its file modules.load, one
// name a line. A missing modules.load means that there are none; a module that is
// loaded already is not an error.
func Modules(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, "modules.load"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		f, err := os.Open(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return nil
}

// WaitFile waits up to driverWait for a device whose driver is still starting; "" is
// always there.
func WaitFile(path string) error {
	if path == "" {
		return nil
	}
	for deadline := time.Now().Add(driverWait); ; time.Sleep(driverPoll) {
		_, err := os.Stat(path)
		if err == nil || !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			return err
		}
	}
}

// Reap waits for orphans until the context ends. The program must not start children
// of its own: Reap would take their exit codes.
func Reap(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-died:
		}
	}
}

// PowerOff syncs the file systems and turns the power off; it returns only with an
// error. A program that wants a reboot panics instead: the kernel panics when its first
// process ends, and reboots if it was started with panic=SECONDS.
func PowerOff() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
