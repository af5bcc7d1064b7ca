package hostport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// serialName is what drivers of serial ports call them.
var serialName = regexp.MustCompile(`^tty(S|USB|ACM|AMA|O|HS|mxc|SC|LP|AML|MSM|GS|UL|PS|STM|SAC|XRUSB)[0-9]{1,3}$`)

func list() ([]Info, error) { return listIn("/") }

// listIn reads sysfs. The library's own list opens each ttyS port and sets its rate,
// which garbles what another program is reading from it.
func listIn(root string) ([]Info, error) {
	class := filepath.Join(root, "sys/class/tty")
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := byID(filepath.Join(root, "dev/serial/by-id"))
	var ports []Info
	for _, e := range entries {
		dir := filepath.Join(class, e.Name())
		device, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
		if !serialName.MatchString(e.Name()) || err != nil {
			continue
		}
		if attribute(dir, "type") == "0" {
			continue // 8250's number for a port that is not there, linux/serial.h
		}
		p := Info{Path: "/dev/" + e.Name(), ByID: names[e.Name()]}
		p.usb(device)
		ports = append(ports, p)
	}
	return ports, nil
}

// usb looks upwards for the USB device that a port belongs to.
func (p *Info) usb(device string) {
	const levels = 4 // port, interface, device, and one to spare
	for range levels {
		if vendor := attribute(device, "idVendor"); vendor != "" {
			p.USB = true
			p.Vendor, p.Product = strings.ToUpper(vendor), strings.ToUpper(attribute(device, "idProduct"))
			p.Serial = attribute(device, "serial")
			p.About = strings.TrimSpace(attribute(device, "manufacturer") + " " + attribute(device, "product"))
			return
		}
		device = filepath.Dir(device)
	}
}

// attribute reads a file of sysfs, which is at most a page.
func attribute(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || len(text) > 4096 {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// byID returns the names that stay, by the ports that they lead to.
func byID(dir string) map[string]string {
	names := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return names // udev makes it with the first port
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			names[filepath.Base(to)] = "/dev/serial/by-id/" + e.Name()
		}
	}
	return names
}
