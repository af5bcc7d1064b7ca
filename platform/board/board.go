// Package board describes boards as data: the machine, console, network and flash of a
// board, and how it starts.
//
//	b, err := board.Parse(data)
//
// A description is YAML; unknown keys are errors with their line. A Board is not
// changed after Parse, and is then safe for concurrent use. docs/porting.md lists the
// keys.
package board

import (
	"fmt"
	"strconv"
	"strings"

	"itlagent/platform/strictyaml"
)

// Board is one board.
type Board struct {
	Name       string      `yaml:"name"`
	About      string      `yaml:"about"`
	Arch       string      `yaml:"arch"` // arm, mips, mipsle, amd64
	ARM        int         `yaml:"goarm"`
	Console    Console     `yaml:"console"`
	Memory     int         `yaml:"memory"` // MiB
	Flash      Flash       `yaml:"flash"`
	Network    Network     `yaml:"network"`
	Kernel     Kernel      `yaml:"kernel"`
	Initramfs  Initramfs   `yaml:"initramfs"`
	Boot       Boot        `yaml:"boot"`
	Bootloader *Bootloader `yaml:"bootloader"` // nil where no boot loader is spoken to
	QEMU       *QEMU       `yaml:"qemu"`       // nil for a real board
	Tried      string      `yaml:"tried"`      // what a real board was tried on; "" for none: not on hardware
	Phone      []string    `yaml:"phone"`      // arguments of the device program
}

// Console is the serial console.
type Console struct {
	Device string `yaml:"device"` // "ttyAMA0"
	Baud   int    `yaml:"baud"`
	Shell  string `yaml:"shell"` // line of the phone's shell, "ttyS1,115200"; "" for the console
}

// Flash says where the vault is.
type Flash struct {
	Device     string      `yaml:"device"`    // "/dev/mtd1"
	EraseSize  string      `yaml:"eraseSize"` // "256KiB", a power of two
	Partitions []Partition `yaml:"partitions"`
}

// Partition is a part of the flash.
type Partition struct {
	Name   string `yaml:"name"`
	Offset string `yaml:"offset"`
	Size   string `yaml:"size"`
}

// Network is the board's address, where the kernel does not get one.
type Network struct {
	Interface string `yaml:"interface"`
	Address   string `yaml:"address"` // with its prefix
	Gateway   string `yaml:"gateway"`
}

// Kernel is the board's kernel.
type Kernel struct {
	Minimal string   `yaml:"minimal"` // made by firmware/kernel/build: arm, mips, mipsel
	Debian  string   `yaml:"debian"`  // or fetched by firmware/kernel/debian: arm, mipsel
	Args    []string `yaml:"args"`    // of its command line
	// Image is the form in which the boot loader takes the kernel: "" as it is, or a
	// uImage: uimage (of what comes as it is), uimage-gzip or uimage-lzma (of a vmlinux).
	Image string `yaml:"image"`
	DTB   string `yaml:"dtb"`  // the name of the device tree that it needs, "" for none
	Load  string `yaml:"load"` // address of a uimage; that of the ELF file for the others
}

// Initramfs is the form of the first file system.
type Initramfs struct {
	Compress string `yaml:"compress"` // gzip where "", or xz
	Small    bool   `yaml:"small"`    // a device program without pages
}

// Boot says how the board starts.
type Boot struct {
	Method      string `yaml:"method"`      // qemu, or uboot
	LoadAddress string `yaml:"loadAddress"` // of U-Boot's image
	EntryPoint  string `yaml:"entryPoint"`
}

// QEMU says how the board is emulated.
type QEMU struct {
	Program   string   `yaml:"program"`
	Minimum   string   `yaml:"minimum"` // version
	Args      []string `yaml:"args"`
	FlashSize string   `yaml:"flashSize"` // of the file
	FlashArg  string   `yaml:"flashArg"`  // -drive's, with {file}
	Vault     string   `yaml:"vault"`     // where the vault begins in the file
	VaultSize string   `yaml:"vaultSize"`
	// UBoot is the boot loader that the machine starts, in the place of a kernel: arm
	// or mips, made by firmware/uboot/build, or debian/DIR of the package u-boot-qemu.
	UBoot     string `yaml:"uboot"`
	UBootSize string `yaml:"ubootSize"` // it is padded with 0xff to this size
	// UBootArgs start it, with {file}; where there are none it is written to the start
	// of an empty flash.
	UBootArgs []string `yaml:"ubootArgs"`
}

// Parse reads a description. Errors of its form begin with the line.
func Parse(data []byte) (*Board, error) {
	b := new(Board)
	if err := strictyaml.Unmarshal(data, b); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return b, nil
}

// Size reads a size in bytes: "4096", "64KiB", "4MiB", "0x1000".
func Size(text string) (int64, error) {
	unit := int64(1)
	number := text
	for suffix, u := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, u
		}
	}
	n, err := strconv.ParseInt(number, 0, 40)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("invalid size %q: want one such as 64KiB or 4MiB", text)
	}
	return n * unit, nil
}

// GoEnv is the environment that the device program is built with.
func (b *Board) GoEnv() []string {
	env := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + b.Arch}
	switch b.Arch {
	case "arm":
		env = append(env, fmt.Sprintf("GOARM=%d", b.ARM))
	case "mips", "mipsle":
		env = append(env, "GOMIPS=softfloat")
	}
	return env
}

// CommandLine is the kernel's command line, without the phone's arguments behind "--".
func (b *Board) CommandLine() string {
	line := []string{fmt.Sprintf("console=%s,%d", b.Console.Device, b.Console.Baud), "panic=3", "quiet"}
	return strings.Join(append(line, b.Kernel.Args...), " ")
}
