//go:build linux

package hostport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"itlagent/platform/serial"
)

// board returns a board's end of a pty, and the path of the port that leads to it.
func board(t *testing.T) (master *os.File, path string) {
	t.Helper()
	old := lockDir
	lockDir = t.TempDir()
	t.Cleanup(func() { lockDir = old })
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	path = slave.Name()
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, path
}

func open(t *testing.T, path string, m serial.Mode) serial.Line {
	t.Helper()
	line, err := Open(path, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	return line
}

func TestBytes(t *testing.T) {
	master, path := board(t)
	line := open(t, path, serial.Mode{})
	all := make([]byte, 256) // none of them means anything to the system
	for i := range all {
		all[i] = byte(i)
	}
	for _, pair := range [][2]io.ReadWriter{{master, line}, {line, master}} {
		if _, err := pair[0].Write(all); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(all))
		if _, err := io.ReadFull(pair[1], got); err != nil || string(got) != string(all) {
			t.Errorf("%x, %v", got, err)
		}
	}
}

// A deadline that passes is an error, which the library's time-out is not.
func TestDeadlines(t *testing.T) {
	_, path := board(t)
	line := open(t, path, serial.Mode{})
	line.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := line.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %d, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if n, err := serial.Write(ctx, line, make([]byte, 1<<20)); n == 1<<20 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("write to nobody: %d, %v", n, err)
	}
}

// Close ends reads, however many, and Read behind Close is an error.
func TestCloseRacesWithRead(t *testing.T) {
	_, path := board(t)
	for range 20 {
		line := open(t, path, serial.Mode{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				if n, err := line.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrClosed) {
					t.Errorf("read: %d, %v", n, err)
				}
			})
		}
		readers.Go(func() { line.SetMode(serial.Mode{Baud: 9600}) })
		if err := line.Close(); err != nil {
			t.Error(err)
		}
		readers.Wait()
		if _, err := line.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("read when closed: %v", err)
		}
		for _, err := range []error{line.SetMode(serial.Mode{}), line.Break(1), line.SetModem(true, true)} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("when closed: %v", err)
			}
		}
	}
}

// The library's Read panics on descriptors from 1024 on.
func TestManyDescriptors(t *testing.T) {
	master, path := board(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 1200 {
		t.Fatalf("at most %d files may be open here (%v): the test needs 1200", limit.Cur, err)
	}
	for range 1100 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	line := open(t, path, serial.Mode{})
	go master.WriteString("x")
	if n, err := line.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read: %d, %v", n, err)
	}
	line.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := line.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

func TestVanished(t *testing.T) {
	master, path := board(t)
	line := open(t, path, serial.Mode{})
	ended := make(chan error)
	go func() {
		_, err := line.Read(make([]byte, 1))
		ended <- err
	}()
	master.Close()
	if err := <-ended; !errors.Is(err, serial.ErrVanished) || !strings.Contains(err.Error(), path) {
		t.Errorf("read: %v", err)
	}
	if _, err := line.Write([]byte("x")); !errors.Is(err, serial.ErrVanished) {
		t.Errorf("write: %v", err)
	}
	if err := line.SetMode(serial.Mode{}); !errors.Is(err, serial.ErrVanished) {
		t.Errorf("mode: %v", err)
	}
}

// Modes arrive in the system: rates of every kind, frames, flow control.
func TestModes(t *testing.T) {
	_, path := board(t)
	line := open(t, path, serial.Mode{})
	for mode, want := range map[string][3]uint32{ // rate, cflag, iflag
		"":                    {115200, unix.CS8, 0},
		"300,7E2":             {300, unix.CS7 | unix.PARENB | unix.CSTOPB, 0},
		"921600,8O1,rtscts":   {921600, unix.CS8 | unix.PARENB | unix.PARODD | unix.CRTSCTS, 0},
		"4000000,5N1,xonxoff": {4000000, unix.CS5, unix.IXON | unix.IXOFF},
		"74880,8M1":           {74880, unix.CS8 | unix.PARENB | unix.PARODD | unix.CMSPAR, 0},
		"31250,6S1":           {31250, unix.CS6 | unix.PARENB | unix.CMSPAR, 0},
		"1500000,8N1,none":    {1500000, unix.CS8, 0},
	} {
		m, err := serial.ParseMode(mode)
		if err != nil {
			t.Fatal(err)
		}
		if err := line.SetMode(m); err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		rate, c, i := settings(t, path)
		// A pty has eight bits and no parity (pty(7)): what it drops is not ours.
		if rate != want[0] || c&^(unix.CSIZE|unix.PARENB) != want[1]&^(unix.CSIZE|unix.PARENB) || i != want[2] {
			t.Errorf("%s: rate %d, cflag %#o, iflag %#o, want %v", mode, rate, c, i, want)
		}
	}
	if err := line.SetMode(serial.Mode{Baud: 1}); err == nil {
		t.Error("an impossible rate was taken")
	}
	if _, err := line.Modem(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("modem lines of a pty: %v", err)
	}
	if err := line.SetModem(true, true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("modem lines of a pty: %v", err)
	}
	if err := line.Break(time.Millisecond); err != nil {
		t.Errorf("break: %v", err)
	}
}

func settings(t *testing.T, path string) (rate, c, i uint32) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	s, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		t.Fatal(err)
	}
	return s.Ospeed, s.Cflag & (unix.CSIZE | unix.PARENB | unix.PARODD | unix.CMSPAR | unix.CSTOPB | unix.CRTSCTS), s.Iflag & (unix.IXON | unix.IXOFF)
}

// A port has one user, and who that is is said. TestHolder is the other process.
func TestOneUser(t *testing.T) {
	_, path := board(t)
	line := open(t, path, serial.Mode{})
	var in *serial.InUseError
	if _, err := Open(path, serial.Mode{}); !errors.As(err, &in) || in.PID != os.Getpid() {
		t.Errorf("opened twice in a process: %v", err)
	}
	lock := filepath.Join(lockDir, "LCK.."+strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "_"))
	if text, err := os.ReadFile(lock); err != nil || string(text) != fmt.Sprintf("%10d\n", os.Getpid()) {
		t.Errorf("lock file: %q, %v", text, err)
	}
	line.Close()
	if _, err := os.Stat(lock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock file is still there: %v", err)
	}

	other := exec.Command(os.Args[0], "-test.run", "^TestHolder$")
	other.Env = append(os.Environ(), "SERIAL_PORT="+path, "SERIAL_LOCKS="+lockDir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in2, err := other.StdinPipe()
	if err != nil || other.Start() != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, serial.Mode{})
	if want := fmt.Sprintf("%s is in use by process %d (hostport", path, other.Process.Pid); !errors.As(err, &in) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	// A process that was killed leaves its lock file, which binds nobody.
	other.Process.Kill()
	in2.Close()
	other.Wait()
	if _, err := os.Stat(lock); err != nil {
		t.Errorf("no lock file was left behind: %v", err)
	}
	open(t, path, serial.Mode{}).Close()
}

// TestHolder has a port until it is killed, where TestOneUser starts it as a process.
func TestHolder(t *testing.T) {
	path := os.Getenv("SERIAL_PORT")
	if path == "" {
		return
	}
	lockDir = os.Getenv("SERIAL_LOCKS")
	open(t, path, serial.Mode{})
	fmt.Print("open\n")
	io.Copy(io.Discard, os.Stdin)
}

// The lock file alone stops us too: picocom and minicom know nothing of flock.
func TestLockFile(t *testing.T) {
	_, path := board(t)
	lock := lockName(lockDir, path)
	for text, pid := range map[string]int{
		fmt.Sprintf("%10d\n", os.Getppid()):            os.Getppid(),
		fmt.Sprintf("%d minicom root\n", os.Getppid()): 0, // not of the standard's form: no lock
		"         0\n":           0,
		"-1\n":                   0,
		"":                       0,
		"2147483646\n":           0,
		strings.Repeat("9", 100): 0,
	} {
		if err := os.WriteFile(lock, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		line, err := Open(path, serial.Mode{})
		var in *serial.InUseError
		switch {
		case pid == 0 && err != nil:
			t.Errorf("%q: %v", text, err)
		case pid != 0 && (!errors.As(err, &in) || in.PID != pid):
			t.Errorf("%q: %v, want process %d", text, err, pid)
		}
		if line != nil {
			line.Close()
		}
	}
	// Where no lock file can be made, flock has to do.
	lockDir = "/nowhere"
	open(t, path, serial.Mode{})
	if _, err := Open(path, serial.Mode{}); err == nil {
		t.Error("opened twice")
	}
}

func TestNoPort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/dev/ttyNONE": "no such file",
		"/dev/null":    "is not a serial port",
		file:           "is not a serial port",
	} {
		if _, err := Open(path, serial.Mode{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, err := Open("/dev/ttyNONE", serial.Mode{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
