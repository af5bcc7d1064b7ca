package image

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"math"
	"os/exec"
	"slices"
	"strings"

	"itlagent/firmware/uimage"
	"itlagent/platform/board"
)

// KernelUImageFile is the kernel in the form in which U-Boot takes it.
const KernelUImageFile = "kernel.uimage"

// ErrArch says that an image is for another architecture.
var ErrArch = errors.New("it is for another architecture")

// arches are the architectures as a uImage has them.
var arches = map[string]uimage.Arch{"arm": uimage.ARM, "mips": uimage.MIPS, "mipsle": uimage.MIPS, "amd64": uimage.AMD64}

// CheckUImage refuses what U-Boot would: a file with its header whose checksums or
// architecture are wrong. A file without a header is not looked at.
func CheckUImage(b *board.Board, data []byte) error {
	if !uimage.Is(data) {
		return nil
	}
	u, err := uimage.Parse(data)
	if err == nil && u.Arch != arches[b.Arch] {
		err = fmt.Errorf("%w than %s", ErrArch, b.Arch)
	}
	return err
}

// address32 reads an address that board.Parse has checked.
func address32(text string) uint32 {
	n, _ := board.Address(text)
	return uint32(n)
}

// name is that of an image: what its data are, and the board.
func name(what string, b *board.Board) string {
	text := what + " " + b.Name
	return text[:min(len(text), uimage.MaxName-1)]
}

// UImage puts U-Boot's header in front of an initramfs.
func UImage(b *board.Board, data []byte) ([]byte, error) {
	u := uimage.Image{Name: name("itlagent", b), Arch: arches[b.Arch], Type: uimage.Ramdisk, Compression: uimage.Gzip,
		Load: address32(b.Boot.LoadAddress), Entry: address32(b.Boot.EntryPoint), Data: data}
	if b.Initramfs.Compress == "xz" {
		u.Compression = uimage.None // the kernel unpacks it, and U-Boot need not know
	}
	return u.Marshal()
}

// KernelUImage makes a kernel what the board's boot loader takes: as it is behind a
// header, or out of an ELF file, packed. A uImage stays as it is.
func KernelUImage(b *board.Board, kernel []byte) ([]byte, error) {
	if uimage.Is(kernel) {
		return kernel, CheckUImage(b, kernel)
	}
	u := uimage.Image{Name: name("linux", b), Arch: arches[b.Arch], Type: uimage.Kernel, Load: address32(b.Kernel.Load), Data: kernel}
	u.Entry = u.Load
	if b.Kernel.Image == "uimage" {
		return u.Marshal()
	}
	flat, load, entry, err := flatten(kernel)
	if err != nil {
		return nil, fmt.Errorf("the kernel: %w", err)
	}
	u.Load, u.Entry = load, entry
	if b.Kernel.Image == "uimage-lzma" {
		u.Compression = uimage.LZMA
		u.Data, err = pipe(flat, "xz", "--format=lzma", "--lzma1=preset=9e,"+dictionary, "--threads=1", "--stdout")
	} else {
		u.Compression = uimage.Gzip
		u.Data, err = gzipped(flat)
	}
	if err != nil {
		return nil, err
	}
	return u.Marshal()
}

// environment adds the boot loader's variables: as text for env import and mkenvimage,
// NAME=VALUE a line, and as a script.
func environment(b *board.Board, o Options, m *Manifest, files map[string][]byte) error {
	if o.Environment == nil || b.Bootloader == nil || files[KernelFile] == nil {
		return nil
	}
	env, err := o.Environment(files)
	if err != nil {
		return err
	}
	var text, script strings.Builder
	fmt.Fprintf(&script, "# Starts %s. What U-Boot has saved stays as it is.\n", b.Name)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.ContainsAny(name+env[name], "'\\\r\n") {
			return fmt.Errorf("variable %q cannot be written into a script", name)
		}
		fmt.Fprintf(&text, "%s=%s\n", name, env[name])
		fmt.Fprintf(&script, "setenv %s '%s'\n", name, env[name])
	}
	script.WriteString("run bootcmd\n")
	files[EnvFile], files[CommandFile] = []byte(text.String()), []byte(script.String())
	files[ScriptFile], err = uimage.Image{Name: name("boot", b), Arch: arches[b.Arch], Type: uimage.Script, Data: files[CommandFile]}.Marshal()
	if args := env["bootargs"]; args != "" {
		m.CommandLine = args
	}
	return err
}

// dictionary bounds the memory that unpacking needs on the board beside the data
// themselves, in bytes: with xz's own, of 64 MiB, a small board runs out of memory.
const dictionary = "dict=4MiB"

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
	if low >= high || high-low > maxKernel { // which bounds what is made below
		return nil, 0, 0, errors.New("an ELF file without a kernel in it")
	}
	if f.Entry < low || f.Entry >= high {
		return nil, 0, 0, fmt.Errorf("an ELF file that starts at %#x, outside of %#x to %#x", f.Entry, low, high)
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
