package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/platform/readfile"
	"itlagent/testbench/cluster"
	"itlagent/testbench/scenario"
	"itlagent/tools/expect"
	"itlagent/tools/rig"
)

// Rig is an emulated board as a rig.Rig, whose phone is told its servers on the kernel's
// command line, and whose flash is a file.
type Rig struct {
	board      *board.Board
	opts       Options
	mac, model string
	machine    *Machine
}

// NewRig returns a board that is off.
func NewRig(b *board.Board, mac, model string, o Options) *Rig {
	return &Rig{board: b, opts: o, mac: mac, model: model}
}

// Configure implements rig.Configurer.
func (r *Rig) Configure(servers []string) { r.opts.Phone = PhoneArgs(r.mac, r.model, servers) }

// On implements rig.Rig.
func (r *Rig) On(ctx context.Context) (*expect.Expect, bool, error) {
	m, err := Start(ctx, r.board, r.opts)
	if err != nil {
		return nil, false, err
	}
	r.machine = m
	return NewExpect(m.Console), true, nil
}

// Off implements rig.Rig.
func (r *Rig) Off(context.Context) error {
	if r.machine != nil {
		r.machine.Kill()
		r.machine = nil
	}
	return nil
}

// Leave implements rig.Rig.
func (r *Rig) Leave() { r.Off(context.Background()) }

// Vault implements rig.Flash.
func (r *Rig) Vault() ([]byte, error) { return Vault(r.board, r.opts.Dir) }

// PhoneArgs are the device program's arguments.
func PhoneArgs(mac, model string, servers []string) []string {
	return []string{"-mac", mac, "-model", model, "-tftp", strings.Join(servers, ",")}
}

// PrepareFlash makes a folder, mode 0700, with an empty flash and links to the kernel
// and initramfs of an image: several boards can run from one image.
func PrepareFlash(b *board.Board, base, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	abs, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	for _, name := range []string{image.KernelFile, image.InitramfsFile} {
		if err := os.Symlink(filepath.Join(abs, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	size, err := board.Size(b.QEMU.FlashSize)
	if err != nil {
		return err
	}
	return image.WriteFlash(dir, bytes.Repeat([]byte{0xff}, int(size)))
}

// Vault returns the bytes of the vault in the flash of a folder.
func Vault(b *board.Board, dir string) ([]byte, error) {
	data, err := readfile.AtMost(filepath.Join(dir, image.FlashFile), image.MaxFile)
	if err != nil {
		return nil, err
	}
	at, err1 := board.Size(b.QEMU.Vault)
	size, err2 := board.Size(b.QEMU.VaultSize)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if at+size > int64(len(data)) {
		return nil, fmt.Errorf("a vault of %d bytes at %d in a flash of %d", size, at, len(data))
	}
	return data[at : at+size], nil
}

// Boots returns the function that makes the phones of scenarios: each on a board with
// a flash of its own below dir, and so many MiB of memory, or the board's own where 0.
func Boots(b *board.Board, base, dir string, memory int) scenario.Boot {
	return func(_ context.Context, p scenario.Phone, _ *cluster.Cluster, servers []string) (scenario.Handset, error) {
		if p.MIC {
			return nil, scenario.ErrNotHere
		}
		at := filepath.Join(dir, "phone-"+p.Name)
		if err := PrepareFlash(b, base, at); err != nil {
			return nil, err
		}
		return rig.NewPhone(NewRig(b, p.MAC, p.Model, Options{Dir: at, Memory: memory}), servers), nil
	}
}
