// Package rigtest is a board for tests: a process of this machine that runs the phone as
// a board does, its shell on a pty, its vault on a flash image, and a power command that
// starts and kills it. It boots in a fraction of a second.
//
//	func TestMain(m *testing.M) { rigtest.Main(); os.Exit(m.Run()) } // the test program is the board, too
//
//	b := rigtest.New(t, rigtest.Board{Servers: []string{rigtest.Nowhere(t)}})
//	line, err := pseudo.Open(b.Link) // what the board is plugged into, from before its power comes
//	supply, err := power.Parse(b.Power)
//
// A Board is changed by nobody once its power is on.
package rigtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"itlagent/agent/boot"
	"itlagent/agent/shell"
	"itlagent/agent/vault"
	"itlagent/firmware/handset"
	"itlagent/platform/console"
	"itlagent/platform/flash"
	"itlagent/platform/flash/image"
	"itlagent/platform/readfile"
)

// Board is what a board is like.
type Board struct {
	MAC     string   // 64A0E71502CC where ""
	Servers []string // that it was flashed with
	Dead    bool     // it never says anything
	Slow    bool     // its power command does not end
	Broken  bool     // its power command fails

	Dir   string `json:"-"` // its files
	Link  string `json:"-"` // path of the pty that it opens
	Power string `json:"-"` // its power command, for power.Parse
	Image string `json:"-"` // path of its flash
}

// marker is set in the environment of a test program that is to be a board, or its power
// command.
const marker = "ITLAGENT_RIGTEST"

// maxFile bounds the files of a board but its flash, in bytes.
const maxFile = 64 << 10

// Geometry is that of the flash.
func Geometry() flash.Geometry {
	return flash.Geometry{Size: 512 << 10, EraseSize: 64 << 10, ProgramSize: 1}
}

// New makes a board that is off. It is killed when the test ends.
func New(t testing.TB, b Board) *Board {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if b.MAC == "" {
		b.MAC = "64A0E71502CC"
	}
	b.Dir = t.TempDir()
	b.Link, b.Image = filepath.Join(b.Dir, "line"), filepath.Join(b.Dir, "flash.img")
	b.Power = fmt.Sprintf("%s=1 '%s' power '%s'", marker, self, b.Dir)
	text, err := json.Marshal(b)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.Dir, "board.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { off(b.Dir) })
	return &b
}

// Nowhere is the address of a TFTP server that has no file. A phone knows so at once, where
// it would wait for the answer of no server.
func Nowhere(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1024)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo([]byte("\x00\x05\x00\x01none\x00"), from) // RFC 1350: an error, file not found
		}
	}()
	return conn.LocalAddr().String()
}

// Running says whether a board's power is on.
func (b *Board) Running() bool {
	_, err := os.Stat(filepath.Join(b.Dir, "pid"))
	return err == nil
}

// Main is the board, or its power command, where this process was started as one: it does
// not return then.
func Main() {
	if os.Getenv(marker) == "" {
		return
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(what, dir string, args []string) error {
	var b Board
	text, err := readfile.AtMost(filepath.Join(dir, "board.json"), maxFile)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return err
	}
	b.Link, b.Image = filepath.Join(dir, "line"), filepath.Join(dir, "flash.img")
	switch {
	case what == "board":
		return b.run()
	case b.Broken:
		return errors.New("relay 3: no such relay")
	case b.Slow:
		time.Sleep(time.Hour)
	case args[0] == "off":
		return off(dir)
	case args[0] == "cycle":
		if err := off(dir); err != nil {
			return err
		}
	}
	return on(dir)
}

// on starts the board, in a session of its own.
func on(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
		return nil
	}
	cmd := exec.Command(os.Args[0], "board", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

// off kills the board, and waits until its flash is free.
func off(dir string) error {
	name := filepath.Join(dir, "pid")
	text, err := readfile.AtMost(name, maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	syscall.Kill(pid, syscall.SIGKILL)
	for {
		dev, err := image.Open(filepath.Join(dir, "flash.img"), Geometry())
		if err == nil {
			dev.Close()
			return os.Remove(name)
		}
		if !errors.Is(err, image.ErrBusy) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// run is the phone on the board.
func (b *Board) run() error {
	dev, err := image.Open(b.Image, Geometry())
	if err != nil {
		return err
	}
	if b.Dead {
		time.Sleep(time.Hour)
	}
	tty, err := os.OpenFile(b.Link, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	v, err := vault.Open(dev, vault.Options{Rand: rand.Reader, Format: vault.FormatErased})
	if err != nil {
		return err
	}
	o := handset.Options{MAC: b.MAC, Model: "CP-7965G", Servers: b.Servers, Older: "warn", Interval: time.Hour, Console: true}
	phone, err := handset.New(o, handset.Storage{Store: v, Messages: v, Tell: v.Tell})
	if err != nil {
		return err
	}
	ctx := context.Background()
	c, _, _, err := console.Attach(ctx, tty, tty, shell.Prompt, shell.Complete)
	if err != nil {
		return err
	}
	go func() {
		for {
			phone.Shell(c, shell.Options{}).Loop(ctx)
			time.Sleep(10 * time.Millisecond) // the line has ended, or somebody typed exit
		}
	}()
	phone.Run(ctx, func(r *boot.Report) { fmt.Fprintf(c, "%s %v: %s\n", r.Device, r.Reason(), r.Text()) })
	return nil
}
