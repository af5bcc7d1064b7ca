// Package linuxinit is what the first process of a Linux system owes: file systems,
// modules, an address, the reaping of orphans, the watchdog, and the end.
//
//	if linuxinit.First() {
//		err := linuxinit.Mount()
//		err = linuxinit.Address("eth0", "10.0.2.15/24", "10.0.2.2")
//		go linuxinit.Reap(ctx)
//		defer linuxinit.PowerOff()
//	}
//
// Its functions are for one process that runs as root with nobody else about; they
// are not safe for concurrent use but for Reap and Watchdog. Sources: the manual
// pages netdevice(7), mount(2), finit_module(2), reboot(2), and Linux'
// Documentation/watchdog.
package linuxinit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// First reports whether this is the first process.
func First() bool { return os.Getpid() == 1 }

// mounts are those that every system has.
var mounts = []struct{ kind, at, options string }{
	{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", ""}, {"tmpfs", "/tmp", "size=4m"}, {"tmpfs", "/run", "size=1m"},
}

// Mount mounts proc, sysfs, devtmpfs and two tmpfs. What is mounted already is
// left alone.
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

// Modules loads every module of a directory in the order of the file modules.load
// in it, one name a line. A missing file means that there are none; a module that
// is loaded already is no error.
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

// ifreq is struct ifreq with an IPv4 address, or flags, in its union.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

// Address gives an interface an IPv4 address with its prefix, "10.0.2.15/24", brings
// it up, and sets the default route where gateway is not "". It waits a few seconds
// for an interface whose driver is not there yet. The loopback interface comes up
// too.
func Address(name, prefix, gateway string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := up(fd, "lo"); err != nil {
		return err
	}
	if name == "" {
		return nil
	}
	p, err := netip.ParsePrefix(prefix)
	if err != nil || !p.Addr().Is4() || len(name) >= unix.IFNAMSIZ {
		return fmt.Errorf("interface %q, address %q: want a name and an IPv4 address with its prefix", name, prefix)
	}
	const wait = 5 * time.Second
	for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		if _, err = net.InterfaceByName(name); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	set := func(request uintptr, a netip.Addr) error {
		var r ifreq
		copy(r.name[:], name)
		binary.NativeEndian.PutUint16(r.data[0:], unix.AF_INET)
		copy(r.data[4:], a.AsSlice())
		return ioctl(fd, request, unsafe.Pointer(&r))
	}
	mask, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), 32))
	if err := set(unix.SIOCSIFADDR, p.Addr()); err != nil {
		return fmt.Errorf("interface %s: address: %w", name, err)
	}
	if err := set(unix.SIOCSIFNETMASK, mask); err != nil {
		return fmt.Errorf("interface %s: netmask: %w", name, err)
	}
	if err := up(fd, name); err != nil {
		return err
	}
	if gateway == "" {
		return nil
	}
	return route(fd, gateway)
}

func up(fd int, name string) error {
	var r ifreq
	copy(r.name[:], name)
	if err := ioctl(fd, unix.SIOCGIFFLAGS, unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	flags := binary.NativeEndian.Uint16(r.data[:])
	binary.NativeEndian.PutUint16(r.data[:], flags|unix.IFF_UP|unix.IFF_RUNNING)
	if err := ioctl(fd, unix.SIOCSIFFLAGS, unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("interface %s: up: %w", name, err)
	}
	return nil
}

// rtentry is struct rtentry of the kernel.
type rtentry struct {
	pad1               uintptr
	dst, gateway, mask [16]byte
	flags              uint16
	pad2               int16
	pad3, pad4         uintptr
	metric             int16
	dev                uintptr
	mtu, window        uintptr
	irtt               uint16
}

func route(fd int, gateway string) error {
	a, err := netip.ParseAddr(gateway)
	if err != nil || !a.Is4() {
		return fmt.Errorf("gateway %q is no IPv4 address", gateway)
	}
	var r rtentry
	for _, s := range []*[16]byte{&r.dst, &r.gateway, &r.mask} {
		binary.NativeEndian.PutUint16(s[:], unix.AF_INET)
	}
	copy(r.gateway[4:], a.AsSlice())
	r.flags = unix.RTF_UP | unix.RTF_GATEWAY
	if err := ioctl(fd, unix.SIOCADDRT, unsafe.Pointer(&r)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("gateway %s: %w", gateway, err)
	}
	return nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// Reap waits for children that nobody else waits for, until the context ends. The
// program must start none of its own.
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

// Watchdog feeds a watchdog until the context ends, and then closes it in the way
// that does not reset the board. Without the device nothing happens. A program that
// hangs stops feeding it.
func Watchdog(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	const feed = 10 * time.Second // of the usual 60
	for tick := time.NewTicker(feed); ; {
		if _, err := f.Write([]byte{0}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			_, err := f.WriteString("V") // the magic close
			return err
		case <-tick.C:
		}
	}
}

// Clock sets the clock where it stands before the given time, as on a board without
// an RTC, and reports whether it did.
func Clock(least time.Time) (bool, error) {
	if !time.Now().Before(least) {
		return false, nil
	}
	tv := unix.NsecToTimeval(least.UnixNano())
	return true, unix.Settimeofday(&tv)
}

// PowerOff ends the machine; it returns only with an error. What has to start the
// machine anew panics: the kernel does too when its first process ends, and reboots
// where it was told so with panic=SECONDS.
func PowerOff() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
