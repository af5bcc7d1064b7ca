package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"itlagent/agent/printable"
	"itlagent/platform/serial/hostport"
)

// runSerial lists the serial ports of this machine.
func runSerial(e *env, args []string) int {
	f := e.flags("serial")
	asJSON := f.Bool("json", false, "an object a line")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	if f.Arg(0) != "list" {
		return e.usage("serial: %q: want list", f.Arg(0))
	}
	ports, err := hostport.List()
	if err != nil {
		return e.fail(exitInfra, "serial: %v", err)
	}
	if *asJSON {
		for _, p := range ports {
			line, err := json.Marshal(struct {
				Path    string `json:"path"`
				ByID    string `json:"byId,omitempty"`
				Vendor  string `json:"vendor,omitempty"`
				Product string `json:"product,omitempty"`
				Serial  string `json:"serial,omitempty"`
				About   string `json:"about,omitempty"`
			}{p.Path, p.ByID, p.Vendor, p.Product, p.Serial, p.About})
			if err != nil {
				return e.fail(exitInfra, "serial: %v", err)
			}
			fmt.Fprintf(e.stdout, "%s\n", line)
		}
		return exitOK
	}
	for _, p := range ports {
		text := p.Path
		if p.USB {
			text = fmt.Sprintf("%-14s %s:%s %s", p.Path, p.Vendor, p.Product, strings.TrimSpace(p.About))
			if p.Serial != "" {
				text += ", usb:" + p.Serial
			}
		}
		fmt.Fprintln(e.stdout, printable.Text(text))
	}
	if len(ports) == 0 {
		fmt.Fprintln(e.stderr, "itlbench: serial: this machine has no serial ports")
	}
	return exitOK
}
