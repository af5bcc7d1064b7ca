package image

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os/exec"
	"strings"

	"itlagent/platform/board"
)

// KernelUImageFile is the kernel in the form in which U-Boot takes it.
const KernelUImageFile = "kernel.uimage"

// HeaderSize is the size of U-Boot's legacy header, in bytes.
const HeaderSize = 64

// Codes of U-Boot's include/image.h.
const (
	uimageMagic = 0x27051956
	osLinux     = 5
	typeKernel  = 2
	typeRamdisk = 3
	compNone    = 0
	compGzip    = 1
	compLZMA    = 3
)

// uimage is what the header of an image says.
type uimage struct {
	kind, compression byte
	load, entry       uint32
	name              string
}

// wrap puts U-Boot's legacy header in front of data: 64 bytes, all numbers big-endian,
// without a time, so that the bytes are the same each time.
func (u uimage) wrap(arch string, data []byte) []byte {
	h := make([]byte, HeaderSize)
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }
	put(0, uimageMagic)
	put(12, uint32(len(data)))
	put(16, u.load)
	put(20, u.entry)
	put(24, crc32.ChecksumIEEE(data))
	h[28], h[29], h[30], h[31] = osLinux, map[string]byte{"arm": 2, "mips": 5, "mipsle": 5, "amd64": 24}[arch], u.kind, u.compression
	copy(h[32:63], u.name)
	put(4, crc32.ChecksumIEEE(h))
	return append(h, data...)
}

// address32 reads an address that board.Parse has checked.
func address32(text string) uint32 {
	n, _ := board.Address(text)
	return uint32(n)
}

// UImage puts U-Boot's header in front of an initramfs.
func UImage(b *board.Board, data []byte) ([]byte, error) {
	compression := byte(compGzip)
	if b.Initramfs.Compress == "xz" {
		compression = compNone // the kernel unpacks it, and U-Boot need not know
	}
	u := uimage{kind: typeRamdisk, compression: compression, load: address32(b.Boot.LoadAddress), entry: address32(b.Boot.EntryPoint), name: "itlagent " + b.Name}
	return u.wrap(b.Arch, data), nil
}

// KernelUImage makes a kernel what the board's boot loader takes: as it is behind a
// header, or out of an ELF file, packed.
func KernelUImage(b *board.Board, kernel []byte) ([]byte, error) {
	u := uimage{kind: typeKernel, name: "linux " + b.Name}
	if b.Kernel.Image == "uimage" {
		u.compression, u.load = compNone, address32(b.Kernel.Load)
		u.entry = u.load
		return u.wrap(b.Arch, kernel), nil
	}
	flat, load, entry, err := flatten(kernel)
	if err != nil {
		return nil, fmt.Errorf("the kernel: %w", err)
	}
	u.load, u.entry = load, entry
	if b.Kernel.Image == "uimage-lzma" {
		u.compression = compLZMA
		flat, err = pipe(flat, "xz", "--format=lzma", "-9", "--extreme", "--stdout")
	} else {
		u.compression = compGzip
		flat, err = gzipped(flat)
	}
	if err != nil {
		return nil, err
	}
	return u.wrap(b.Arch, flat), nil
}

// maxKernel bounds an unpacked kernel, in bytes.
const maxKernel = 64 << 20

// flatten returns what a 32-bit ELF file has in memory, and the addresses where it
// begins and starts.
func flatten(kernel []byte) (flat []byte, load, entry uint32, err error) {
	f, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return nil, 0, 0, err
	}
	low, high := uint64(math.MaxUint64), uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Filesz > 0 {
			low, high = min(low, p.Paddr&math.MaxUint32), max(high, p.Paddr&math.MaxUint32+p.Filesz)
		}
	}
	if low >= high || high-low > maxKernel {
		return nil, 0, 0, errors.New("an ELF file without a kernel in it")
	}
	flat = make([]byte, high-low)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Filesz > 0 {
			if _, err := p.ReadAt(flat[p.Paddr&math.MaxUint32-low:][:p.Filesz], 0); err != nil {
				return nil, 0, 0, err
			}
		}
	}
	return flat, uint32(low), uint32(f.Entry), nil
}

// gzipped packs bytes, without a name or time.
func gzipped(data []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// pipe runs a program over bytes.
func pipe(data []byte, args ...string) ([]byte, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = bytes.NewReader(data)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is not installed: make deps", args[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}
