package main

import (
	"errors"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"itlagent/platform/serial"
	"itlagent/testbench/cluster/serve"
)

// hinted is an error with what helps against it.
type hinted struct {
	error
	hint string
}

// hintOf returns what helps against an error, or "".
func hintOf(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	var op *net.OpError
	var port *serve.PortError
	listening := errors.As(err, &port) || errors.As(err, &op) && op.Op == "listen"
	if listening && errors.Is(err, syscall.EACCES) {
		return "ports below 1024 need a right: sudo setcap cap_net_bind_service=+ep itlbench, or authbind, or take other ports"
	}
	return lineHint(err)
}

// lineHint returns what helps against an error of a serial line.
func lineHint(err error) string {
	var path *fs.PathError
	var in *serial.InUseError
	device := errors.As(err, &path) && strings.HasPrefix(path.Path, "/dev/")
	switch {
	case device && errors.Is(err, fs.ErrPermission):
		return "serial ports belong to a group: sudo usermod -aG dialout $USER, and log in again"
	case device && errors.Is(err, fs.ErrNotExist), errors.Is(err, serial.ErrVanished):
		return "itlbench serial list shows the ports that are there; --wait waits for one"
	case errors.As(err, &in):
		return "end that program; what is an itlbench console of yours is joined by itself"
	}
	return ""
}
