package lines_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"itlagent/platform/serial"
	"itlagent/platform/serial/lines"
)

// A socket's line carries bytes both ways, and vanishes with its other end.
func TestSockets(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = filepath.Join(t.TempDir(), "s")
		}
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		line, err := lines.Open(t.Context(), network+":"+l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		board, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		both(t, line, board)
		if err := line.SetMode(serial.Mode{Baud: 9600}); err != nil {
			t.Error(err)
		}
		board.Close()
		if _, err := line.Read(make([]byte, 1)); !errors.Is(err, serial.ErrVanished) {
			t.Errorf("%s: read: %v", network, err)
		}
		line.Close()
		if _, err := line.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: read when closed: %v", network, err)
		}
	}
}

func both(t *testing.T, a, b io.ReadWriter) {
	t.Helper()
	for _, text := range []string{"help\r", "\x00\x03\x11\x13\xff"} {
		for _, pair := range [][2]io.ReadWriter{{a, b}, {b, a}} {
			if _, err := io.WriteString(pair[0], text); err != nil {
				t.Error(err)
			}
			buf := make([]byte, len(text))
			if _, err := io.ReadFull(pair[1], buf); err != nil || string(buf) != text {
				t.Errorf("%q, %v, want %q", buf, err, text)
			}
		}
	}
}

// Programs open and close the other end of a pty; its line stays.
func TestPTY(t *testing.T) {
	link := filepath.Join(t.TempDir(), "board")
	for range 2 { // a link that was left behind is replaced
		line, err := lines.Open(t.Context(), "pty:"+link)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			end, err := os.OpenFile(link, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			both(t, line, end)
			end.Close()
		}
		ended := make(chan error)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := serial.Read(ctx, line, make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		go func() {
			_, err := line.Read(make([]byte, 1))
			ended <- err
		}()
		line.Close()
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("read while closing: %v", err)
		}
		if _, err := os.Lstat(link); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the link is still there: %v", err)
		}
		os.Symlink("/nowhere", link)
	}
	os.Remove(link)
	if err := os.WriteFile(link, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lines.Open(t.Context(), "pty:"+link); err == nil || !strings.Contains(err.Error(), "is no link") {
		t.Errorf("a file in its place: %v", err)
	}
	line, err := lines.Open(t.Context(), "pty:")
	if err != nil || !strings.HasPrefix(line.String(), "pty:/dev/") {
		t.Errorf("%v, %v", line, err)
	}
	line.Close()
}

func TestNoSuchLine(t *testing.T) {
	for _, name := range []string{"unix:/nowhere/s", "tcp:127.0.0.1:1", "board"} {
		if l, err := lines.Open(t.Context(), name); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}
