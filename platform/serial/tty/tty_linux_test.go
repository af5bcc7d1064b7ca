package tty_test

import (
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"itlagent/platform/console/consoletest"
	"itlagent/platform/serial"
	"itlagent/platform/serial/tty"
)

func TestOpen(t *testing.T) {
	master, end := consoletest.PTY(t)
	for mode, want := range map[string]uint32{"115200": 115200, "9600,8N2": 9600, "31250,8O1,rtscts": 31250} {
		m, err := serial.ParseMode(mode)
		if err != nil {
			t.Fatal(err)
		}
		f, err := tty.Open(end.Name(), m)
		if err != nil {
			t.Fatal(err)
		}
		s, err := unix.IoctlGetTermios(int(end.Fd()), unix.TCGETS2)
		if err != nil || s.Ospeed != want || s.Cflag&unix.CSTOPB != 0 != (m.StopBits == 2) || s.Cflag&unix.CRTSCTS != 0 != (m.Flow == serial.RTSCTS) {
			t.Errorf("%s: rate %d, cflag %#o, %v", mode, s.Ospeed, s.Cflag, err)
		}
		const all = "\x03\x04\r\n\x11\x13\x7f"
		for _, pair := range [][2]io.ReadWriter{{master, f}, {f, master}} {
			if _, err := io.WriteString(pair[0], all); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(all))
			if _, err := io.ReadFull(pair[1], got); err != nil || string(got) != all {
				t.Errorf("%q, %v", got, err)
			}
		}
		f.Close()
	}
	for path, want := range map[string]string{"/dev/ttyNONE": "no such file", "/dev/null": "not a serial line"} {
		if _, err := tty.Open(path, serial.Default); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := tty.Open(end.Name(), serial.Mode{Baud: 1}); err == nil {
		t.Error("an impossible rate was taken")
	}
}
