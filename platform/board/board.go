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
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
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
	Phone      []string    `yaml:"phone"`      // arguments of the device program
}

// Console is the serial console.
type Console struct {
	Device string `yaml:"device"` // "ttyAMA0"
	Baud   int    `yaml:"baud"`
}

// Flash says where the vault is.
type Flash struct {
	Device     string      `yaml:"device"`    // "/dev/mtd1"
	EraseSize  string      `yaml:"eraseSize"` // "256KiB"
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

var (
	boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,40}$`)
	ubootName = regexp.MustCompile(`^(arm|mips|debian/[a-z0-9_]{1,30})?$`)
	arches    = map[string]bool{"arm": true, "mips": true, "mipsle": true, "amd64": true}
)

// Parse reads a description. Errors of its form begin with the line.
func Parse(data []byte) (*Board, error) {
	b := new(Board)
	if err := strictyaml.Unmarshal(data, b); err != nil {
		return nil, err
	}
	return b, b.check()
}

func (b *Board) check() error {
	sizes := []string{b.Flash.EraseSize}
	for _, p := range b.Flash.Partitions {
		sizes = append(sizes, p.Offset, p.Size)
	}
	if q := b.QEMU; q != nil {
		sizes = append(sizes, q.FlashSize, q.Vault, q.VaultSize, q.UBootSize)
	}
	for _, s := range sizes {
		if s == "" {
			continue
		}
		if _, err := Size(s); err != nil {
			return err
		}
	}
	for _, a := range []string{b.Boot.LoadAddress, b.Boot.EntryPoint, b.Kernel.Load} {
		if _, err := strconv.ParseUint(a, 0, 32); a != "" && err != nil {
			return fmt.Errorf("boot: invalid address %q", a)
		}
	}
	if n := b.Network; n.Interface != "" {
		if _, err := netip.ParsePrefix(n.Address); err != nil {
			return fmt.Errorf("network: invalid address %q: want one such as 10.0.2.15/24", n.Address)
		}
	}
	switch {
	case !boardName.MatchString(b.Name):
		return fmt.Errorf("invalid name %q: want 2 to 41 of a-z, 0-9 and '-'", b.Name)
	case !arches[b.Arch]:
		return fmt.Errorf("invalid arch %q: want arm, mips, mipsle or amd64", b.Arch)
	case b.Arch == "arm" && (b.ARM < 5 || b.ARM > 7):
		return fmt.Errorf("invalid goarm %d: want 5, 6 or 7", b.ARM)
	case b.Console.Device == "" || b.Console.Baud <= 0:
		return errors.New("console: want a device and a baud rate")
	case b.Memory < 16:
		return fmt.Errorf("memory: %d MiB, want at least 16", b.Memory)
	case b.Flash.Device == "":
		return errors.New("flash: want the device that holds the vault")
	case b.Boot.Method != "qemu" && b.Boot.Method != "uboot":
		return fmt.Errorf("boot: invalid method %q: want qemu or uboot", b.Boot.Method)
	case b.Boot.Method == "qemu" && (b.QEMU == nil || b.QEMU.Program == ""):
		return errors.New("boot: method qemu needs the part qemu")
	case b.Boot.Method == "uboot" && b.Boot.LoadAddress == "":
		return errors.New("boot: method uboot needs a loadAddress")
	case !slices.Contains([]string{"", "uimage", "uimage-gzip", "uimage-lzma"}, b.Kernel.Image):
		return fmt.Errorf("kernel: invalid image %q: want uimage, uimage-gzip or uimage-lzma", b.Kernel.Image)
	case b.Kernel.Image == "uimage" && b.Kernel.Load == "":
		return errors.New("kernel: image uimage needs its load address")
	case !slices.Contains([]string{"", "gzip", "xz"}, b.Initramfs.Compress):
		return fmt.Errorf("initramfs: invalid compression %q: want gzip or xz", b.Initramfs.Compress)
	case b.QEMU != nil && !ubootName.MatchString(b.QEMU.UBoot):
		return fmt.Errorf("qemu: invalid uboot %q: want arm, mips, or debian/ and a folder", b.QEMU.UBoot)
	}
	return b.checkLoader()
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
