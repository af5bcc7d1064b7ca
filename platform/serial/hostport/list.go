//go:build linux || darwin

package hostport

import (
	"fmt"
	"slices"
	"strings"

	"itlagent/platform/serial"
)

// Info is a port of this machine. What a USB device says of itself is text from outside.
type Info struct {
	Path            string // /dev/ttyUSB0
	ByID            string // a name that stays, /dev/serial/by-id/..., or none
	USB             bool
	Vendor, Product string // four hex digits each, upper case, of a USB device
	Serial          string // of a USB device; many cheap ones have none
	About           string // what a USB device calls itself
}

// List returns the ports of this machine by their paths. It opens none of them, so that
// those in use are not disturbed.
func List() ([]Info, error) {
	list, err := list()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// OpenUSB opens the port of the USB device with a serial number. The error wraps
// serial.ErrVanished where none is plugged in.
func OpenUSB(number string, mode serial.Mode) (serial.Line, error) {
	ports, err := List()
	if err != nil {
		return nil, err
	}
	return openUSB(ports, number, mode)
}

func openUSB(ports []Info, number string, mode serial.Mode) (serial.Line, error) {
	var found []string
	for _, p := range ports {
		if p.USB && p.Serial == number {
			found = append(found, p.Path)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("usb:%s: no such device is plugged in: %w", number, serial.ErrVanished)
	case 1:
		return Open(found[0], mode)
	}
	return nil, fmt.Errorf("usb:%s is that of several ports (%s): name one by its path", number, strings.Join(found, ", "))
}
