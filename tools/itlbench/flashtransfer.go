package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/term"

	"itlagent/platform/serial"
	"itlagent/platform/serial/lines"
	"itlagent/tools/flasher"
	"itlagent/tools/power"
)

// transfer returns how files reach the board, and what ends it.
func (r *flashing) transfer() (flasher.Transfer, func(), error) {
	nothing := func() {}
	switch {
	case r.overLine():
		return r.serial(flasher.Protocol(r.over)), nothing, nil
	case r.folder != "":
		return flasher.Folder{Addresses: r.addresses(0), Dir: r.folder}, nothing, nil
	case !r.emulated && r.listen == "":
		return r.serial(flasher.YMODEM), nothing, nil
	}
	listen := r.listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	t, err := flasher.NewTFTP(listen, r.addresses(-1))
	if err != nil {
		return nil, nil, fmt.Errorf("%w; a port below 1024 needs root, and --over ymodem none", err)
	}
	return t, t.Close, nil
}

// overLine reports whether files are to be sent over the console.
func (r *flashing) overLine() bool {
	return slices.Contains(flasher.Protocols(), flasher.Protocol(r.over))
}

// serial sends over the console.
func (r *flashing) serial(protocol flasher.Protocol) flasher.Transfer {
	s := flasher.Serial{Baud: r.baud, Protocol: protocol, Progress: func(_ string, done, total int) { r.progress(int64(done), int64(total)) }}
	s.SetBaud = func(baud int) error {
		if baud == 0 {
			baud = r.board.Console.Baud
		}
		if r.set == nil {
			return nil // an emulated line has no rate
		}
		return r.set.SetMode(serial.Mode{Baud: baud})
	}
	return s
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// openThere opens the line of a board that is there, and cycles its power where it can, so
// that the boot loader is met as it starts. The socket of an emulator is there with its
// power alone.
func (r *flashing) openThere(ctx context.Context) (serial.Line, error) {
	if r.power == "" {
		return lines.Open(ctx, r.console)
	}
	supply, err := power.Parse(r.power)
	if err != nil {
		return nil, err
	}
	name, err := serial.ParseName(r.console)
	if err != nil {
		return nil, err
	}
	if name.Kind != serial.Unix && name.Kind != serial.TCP {
		line, err := lines.Open(ctx, r.console)
		if err == nil {
			if err = supply.Switch(ctx, power.Cycle); err != nil {
				line.Close()
			}
		}
		return line, err
	}
	if err := supply.Switch(ctx, power.Cycle); err != nil {
		return nil, err
	}
	const most, pause = 20 * time.Second, 20 * time.Millisecond
	for deadline := time.Now().Add(most); ; {
		line, err := lines.Open(ctx, r.console)
		if err == nil || time.Now().After(deadline) {
			return line, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}
