package linuxinit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// driverWait is how long Address waits for an interface whose driver is still
// starting, and driverPoll how often it looks.
const (
	driverWait = 5 * time.Second
	driverPoll = 20 * time.Millisecond
)

// Address gives an interface an IPv4 address with its prefix, "10.0.2.15/24", brings
// it up, and sets the default route unless gateway is "". It brings the loopback
// interface up too; where name is "" it does nothing else. It waits up to driverWait
// for an interface whose driver is still starting.
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
	if err != nil || !p.Addr().Is4() {
		return fmt.Errorf("interface %q: invalid address %q: want an IPv4 address with its prefix", name, prefix)
	}
	if err := waitFor(name); err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	mask := net.CIDRMask(p.Bits(), 32)
	if err := setAddress(fd, name, unix.SIOCSIFADDR, p.Addr().AsSlice()); err != nil {
		return fmt.Errorf("interface %q: address: %w", name, err)
	}
	if err := setAddress(fd, name, unix.SIOCSIFNETMASK, mask); err != nil {
		return fmt.Errorf("interface %q: netmask: %w", name, err)
	}
	if err := up(fd, name); err != nil {
		return err
	}
	if gateway == "" {
		return nil
	}
	return route(fd, gateway)
}

// waitFor waits until an interface is there.
func waitFor(name string) error {
	if _, err := unix.NewIfreq(name); err != nil { // the name is too long
		return err
	}
	for deadline := time.Now().Add(driverWait); ; time.Sleep(driverPoll) {
		_, err := net.InterfaceByName(name)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// setAddress sets an address, or the netmask, of an interface.
func setAddress(fd int, name string, request uint, address []byte) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := r.SetInet4Addr(address); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, request, r)
}

// up brings an interface up.
func up(fd int, name string) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
		return fmt.Errorf("interface %q: %w", name, err)
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("interface %q: up: %w", name, err)
	}
	return nil
}

// rtentry is the kernel's struct rtentry, for which x/sys/unix has no helper.
type rtentry struct {
	pad1               uintptr
	dst, gateway, mask unix.RawSockaddrInet4
	flags              uint16
	pad2               int16
	pad3, pad4         uintptr
	metric             int16
	dev                uintptr
	mtu, window        uintptr
	irtt               uint16
}

// route sets the default route.
func route(fd int, gateway string) error {
	a, err := netip.ParseAddr(gateway)
	if err != nil || !a.Is4() {
		return fmt.Errorf("invalid gateway %q: want an IPv4 address", gateway)
	}
	any := unix.RawSockaddrInet4{Family: unix.AF_INET}
	r := rtentry{dst: any, gateway: any, mask: any, flags: unix.RTF_UP | unix.RTF_GATEWAY}
	r.gateway.Addr = a.As4()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDRT, uintptr(unsafe.Pointer(&r)))
	if errno != 0 && !errors.Is(errno, unix.EEXIST) {
		return fmt.Errorf("gateway %s: %w", gateway, errno)
	}
	return nil
}
