package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"itlagent/agent/shell"
	"itlagent/firmware/handset"
	"itlagent/platform/console"
	"itlagent/platform/serial"
	"itlagent/platform/serial/tty"
)

// consoleLine takes the line out of arguments: -console /dev/ttyS1,115200 has the shell
// on a line of its own, -console tty, and -console alone, on standard input and output.
// What is left has -console alone.
func consoleLine(args []string) (rest []string, line string) {
	rest = slices.Clone(args)
	for i, a := range rest {
		name, value, joined := strings.Cut(strings.TrimPrefix(a, "-"), "=")
		if name != "console" && name != "-console" || !strings.HasPrefix(a, "-") {
			continue
		}
		if !joined && i+1 < len(rest) && (rest[i+1] == "tty" || strings.HasPrefix(rest[i+1], "/")) {
			value = rest[i+1]
			rest = slices.Delete(rest, i+1, i+2)
		}
		if value == "tty" || strings.HasPrefix(value, "/") {
			rest[i] = "-console"
			if value != "tty" {
				line = value
			}
		}
		break
	}
	return rest, line
}

// openLine opens a line such as /dev/ttyS1,115200.
func openLine(line string) (*os.File, error) {
	n, err := serial.ParseName(line)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	f, err := tty.Open(n.Target, n.Mode)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return f, nil
}

// serveLine runs the shell on an open line of its own, until the context ends. A line
// that is gone is opened again once it is there.
func serveLine(ctx context.Context, phone *handset.Handset, line string, f *os.File, o shell.Options) {
	for ctx.Err() == nil {
		if f != nil {
			if c, _, leave, err := console.Attach(ctx, f, f, shell.Prompt, shell.Complete); err == nil {
				phone.Shell(c, o).Loop(ctx)
				leave()
			}
			f.Close()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		f, _ = openLine(line) // nil where it is not there yet
	}
}
