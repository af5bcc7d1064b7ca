// Package lines opens serial lines by their names.
//
//	line, err := lines.Open(ctx, "unix:/run/board.sock")
//
// serial.ParseName says which names there are. This package joins all the
// implementations, so it is for programs of the engineer's machine: the device program
// opens its own tty by platform/serial/tty.
package lines

import (
	"context"
	"fmt"
	"net"

	"itlagent/platform/serial"
	"itlagent/platform/serial/hostport"
	"itlagent/platform/serial/pseudo"
	"itlagent/platform/serial/rfc2217"
)

// Open opens the line of a name. The context bounds the opening alone.
func Open(ctx context.Context, name string) (serial.Line, error) {
	n, err := serial.ParseName(name)
	if err != nil {
		return nil, err
	}
	switch n.Kind {
	case serial.Unix:
		return dial(ctx, "unix", n)
	case serial.TCP:
		return dial(ctx, "tcp", n)
	case serial.PTY:
		return pseudo.Open(n.Target)
	case serial.Port:
		return hostport.Open(n.Target, n.Mode)
	case serial.USB:
		return hostport.OpenUSB(n.Target, n.Mode)
	}
	return rfc2217.Dial(ctx, n.Target, n.Mode)
}

func dial(ctx context.Context, network string, n serial.Name) (serial.Line, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, n.Target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	return serial.New(n.String(), conn, nil), nil
}
