package image_test

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os/exec"
	"strings"
	"testing"

	"itlagent/firmware/image"
)

// vmlinux is an ELF file, big endian, with two segments that leave a hole of 4 bytes.
func vmlinux(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&out, binary.BigEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	const entry, base, header, segment = 0x80100004, 0x80100000, 52, 32
	put(elf.Header32{Ident: [16]byte{0x7f, 'E', 'L', 'F', 1, 2, 1}, Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_MIPS), Version: 1,
		Entry: entry, Phoff: header, Ehsize: header, Phentsize: segment, Phnum: 2})
	put(elf.Prog32{Type: uint32(elf.PT_LOAD), Off: header + 2*segment, Vaddr: base, Paddr: base, Filesz: 4, Memsz: 4})
	put(elf.Prog32{Type: uint32(elf.PT_LOAD), Off: header + 2*segment + 4, Vaddr: base + 8, Paddr: base + 8, Filesz: 4, Memsz: 100})
	out.WriteString("textdata")
	return out.Bytes()
}

// A kernel becomes what U-Boot unpacks, with the addresses of its ELF file.
func TestKernelUImage(t *testing.T) {
	b := load(t, "qemu-mips-uboot")
	const want = "text\x00\x00\x00\x00data"
	for name, c := range map[string]struct {
		code   byte
		unpack func([]byte) ([]byte, error)
	}{
		"uimage-gzip": {1, func(packed []byte) ([]byte, error) {
			z, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(z)
		}},
		"uimage-lzma": {3, func(packed []byte) ([]byte, error) {
			cmd := exec.Command("xz", "--format=lzma", "-dc")
			cmd.Stdin = bytes.NewReader(packed)
			return cmd.Output()
		}},
	} {
		b.Kernel.Image = name
		out, err := image.KernelUImage(b, vmlinux(t))
		if err != nil {
			t.Fatal(err)
		}
		at := func(n int) uint32 { return binary.BigEndian.Uint32(out[n:]) }
		if at(16) != 0x80100000 || at(20) != 0x80100004 || at(24) != crc32.ChecksumIEEE(out[64:]) || !bytes.Equal(out[28:32], []byte{5, 5, 2, c.code}) {
			t.Errorf("%s: header %x", name, out[:64])
		}
		if got, err := c.unpack(out[64:]); string(got) != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
		for bad, data := range map[string][]byte{"no ELF file": []byte("zImage"), "cut off": vmlinux(t)[:118]} {
			if _, err := image.KernelUImage(b, data); err == nil || !strings.HasPrefix(err.Error(), "the kernel: ") {
				t.Errorf("%s, %s: %v", name, bad, err)
			}
		}
	}
	arm := load(t, "qemu-arm-uboot")
	out, err := image.KernelUImage(arm, []byte("zImage"))
	if err != nil || binary.BigEndian.Uint32(out[16:]) != 0x41000000 || !bytes.Equal(out[28:32], []byte{5, 2, 2, 0}) || string(out[64:]) != "zImage" {
		t.Errorf("as it is: %x, %v", out, err)
	}
}
