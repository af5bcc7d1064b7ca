package hostport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"itlagent/platform/serial"
)

// sysfs makes files, and links where the text begins with "->".
func sysfs(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(text) > 2 && text[:2] == "->" {
			err = os.Symlink(text[2:], path)
		} else {
			err = os.WriteFile(path, []byte(text+"\n"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Two adapters, one without a serial number, a port of the machine, and one that is not
// there.
func TestList(t *testing.T) {
	root := sysfs(t, map[string]string{
		"sys/devices/usb1/1-1/idVendor":            "0403",
		"sys/devices/usb1/1-1/idProduct":           "6001",
		"sys/devices/usb1/1-1/serial":              "A50285BI",
		"sys/devices/usb1/1-1/manufacturer":        "FTDI",
		"sys/devices/usb1/1-1/product":             "FT232R USB UART",
		"sys/devices/usb1/1-1/1-1:1.0/ttyUSB0/x":   "",
		"sys/class/tty/ttyUSB0/device":             "->../../../devices/usb1/1-1/1-1:1.0/ttyUSB0",
		"sys/devices/usb1/1-2/idVendor":            "1a86",
		"sys/devices/usb1/1-2/idProduct":           "7523",
		"sys/devices/usb1/1-2/1-2:1.0/x":           "",
		"sys/class/tty/ttyACM1/device":             "->../../../devices/usb1/1-2/1-2:1.0",
		"sys/devices/serial8250/x":                 "",
		"sys/class/tty/ttyS0/device":               "->../../../devices/serial8250",
		"sys/class/tty/ttyS0/type":                 "4",
		"sys/class/tty/ttyS1/device":               "->../../../devices/serial8250",
		"sys/class/tty/ttyS1/type":                 "0",
		"sys/class/tty/tty1/x":                     "",
		"sys/class/tty/ttyUSB9/x":                  "", // it vanishes just now
		"dev/serial/by-id/usb-FTDI_A50285BI-port0": "->../../ttyUSB0",
	})
	got, err := listIn(root)
	want := []Info{
		{Path: "/dev/ttyACM1", USB: true, Vendor: "1A86", Product: "7523"},
		{Path: "/dev/ttyS0"},
		{Path: "/dev/ttyUSB0", ByID: "/dev/serial/by-id/usb-FTDI_A50285BI-port0", USB: true, Vendor: "0403", Product: "6001", Serial: "A50285BI", About: "FTDI FT232R USB UART"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := listIn(t.TempDir()); len(got) != 0 || err != nil {
		t.Errorf("a machine without ttys: %v, %v", got, err)
	}
	if _, err := List(); err != nil {
		t.Errorf("this machine: %v", err)
	}
}

func TestOpenUSB(t *testing.T) {
	_, path := board(t)
	ports := []Info{{Path: path, USB: true, Serial: "one"}, {Path: "/dev/a", USB: true, Serial: "two"}, {Path: "/dev/b", USB: true, Serial: "two"}, {Path: "/dev/c", Serial: "none"}}
	line, err := openUSB(ports, "one", serial.Default)
	if err != nil {
		t.Fatal(err)
	}
	line.Close()
	if _, err := openUSB(ports, "two", serial.Default); fmt.Sprint(err) != "usb:two is that of several ports (/dev/a, /dev/b): name one by its path" {
		t.Error(err)
	}
	if _, err := openUSB(ports, "none", serial.Default); !errors.Is(err, serial.ErrVanished) {
		t.Error(err)
	}
	if _, err := OpenUSB("no such number", serial.Default); !errors.Is(err, serial.ErrVanished) {
		t.Error(err)
	}
}
