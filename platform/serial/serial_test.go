package serial_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"itlagent/platform/serial"
	"itlagent/platform/serial/serialtest"
)

func TestMode(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "115200,8N1",
		"9600":                  "9600,8N1",
		"9600,7e2":              "9600,7E2",
		"7E2":                   "115200,7E2",
		"1500000,8N1,RTSCTS":    "1500000,8N1,rtscts",
		"xonxoff":               "115200,8N1,xonxoff",
		"115200n8":              "115200,8N1",
		"57600e7":               "57600,7E1",
		"12000000,8O1,none":     "12000000,8O1",
		"50":                    "50,8N1",
		"115200,8N1,rtscts,now": "",
		"49":                    "",
		"12000001":              "",
		"fast":                  "",
		"9N1":                   "",
		"8X1":                   "",
		"-9600":                 "",
		"115200,":               "",
		"99999999999999999999":  "",
	} {
		m, err := serial.ParseMode(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is %v", text, m)
			}
			continue
		}
		if err != nil || m.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, m, err, want)
		}
		if again, err := serial.ParseMode(want); err != nil || again != m {
			t.Errorf("%q: %v, %v", want, again, err)
		}
	}
}

func TestName(t *testing.T) {
	for text, want := range map[string]serial.Name{
		"/dev/ttyUSB0":               {Kind: serial.Port, Target: "/dev/ttyUSB0"},
		"/dev/ttyUSB0,9600":          {Kind: serial.Port, Target: "/dev/ttyUSB0", Mode: serial.Mode{Baud: 9600}},
		"usb:A50285BI,9600,7E1":      {Kind: serial.USB, Target: "A50285BI", Mode: serial.Mode{Baud: 9600, DataBits: 7, Parity: 'E'}},
		"unix:/run/a,b":              {Kind: serial.Unix, Target: "/run/a,b"},
		"pty:":                       {Kind: serial.PTY},
		"pty:/tmp/x":                 {Kind: serial.PTY, Target: "/tmp/x"},
		"rfc2217:board.lab:4000,300": {Kind: serial.RFC2217, Target: "board.lab:4000", Mode: serial.Mode{Baud: 300}},
		"tcp:[::1]:4000":             {Kind: serial.TCP, Target: "[::1]:4000"},
	} {
		want.Mode = want.Mode.WithDefaults()
		got, err := serial.ParseName(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := serial.ParseName(got.String()); err != nil || again != got {
			t.Errorf("%q: %+v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "board", "usb:", "unix:", "tcp:host", "tcp::1", "rfc2217:host:", "/dev/tty,x", "/dev/a\nb", "com1"} {
		if n, err := serial.ParseName(text); err == nil {
			t.Errorf("%q is %+v", text, n)
		}
	}
}

// stream is one whose reads return what they are told.
type stream struct {
	serial.Stream
	n   int
	err error
}

func (s stream) Read([]byte) (int, error)  { return s.n, s.err }
func (s stream) Write([]byte) (int, error) { return s.n, s.err }

// A read brings bytes or an error, and what means that the carrier is gone says so.
func TestNew(t *testing.T) {
	for _, test := range []struct{ err, want error }{
		{nil, io.ErrNoProgress}, // wakes for nothing for ever
		{io.EOF, serial.ErrVanished},
		{os.ErrClosed, os.ErrClosed},
		{io.ErrClosedPipe, os.ErrClosed},
		{os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		{errors.ErrUnsupported, errors.ErrUnsupported},
	} {
		l := serial.New("x", stream{err: test.err}, nil)
		if n, err := l.Read(make([]byte, 1)); n != 0 || !errors.Is(err, test.want) {
			t.Errorf("%v: read %d, %v, want %v", test.err, n, err, test.want)
		}
	}
	l := serial.New("x", stream{}, nil)
	if n, err := l.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
	if err := l.SetMode(serial.Mode{Baud: 7}); err == nil {
		t.Error("a line without modes takes an impossible one")
	}
	if err := l.SetMode(serial.Mode{}); err != nil {
		t.Error(err)
	}
	if err := l.Break(0); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestContext(t *testing.T) {
	w := serialtest.New(t, serialtest.Faults{})
	line, err := w.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := serial.Read(ctx, line, make([]byte, 1))
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	// Nobody reads: the write waits, and ends with its context.
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := serial.Write(ctx, line, make([]byte, 1<<20)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	// No deadline is left behind.
	go w.Say(t, "x")
	if n, err := serial.Read(t.Context(), line, make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read afterwards: %d, %v", n, err)
	}
	if n, err := serial.Read(ctx, line, make([]byte, 1)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read with an ended context: %d, %v", n, err)
	}
	// Close wakes a read.
	go func() {
		_, err := line.Read(make([]byte, 1))
		ended <- err
	}()
	line.Close()
	if err := <-ended; !errors.Is(err, os.ErrClosed) && !errors.Is(err, serial.ErrVanished) {
		t.Errorf("read while closing: %v", err)
	}
}

func TestWire(t *testing.T) {
	w := serialtest.New(t, serialtest.Faults{Drop: 4, Garble: 5, Split: 2, Echo: true, Baud: 9600})
	line, err := w.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var in *serial.InUseError
	if _, err := w.Open(t.Context()); !errors.As(err, &in) {
		t.Errorf("opened twice: %v", err)
	}
	if err := line.SetMode(serial.Mode{Baud: 9600}); err != nil || w.Mode().Baud != 9600 {
		t.Error(err, w.Mode())
	}
	go w.Say(t, "abcdef")
	var got bytes.Buffer
	for got.Len() < 5 {
		buf := make([]byte, 10)
		n, err := line.Read(buf)
		if err != nil || n > 2 {
			t.Fatal(n, err)
		}
		got.Write(buf[:n])
	}
	if got.String() != "abcuf" {
		t.Errorf("%q", &got)
	}
	if err := errors.Join(line.Break(0), line.SetModem(true, false)); err != nil || w.Breaks() != 1 {
		t.Error(err, w.Breaks())
	}
	if m, err := line.Modem(); err != nil || !m.CTS || m.RI {
		t.Error(m, err)
	}
	go io.WriteString(line, "z")
	if n, err := line.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("echo: %d, %v", n, err)
	}
	w.Unplug()
	if _, err := line.Read(make([]byte, 1)); !errors.Is(err, serial.ErrVanished) {
		t.Errorf("read when unplugged: %v", err)
	}
	if err := line.SetMode(serial.Mode{}); !errors.Is(err, serial.ErrVanished) {
		t.Errorf("mode when unplugged: %v", err)
	}
	if _, err := w.Open(t.Context()); !errors.Is(err, serial.ErrVanished) {
		t.Errorf("open when unplugged: %v", err)
	}
	w.Say(t, "lost")
	w.Plug()
	if _, err := w.Open(t.Context()); err != nil || w.Opened() != 2 {
		t.Errorf("open when plugged in: %v, %d", err, w.Opened())
	}
}
