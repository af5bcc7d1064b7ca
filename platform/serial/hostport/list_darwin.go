//go:build darwin && !cgo

package hostport

import bugst "go.bug.st/serial"

// Without cgo the system does not tell what USB devices are: their paths, such as
// /dev/cu.usbserial-A50285BI, hold their serial numbers in most cases.
func list() ([]Info, error) {
	found, err := bugst.GetPortsList()
	if err != nil {
		return nil, err
	}
	var ports []Info
	for _, path := range found {
		ports = append(ports, Info{Path: path})
	}
	return ports, nil
}
