//go:build linux

package rfc2217

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"itlagent/platform/serial"
)

// tool returns a program of another's making, which make deps installs.
func tool(t *testing.T, path, pkg string) string {
	t.Helper()
	found, err := exec.LookPath(path)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package %s; `make deps`): RFC 2217 is not tested against it", path, pkg)
	}
	return found
}

// python3-serial at our server: modes, modem lines, break and bytes.
const pySession = `
import serial, sys
s = serial.serial_for_url("rfc2217://%s", baudrate=57600, bytesize=7, parity="E", timeout=30)
s.write(bytes(range(256)))
got = s.read(256)
assert got == bytes(range(256)), got
s.baudrate = 921600
s.bytesize = 8
s.parity = "N"
s.stopbits = 2
s.rtscts = True
s.dtr = False
assert s.cts and s.ri and not s.dsr, (s.cts, s.ri, s.dsr)
s.send_break(0.05)
s.reset_input_buffer()
s.write(b"end")
s.close()
`

func TestPySerial(t *testing.T) {
	python := tool(t, "/usr/bin/python3", "python3")
	if out, err := exec.Command(python, "-c", "import serial").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: python3-serial is not installed (`make deps`): %.80s", out)
	}
	wire, port := newPort(t)
	wire.SetInputs(serial.Modem{CTS: true, RI: true})
	addr := serve(t, port)
	said := make(chan []byte)
	go func() { // a board that echoes
		got := make([]byte, 256)
		io.ReadFull(wire.Board, got)
		wire.Board.Write(got)
		end := make([]byte, 3)
		io.ReadFull(wire.Board, end)
		said <- append(got, end...)
	}()
	out, err := exec.CommandContext(t.Context(), python, "-c", fmt.Sprintf(pySession, addr)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := <-said; len(got) != 259 || got[255] != 255 || string(got[256:]) != "end" {
		t.Errorf("the board read %q", got)
	}
	if got := wire.Mode().String(); got != "921600,8N2,rtscts" {
		t.Errorf("mode %s", got)
	}
	if dtr, rts := wire.Driven(); dtr || !rts {
		t.Errorf("DTR %v, RTS %v", dtr, rts)
	}
	if wire.Breaks() != 1 {
		t.Errorf("%d breaks", wire.Breaks())
	}
}

// Our client at ser2net, in front of a pty: bytes, and rates that arrive there.
func TestSer2net(t *testing.T) {
	program := tool(t, "/usr/sbin/ser2net", "ser2net")
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().(*net.TCPAddr)
	free.Close()
	config := filepath.Join(t.TempDir(), "ser2net.yaml")
	yaml := fmt.Sprintf("connection: &c\n  accepter: telnet(rfc2217),tcp,127.0.0.1,%d\n  connector: serialdev,%s,9600n81,local\n", addr.Port, slave.Name())
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-n", "-d", "-c", config)
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var line serial.Line
	for deadline := time.Now().Add(time.Minute); ; {
		line, err = Dial(t.Context(), addr.String(), serial.Mode{Baud: 115200})
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("%v\n%s", err, &talk)
		}
		time.Sleep(10 * time.Millisecond)
	}
	defer line.Close()
	all := strings.Repeat("U-Boot 2023.01\r\n\x00\x01\x11\x13\xff\xfe\xff", 500)
	for _, pair := range [][2]io.ReadWriter{{line, master}, {master, line}} {
		go io.WriteString(pair[0], all)
		got := make([]byte, len(all))
		if _, err := io.ReadFull(bufio.NewReader(pair[1]), got); err != nil || string(got) != all {
			t.Errorf("other bytes arrived (%v)", err)
		}
	}
	for _, rate := range []int{230400, 9600} {
		if err := line.SetMode(serial.Mode{Baud: rate}); err != nil {
			t.Errorf("%d: %v", rate, err)
		}
		s, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS2)
		if err != nil || int(s.Ospeed) != rate {
			t.Errorf("rate %d, %v, want %d", s.Ospeed, err, rate)
		}
	}
	if err := line.Break(time.Millisecond); err != nil {
		t.Error(err)
	}
}
