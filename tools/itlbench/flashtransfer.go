package main

import (
	"fmt"
	"os"

	"golang.org/x/term"

	"itlagent/platform/serial"
	"itlagent/tools/flasher"
	"itlagent/tools/xymodem"
)

// transfer returns how files reach the board, and what ends it.
func (r *flashing) transfer() (flasher.Transfer, func(), error) {
	nothing := func() {}
	switch {
	case r.over == "ymodem" || r.over == "xmodem":
		return r.serial(r.over), nothing, nil
	case r.folder != "":
		return flasher.Folder{Addresses: r.addresses(0), Dir: r.folder}, nothing, nil
	case r.board.QEMU == nil && r.listen == "":
		return r.serial("ymodem"), nothing, nil
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

// serial sends over the console.
func (r *flashing) serial(kind string) flasher.Transfer {
	s := flasher.Serial{Baud: r.baud, Kind: xymodem.YMODEM, Progress: func(_ string, done, total int) { r.progress(int64(done), int64(total)) }}
	if kind == "xmodem" {
		s.Kind = xymodem.XMODEM
	}
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
