package qemu_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/testbench/vaultimage"
	"itlagent/tools/expect"
	"itlagent/tools/qemu"
)

// without returns a copy of a board that lacks what is behind an option of its emulator.
func without(b *board.Board, options ...string) *board.Board {
	other, q := *b, *b.QEMU
	q.Args = nil
	for i := 0; i < len(b.QEMU.Args); i++ {
		if i+1 < len(b.QEMU.Args) && slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(b.QEMU.Args[i+1], o) }) {
			i++
			continue
		}
		q.Args = append(q.Args, b.QEMU.Args[i])
	}
	other.QEMU = &q
	return &other
}

// dark starts a board, with the arguments of a phone, and waits until it says what it
// lacks.
func dark(t *testing.T, b *board.Board, base string, phone []string, lacks string) (*qemu.Machine, *expect.Expect) {
	t.Helper()
	dir := t.TempDir() + "/phone"
	if err := qemu.PrepareFlash(b, base, dir); err != nil {
		t.Fatal(err)
	}
	m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: dir, Phone: phone})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	e := expect.New(m.Console) // nothing is armed: that the phone does not run is what is waited for
	sees(t, e, "the phone does not run: "+lacks)
	return m, e
}

// sees waits for text on the console.
func sees(t *testing.T, e *expect.Expect, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if _, _, err := e.Wait(t.Context(), 3*time.Minute, regexp.MustCompile(p)); err != nil {
			t.Fatalf("waiting for %q: %v", p, err)
		}
	}
}

// types sends a line once the prompt is there.
func types(t *testing.T, e *expect.Expect, line string) {
	t.Helper()
	sees(t, e, `repair\$ `)
	if err := e.Send(line); err != nil {
		t.Fatal(err)
	}
}

// A board stays on without flash, network or arguments, says what it lacks again and
// again, and has a shell that can help itself: it turns its power off when it is told to.
func TestBoardDoesNotGoDark(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	t.Parallel()
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		_, servers := forGuest(t)
		phone := qemu.PhoneArgs("64A0E71502CC", "CP-7965G", servers)
		off := func(t *testing.T, m *qemu.Machine, e *expect.Expect) {
			t.Helper()
			select {
			case <-m.Done():
				t.Fatal("the power is off before anybody asked")
			default:
			}
			types(t, e, "poweroff")
			select {
			case <-m.Done():
			case <-time.After(time.Minute):
				t.Error("the power is still on")
			}
			if err := m.Err(); err != nil {
				t.Error(err)
			}
		}
		t.Run("no flash", func(t *testing.T) {
			other := without(b, "virtio-blk")
			other.QEMU.FlashArg = ""
			m, e := dark(t, other, base, append([]string{"-flash", "/dev/mtd9"}, phone...), `flash: [^\n]*no such`)
			types(t, e, "show")
			sees(t, e, `missing: flash: `, `mac: 64A0E71502CC`, `flash: /dev/mtd9`, `has interface eth0 `, `/proc/cmdline: [^\n]*console=`)
			sees(t, e, "the phone does not run: flash: ") // a minute later
			off(t, m, e)
		})
		t.Run("no network", func(t *testing.T) {
			other := without(b, "virtio-net", "pcnet", "user,id=n0")
			other.QEMU.Args = append(other.QEMU.Args, "-nic", "none")
			m, e := dark(t, other, base, phone, `network: interface "eth0": `)
			types(t, e, "reset")
			sees(t, e, `the phone does not run: network: interface "eth0": `)
			off(t, m, e)
		})
		t.Run("no arguments", func(t *testing.T) {
			_, e := dark(t, b, base, nil, `arguments: no MAC address \(-mac\), no TFTP server \(-tftp\)`)
			types(t, e, "set mac 64A0E71502CC")
			types(t, e, "set tftp "+strings.Join(servers, ","))
			types(t, e, "reset")
			sees(t, e, `SEP64A0E71502CC accepted: `)
			if err := e.Send("restart"); err != nil { // what was set goes on
				t.Fatal(err)
			}
			sees(t, e, `SEP64A0E71502CC accepted: `)
		})
	}, "qemu-arm-debian", "qemu-mips")
}

// A flash that holds something else is formatted from the board's own console.
func TestFormatFromConsole(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	t.Parallel()
	emulated(t, func(t *testing.T, b *board.Board, base string) {
		size, err := board.Size(b.QEMU.FlashSize)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir() + "/phone"
		if err := qemu.PrepareFlash(b, base, dir); err != nil {
			t.Fatal(err)
		}
		if err := image.WriteFlash(dir, []byte(strings.Repeat("what somebody else kept here ...", int(size)/32))); err != nil {
			t.Fatal(err)
		}
		_, servers := forGuest(t)
		m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: dir, Phone: qemu.PhoneArgs("64A0E71502CC", "CP-7965G", servers)})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Kill()
		e := expect.New(m.Console) // nothing is armed: that the phone does not run is what is waited for
		sees(t, e, "the phone does not run: flash: ", "format makes a vault there")
		types(t, e, "format")
		sees(t, e, `\(yes\|no\)\? `)
		if err := e.Send("yes"); err != nil {
			t.Fatal(err)
		}
		sees(t, e, `SEP64A0E71502CC accepted: `)
		m.PowerOff()
		<-m.Done()
		data, err := qemu.Vault(b, dir)
		if err != nil {
			t.Fatal(err)
		}
		if img, err := vaultimage.Read(data, 0); err != nil || len(img.Damage) > 0 || len(img.Keys) < 2 {
			t.Errorf("the flash: %v", err)
		}
	}, "qemu-arm-debian", "qemu-mips")
}
