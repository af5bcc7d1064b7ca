package main

import (
	"errors"
	"net"
	"syscall"

	"itlagent/testbench/cluster/serve"
)

// hintOf returns what helps against an error, or "".
func hintOf(err error) string {
	var op *net.OpError
	var port *serve.PortError
	listening := errors.As(err, &port) || errors.As(err, &op) && op.Op == "listen"
	if listening && errors.Is(err, syscall.EACCES) {
		return "ports below 1024 need a right: sudo setcap cap_net_bind_service=+ep itlbench, or authbind, or take other ports"
	}
	return ""
}
