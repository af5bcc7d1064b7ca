package flasher_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"itlagent/firmware/boards"
	"itlagent/firmware/image"
	"itlagent/platform/board"
	"itlagent/tools/expect"
	"itlagent/tools/flasher"
	"itlagent/tools/qemu"
	"itlagent/tools/uboot"
)

// loader is a real boot loader on an emulated machine, which nobody boots a phone from:
// it writes a kind of storage that the flashed boards do not have.
type loader struct {
	name    string
	uboot   func() ([]byte, error)
	storage board.Storage
	args    []string // of the machine
	loader  []string // with the boot loader's {file}
	flash   string   // with the storage's {file}
	size    int      // of it
	at      int      // where its part of u-boot.img lies in the storage; negative where nowhere
	baud    int      // while a file is sent
	load    string
}

// cached reads the boot loader that make uboot made, debian one of Debian's packages,
// which .ci/deps unpacks.
func cached() ([]byte, error) {
	b, err := boards.Load("qemu-arm-uboot")
	if err != nil {
		return nil, err
	}
	path, err := image.FindUBoot(b)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func debian(name string) func() ([]byte, error) {
	return func() ([]byte, error) {
		data, err := os.ReadFile(filepath.Join("/usr/local/lib/itlagent-tests/u-boot", name))
		if errors.Is(err, os.ErrNotExist) {
			err = errors.New(name + " is missing: make deps")
		}
		return data, err
	}
}

var loaders = []loader{
	{
		name: "mtd", uboot: cached, storage: board.Storage{Kind: "mtd", Device: "nor1"},
		args:   []string{"-M", "virt,highmem=off", "-cpu", "cortex-a15", "-nic", "none"},
		loader: []string{"-drive", "if=pflash,format=raw,index=0,readonly=on,file={file}"},
		flash:  "if=pflash,format=raw,index=1,file={file}", size: 64 << 20, at: -1, load: "0x48000000",
	},
	{ // Its console is the second port, and its SPI flash an sst25vf016b of 2 MiB.
		name: "sf", uboot: debian("mx6qsabrelite.imx"), storage: board.Storage{Kind: "sf", Device: "0"},
		args:   []string{"-M", "sabrelite", "-serial", "null"},
		loader: []string{"-device", "loader,addr=0x177ff400,force-raw=on,file={file}", "-device", "loader,addr=0x17800000,cpu-num=0"},
		flash:  "if=mtd,format=raw,file={file}", size: 2 << 20, at: -1, baud: 230400, load: "0x20000000",
	},
	{ // It starts from the card that it writes.
		name: "mmc", uboot: debian("orangepi.img"), storage: board.Storage{Kind: "mmc", Device: "0"},
		args:  []string{"-M", "orangepi-pc"},
		flash: "if=sd,format=raw,file={file}", size: 64 << 20, at: 8 << 10, load: "0x48000000",
	},
}

// board is the description of the machine, with two files of a few blocks.
func (l loader) board() *board.Board {
	part := func(name, offset, size string) board.Partition {
		return board.Partition{Name: name, Offset: offset, Size: size}
	}
	return &board.Board{
		Name: l.name, Arch: "arm", Memory: 1024,
		Flash: board.Flash{EraseSize: "256KiB", Partitions: []board.Partition{
			part("u-boot", "0", "1MiB"), part("kernel", "1MiB", "256KiB"), part("initramfs", "1280KiB", "512KiB"), part("vault", "1792KiB", "256KiB")}},
		Bootloader: &board.Bootloader{Prompt: "=> ", Stop: "Hit any key to stop autoboot", Load: l.load, Storage: l.storage, Own: "u-boot",
			Files: []board.Flashed{{Partition: "kernel", File: "kernel", Address: l.load}, {Partition: "initramfs", File: "initramfs", Address: l.load}}},
		QEMU: &board.QEMU{Program: "qemu-system-arm", Minimum: "7.0", Args: l.args, UBoot: l.name, UBootArgs: l.loader, FlashArg: l.flash, FlashSize: "2MiB"},
	}
}

// The commands for SPI flash, for U-Boot's mtd and for cards, which no flashed board
// has, write on real loaders what is read back from the storage's file, and nothing of
// the vault. Partitions that do not lie in the storage are refused before anything is
// written.
func TestLoaders(t *testing.T) {
	if testing.Short() {
		t.Skip("emulated boards are not run again with the race detector")
	}
	for _, l := range loaders {
		t.Run(l.name, func(t *testing.T) {
			b := l.board()
			data, err := l.uboot()
			if err := errors.Join(qemu.Check(b), err); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			t.Parallel()
			l.flashes(t, b, data)
		})
	}
}

func (l loader) flashes(t *testing.T, b *board.Board, data []byte) {
	dir := t.TempDir()
	disk := bytes.Repeat([]byte{0xff}, l.size)
	if l.at >= 0 {
		copy(disk[l.at:], data)
	} else if l.name == "mtd" {
		data = append(bytes.Clone(data), bytes.Repeat([]byte{0xff}, l.size-len(data))...)
	}
	vaultAt, _, _ := b.Partition(flasher.VaultPartition)
	binary.BigEndian.PutUint64(disk[vaultAt:], 0x1234567890abcdef)
	path := filepath.Join(dir, image.FlashFile)
	b.QEMU.FlashSize = map[int]string{2 << 20: "2MiB", 64 << 20: "64MiB"}[l.size]
	if err := errors.Join(os.WriteFile(path, disk, 0o600), os.WriteFile(filepath.Join(dir, image.UBootFile), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	m, err := qemu.Start(t.Context(), b, qemu.Options{Dir: dir, Reboots: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	u, err := uboot.Attach(t.Context(), expect.New(m.Console), flasher.Options(b))
	if err != nil {
		t.Fatal(err)
	}
	send := flasher.Serial{Protocol: flasher.YMODEM, Baud: l.baud, SetBaud: func(int) error { return nil }} // the emulated line has no rate
	f := &flasher.Flasher{Board: b, Loader: u, Transfer: send, Say: func(line string) { t.Log(line) }}
	job := flasher.Job{}
	for i, file := range b.Bootloader.Files {
		job.Files = append(job.Files, flasher.File{Flashed: file, Data: bytes.Repeat([]byte{byte(i + 1), 7, 9}, 2_001)})
	}
	large := *b
	large.Flash.Partitions = append([]board.Partition{}, b.Flash.Partitions...)
	large.Flash.Partitions[2].Size = "128MiB"
	f.Board = &large
	if wrote, err := f.Flash(t.Context(), job); !errors.Is(err, flasher.ErrStorage) || wrote != 0 {
		t.Errorf("a partition of 128 MiB: %d bytes, %v", wrote, err)
	}
	f.Board = b
	if wrote, err := f.Flash(t.Context(), job); err != nil || wrote != 2*6_003 {
		t.Fatalf("%d bytes, %v", wrote, err)
	}
	if wrote, err := f.Flash(t.Context(), job); err != nil || wrote != 0 {
		t.Fatalf("again: %d bytes, %v", wrote, err)
	}
	m.PowerOff()
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range job.Files {
		if at, _, _ := b.Partition(file.Partition); !bytes.HasPrefix(now[at:], file.Data) {
			t.Errorf("%s is not in the storage's file", file.File)
		}
	}
	if at, _, _ := b.Partition("kernel"); !bytes.Equal(now[:at], disk[:at]) || !bytes.Equal(now[vaultAt:], disk[vaultAt:]) {
		t.Error("the boot loader or the vault was written")
	}
}
