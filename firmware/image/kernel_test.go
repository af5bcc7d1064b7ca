package image_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/firmware/image"
	"itlagent/firmware/uimage"
	"itlagent/platform/board"
)

// elfKernel is an ELF file that loads data at 0x80100000 and is entered 4 bytes later.
func elfKernel(t *testing.T, machine elf.Machine, order elf.Data, data []byte) []byte {
	t.Helper()
	const base, headers = 0x80100000, 52 + 32
	var to binary.ByteOrder = binary.LittleEndian
	if order == elf.ELFDATA2MSB {
		to = binary.BigEndian
	}
	h := elf.Header32{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: base + 4, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS32), byte(order), 1
	p := elf.Prog32{Type: uint32(elf.PT_LOAD), Off: headers, Vaddr: base, Paddr: base, Filesz: uint32(len(data)), Memsz: uint32(len(data)) + 4096}
	var out bytes.Buffer
	for _, part := range []any{h, p, data} {
		if err := binary.Write(&out, to, part); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func zImage() []byte {
	data := make([]byte, 4096)
	binary.LittleEndian.PutUint32(data[0x24:], 0x016f2818)
	return data
}

// uboot is a board that U-Boot starts.
const uboot = `name: my-board
about: x
arch: ARCH
goarm: 7
memory: 64
console: {device: ttyS0, baud: 115200}
flash:
  device: /dev/mtd3
  eraseSize: 64KiB
  partitions:
    - {name: u-boot, offset: "0", size: 512KiB}
    - {name: kernel, offset: 512KiB, size: 2MiB}
    - {name: initramfs, offset: 3MiB, size: 4MiB}
    - {name: vault, offset: 7MiB, size: 512KiB}
    - {name: dtb, offset: 7680KiB, size: 64KiB}
boot: {method: uboot, loadAddress: "0x80008000"}
kernel: {KERNEL}
`

func ubootBoard(t *testing.T, arch, kernel string) *board.Board {
	t.Helper()
	b, err := board.Parse([]byte(strings.NewReplacer("ARCH", arch, "{KERNEL}", "{"+kernel+"}").Replace(uboot)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func kernelUImage(t *testing.T, arch uimage.Arch, kind uimage.Type) []byte {
	t.Helper()
	data, err := uimage.Image{Arch: arch, Type: kind, Data: []byte("x")}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A kernel is taken by the boards of its architecture alone.
func TestCheckKernel(t *testing.T) {
	bz := make([]byte, 4096)
	copy(bz[0x202:], "HdrS")
	arm64 := make([]byte, 4096)
	copy(arm64[0x38:], "ARM\x64")
	cut := kernelUImage(t, uimage.ARM, uimage.Kernel)
	for _, test := range []struct {
		name   string
		data   []byte
		arches string // of the boards that take it
		says   string
	}{
		{"zImage", zImage(), "arm", "the kernel (zImage) is for arm, the board is "},
		{"ELF, arm", elfKernel(t, elf.EM_ARM, elf.ELFDATA2LSB, []byte("kernel")), "arm", "(ELF) is for arm"},
		{"ELF, big endian", elfKernel(t, elf.EM_MIPS, elf.ELFDATA2MSB, []byte("kernel")), "mips", "(ELF) is for mips, "},
		{"ELF, little endian", elfKernel(t, elf.EM_MIPS, elf.ELFDATA2LSB, []byte("kernel")), "mipsle", "(ELF) is for mipsle"},
		{"ELF, another machine", elfKernel(t, elf.EM_PPC, elf.ELFDATA2MSB, []byte("kernel")), "", "is for EM_PPC"},
		{"ELF, big endian arm", elfKernel(t, elf.EM_ARM, elf.ELFDATA2MSB, []byte("kernel")), "", "is for EM_ARM"},
		{"half an ELF", elfKernel(t, elf.EM_ARM, elf.ELFDATA2LSB, []byte("kernel"))[:60], "", "cannot be read"},
		{"bzImage", bz, "amd64", "(bzImage) is for amd64"},
		{"Image", arm64, "", "is for arm64"},
		{"uImage, arm", kernelUImage(t, uimage.ARM, uimage.Kernel), "arm", "(uImage) is for arm"},
		{"uImage, mips", kernelUImage(t, uimage.MIPS, uimage.Kernel), "mips mipsle", "(uImage) is for mips"},
		{"uImage, ramdisk", kernelUImage(t, uimage.ARM, uimage.Ramdisk), "", "not a kernel"},
		{"uImage, cut", cut[:len(cut)-1], "", "cut short"},
		{"text", []byte("#!/bin/sh\n"), "", "not a kernel that is known"},
		{"nothing", nil, "", "not a kernel that is known"},
		{"a device tree", []byte("\xd0\x0d\xfe\xed...."), "", "a device tree or FIT image"},
	} {
		for _, arch := range []string{"arm", "mips", "mipsle", "amd64"} {
			err := image.CheckKernel(&board.Board{Arch: arch}, test.data)
			takes := strings.Contains(" "+test.arches+" ", " "+arch+" ")
			if (err == nil) != takes || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s on %s: %v, want %q", test.name, arch, err, test.says)
			}
		}
	}
}

// A board that U-Boot starts gets its kernel as a uImage, its initramfs as xz, its device
// tree, the table of its flash, and the whole command line.
func TestBoardImage(t *testing.T) {
	dtb := binary.BigEndian.AppendUint32(nil, 0xd00dfeed)
	dtb = append(binary.BigEndian.AppendUint32(dtb, 16), "12345678"...)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	b := ubootBoard(t, "mips", "image: uimage-lzma, dtb: my.dtb")
	b.Initramfs.Compress = "xz"
	o := image.Options{Dir: filepath.Join(dir, "out"), Source: "../..", Kernel: write("kernel", vmlinux(t)), DTB: write("dtb", dtb), Phone: []string{"-mac", "64A0E71502CC"}}
	b.Bootloader = &board.Bootloader{Files: []board.Flashed{{Partition: "kernel", File: "kernel.uimage"}, {Partition: "initramfs", File: "initramfs.uimage"}, {Partition: "dtb", File: "board.dtb"}}}
	o.Environment = func(files map[string][]byte) (map[string]string, error) {
		return map[string]string{"bootcmd": "sf probe && bootm ${addr}", "bootargs": fmt.Sprintf("size=%d -- -mac 64A0E71502CC", len(files["kernel.uimage"]))}, nil
	}
	m, err := image.Build(b, o)
	if err != nil {
		t.Fatal(err)
	}
	args := fmt.Sprintf("size=%d -- -mac 64A0E71502CC", len(read(t, filepath.Join(o.Dir, image.KernelUImageFile))))
	if m.CommandLine != args {
		t.Errorf("command line %q, want %q", m.CommandLine, args)
	}
	if text := string(read(t, filepath.Join(o.Dir, image.EnvFile))); text != "bootargs="+args+"\nbootcmd=sf probe && bootm ${addr}\n" {
		t.Errorf("the environment is %q", text)
	}
	script, err := uimage.Parse(read(t, filepath.Join(o.Dir, image.ScriptFile)))
	want := "# Starts my-board. What U-Boot has saved stays as it is.\nsetenv bootargs '" + args + "'\nsetenv bootcmd 'sf probe && bootm ${addr}'\nrun bootcmd\n"
	if err != nil || script.Type != uimage.Script || string(script.Data) != want || !bytes.Equal(script.Data, read(t, filepath.Join(o.Dir, image.CommandFile))) {
		t.Errorf("the script is %q, %v; want %q", script.Data, err, want)
	}
	for name, board := range map[string]*board.Board{"without arguments": ubootBoard(t, "arm", "args: []"), "emulated": load(t, "qemu-arm")} {
		if got := image.FullCommandLine(board, nil); strings.Contains(got, " -- ") {
			t.Errorf("%s: %q", name, got)
		}
		if got := image.FullCommandLine(board, []string{"-mac", "1"}); !strings.HasSuffix(got, " -- -mac 1") {
			t.Errorf("%s: %q", name, got)
		}
	}
	k, err := uimage.Parse(read(t, filepath.Join(o.Dir, image.KernelUImageFile)))
	if err != nil || k.Load != 0x80100000 || k.Entry != 0x80100004 || k.Arch != uimage.MIPS || k.Compression != uimage.LZMA {
		t.Errorf("the kernel: load %#x, entry %#x, %v", k.Load, k.Entry, err)
	}
	u, err := uimage.Parse(read(t, filepath.Join(o.Dir, image.UImageFile)))
	if err != nil || !bytes.HasPrefix(u.Data, []byte("\xfd7zXZ\x00\x00\x01")) { // its check is CRC-32
		t.Errorf("the initramfs begins with %x, %v", u.Data[:8], err)
	}
	xz := exec.Command("xz", "-dc", "--memlimit-decompress=6MiB") // what a small board has left for that
	xz.Stdin = bytes.NewReader(u.Data)
	if plain, err := xz.Output(); err != nil || !bytes.HasPrefix(plain, []byte("070701")) {
		t.Errorf("xz -d: %v", err)
	}
	if !bytes.Equal(read(t, filepath.Join(o.Dir, image.DTBFile)), dtb) {
		t.Error("another device tree")
	}
	table := string(read(t, filepath.Join(o.Dir, image.LayoutFile)))
	for _, line := range []string{
		"0x00080000  0x00280000  2048  kernel     kernel.uimage     ",
		"0x00300000  0x00700000  4096  initramfs  initramfs.uimage  ",
		"0x00700000  0x00780000  512   vault      -                 -\n",
		"0x00780000  0x00790000  64    dtb        board.dtb         16\n",
	} {
		if !strings.Contains(table, line) {
			t.Errorf("no %q in\n%s", line, table)
		}
	}
	for name, test := range map[string]struct {
		board       *board.Board
		kernel, dtb []byte
		want        string
	}{
		"another architecture":  {b, zImage(), dtb, "is for arm, the board is mips"},
		"a large kernel":        {ubootBoard(t, "arm", "args: []"), append(zImage(), make([]byte, 2<<20)...), nil, "kernel has 2101248 bytes, partition kernel 2097152"},
		"a large packed kernel": {ubootBoard(t, "arm", "image: uimage, load: \"0x8000\""), append(zImage(), make([]byte, 2<<20-4096)...), nil, "kernel.uimage has 2097216 bytes, partition kernel 2097152"},
		"no device tree":        {b, vmlinux(t), []byte("ELF, say"), "not a device tree"},
		"half a device tree":    {b, vmlinux(t), dtb[:12], "a device tree of 12 bytes that says 16"},
		"one too many":          {ubootBoard(t, "arm", "args: []"), zImage(), dtb, "takes no device tree"},
	} {
		o := image.Options{Dir: filepath.Join(dir, "bad"), Source: "../..", Kernel: write("kernel", test.kernel)}
		if test.dtb != nil {
			o.DTB = write("dtb", test.dtb)
		}
		if _, err := image.Build(test.board, o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// No file makes recognizing a kernel fail but with an error of one line.
func FuzzKernel(f *testing.F) {
	f.Add(zImage())
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := image.CheckKernel(&board.Board{Arch: "arm"}, data); err != nil && strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Fatalf("%q", err)
		}
	})
}
