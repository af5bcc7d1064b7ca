package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"itlagent/firmware/uimage"
	"itlagent/platform/board"
)

// kernel is a file with a kernel in it.
type kernel struct {
	form   string   // "ELF", "zImage", "bzImage", "uImage"
	arches []string // those of package board that it may be for
}

// Sources: Linux's arch/arm/boot/compressed/head.S, Documentation/x86/boot.rst and
// Documentation/arm64/booting.rst.
const (
	zImageAt, zImageMagic = 0x24, 0x016f2818
	bzImageAt             = 0x202 // "HdrS"
	arm64At               = 0x38  // "ARM\x64"
)

// recognize says what a file is, by what it has at its beginning.
func recognize(data []byte) (kernel, error) {
	has := func(at int, text string) bool {
		return len(data) >= at+len(text) && string(data[at:at+len(text)]) == text
	}
	switch {
	case len(data) > maxKernel:
		return kernel{}, fmt.Errorf("a kernel of %d bytes: at most %d", len(data), maxKernel)
	case uimage.Is(data):
		return recognizeUImage(data)
	case has(0, elf.ELFMAG):
		return recognizeELF(data)
	case len(data) >= zImageAt+4 && binary.LittleEndian.Uint32(data[zImageAt:]) == zImageMagic:
		return kernel{form: "zImage", arches: []string{"arm"}}, nil
	case has(bzImageAt, "HdrS"):
		return kernel{form: "bzImage", arches: []string{"amd64"}}, nil
	case has(arm64At, "ARM\x64"):
		return kernel{form: "Image", arches: []string{"arm64"}}, nil
	case has(0, "\xd0\x0d\xfe\xed"):
		return kernel{}, errors.New("a device tree or FIT image, not a kernel")
	}
	return kernel{}, errors.New("not a kernel that is known: want an ELF vmlinux, a zImage, a bzImage or a uImage")
}

func recognizeUImage(data []byte) (kernel, error) {
	img, err := uimage.Parse(data)
	switch {
	case err != nil:
		return kernel{}, err
	case img.Type != uimage.Kernel:
		return kernel{}, fmt.Errorf("a uImage of type %d, not a kernel", img.Type)
	case img.Arch == uimage.MIPS:
		return kernel{form: "uImage", arches: []string{"mips", "mipsle"}}, nil
	}
	return kernel{form: "uImage", arches: []string{img.Arch.String()}}, nil
}

func recognizeELF(data []byte) (kernel, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return kernel{}, fmt.Errorf("an ELF file that cannot be read: %w", err)
	}
	arch := f.Machine.String()
	switch {
	case f.Machine == elf.EM_ARM && f.Class == elf.ELFCLASS32 && f.Data == elf.ELFDATA2LSB:
		arch = "arm"
	case f.Machine == elf.EM_MIPS && f.Class == elf.ELFCLASS32 && f.Data == elf.ELFDATA2MSB:
		arch = "mips"
	case f.Machine == elf.EM_MIPS && f.Class == elf.ELFCLASS32:
		arch = "mipsle"
	case f.Machine == elf.EM_X86_64:
		arch = "amd64"
	}
	return kernel{form: "ELF", arches: []string{arch}}, nil
}

// CheckKernel refuses what is no kernel, or one for another architecture than the
// board's.
func CheckKernel(b *board.Board, data []byte) error {
	k, err := recognize(data)
	if err == nil && !slices.Contains(k.arches, b.Arch) {
		err = fmt.Errorf("the kernel (%s) is for %s, the board is %s", k.form, k.arches[0], b.Arch)
	}
	return err
}
