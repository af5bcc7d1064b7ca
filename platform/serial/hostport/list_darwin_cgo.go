//go:build darwin && cgo

package hostport

import "go.bug.st/serial/enumerator"

func list() ([]Info, error) {
	found, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, err
	}
	var ports []Info
	for _, p := range found {
		ports = append(ports, Info{Path: p.Name, USB: p.IsUSB, Vendor: p.VID, Product: p.PID, Serial: p.SerialNumber, About: p.Product})
	}
	return ports, nil
}
