package board

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"itlagent/platform/serial"
)

// leastSize is what partitions of these names must have at least, in bytes: no kernel
// that runs Go is smaller than 1 MiB (a minimal one for ARM has 1.5), the device program
// without pages has 1.2 MiB as xz, and a vault needs room for two revisions of lists and
// configuration.
var leastSize = map[string]int64{"kernel": 1 << 20, "initramfs": 1 << 20, "vault": 128 << 10}

// vaultBlocks is the least number of erase blocks of a vault, as package vault has it.
const vaultBlocks = 3

// rates are those that serial ports of boards and Linux's termios have, in baud.
var rates = []int{
	1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 500000, 576000, 921600,
	1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
}

// Limits of what a description says.
const (
	minMemory, maxMemory = 16, 1 << 20 // MiB
	maxErase             = 16 << 20    // bytes
	maxInterface         = 15          // of an interface's name, as in Linux's IFNAMSIZ
)

var (
	boardName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,40}$`)
	partName  = regexp.MustCompile(`^[A-Za-z0-9_.-]([A-Za-z0-9_. -]{0,30}[A-Za-z0-9_.-])?$`)
	ubootName = regexp.MustCompile(`^(arm|mips|debian/[a-z0-9_]{1,30})?$`)
	dtbName   = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,60}\.dtb$`)
	arches    = []string{"arm", "mips", "mipsle", "amd64"}
)

// check reports the first fault of a description.
func (b *Board) check() error {
	switch {
	case !boardName.MatchString(b.Name):
		return fmt.Errorf("invalid name %.60q: want 2 to 41 of a-z, 0-9 and '-'", b.Name)
	case !slices.Contains(arches, b.Arch):
		return fmt.Errorf("invalid arch %.60q: want arm, mips, mipsle or amd64", b.Arch)
	case b.Arch == "arm" && (b.ARM < 5 || b.ARM > 7):
		return fmt.Errorf("invalid goarm %d: want 5, 6 or 7", b.ARM)
	case b.Console.Device == "" || b.Console.Baud == 0:
		return errors.New("console: want a device and a baud rate")
	case !shellLine(b.Console.Shell):
		return fmt.Errorf("console: invalid shell %q: want one such as ttyS1,115200", b.Console.Shell)
	case !slices.Contains(rates, b.Console.Baud):
		return fmt.Errorf("console: impossible rate %d: want one such as 9600, 57600, 115200 or 1500000", b.Console.Baud)
	case b.Memory < minMemory || b.Memory > maxMemory:
		return fmt.Errorf("memory: %d MiB, want at least %d", b.Memory, minMemory)
	}
	for _, check := range []func() error{b.Network.check, b.Flash.check, b.checkMTDParts, b.checkBoot, b.checkQEMU, b.checkLoader} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) check() error {
	if n.Interface == "" {
		return nil
	}
	p, err := netip.ParsePrefix(n.Address)
	switch {
	case len(n.Interface) > maxInterface || strings.ContainsAny(n.Interface, " /="):
		return fmt.Errorf("network: invalid interface %.60q", n.Interface)
	case err != nil || !p.Addr().Is4():
		return fmt.Errorf("network: invalid address %.60q: want one such as 10.0.2.15/24", n.Address)
	case n.Gateway == "":
		return nil
	}
	g, err := netip.ParseAddr(n.Gateway)
	switch {
	case err != nil:
		return fmt.Errorf("network: invalid gateway %.60q: want an address such as 10.0.2.2", n.Gateway)
	case !p.Contains(g):
		return fmt.Errorf("network: gateway %s is not in %s", g, p.Masked())
	}
	return nil
}

func (f *Flash) check() error {
	erase := int64(1)
	if f.EraseSize != "" {
		var err error
		if erase, err = Size(f.EraseSize); err != nil {
			return err
		}
	}
	switch {
	case f.Device == "":
		return errors.New("flash: want the device that holds the vault")
	case erase <= 0 || erase&(erase-1) != 0 || erase > maxErase:
		return fmt.Errorf("flash: eraseSize %.60s is not a power of two up to 16MiB", f.EraseSize)
	}
	end, before := int64(0), ""
	names := make(map[string]bool)
	for _, p := range f.Partitions {
		offset, size, err := p.check(erase, f.EraseSize)
		switch {
		case err != nil:
			return err
		case names[p.Name]:
			return fmt.Errorf("flash: two partitions %s", p.Name)
		case offset < end:
			return fmt.Errorf("partition %s begins at %#x, before %s ends at %#x", p.Name, offset, before, end)
		}
		end, before, names[p.Name] = offset+size, p.Name, true
	}
	return nil
}

// check wants a partition of whole erase blocks that is large enough for what its name
// says. It returns its place in bytes.
func (p *Partition) check(erase int64, eraseSize string) (offset, size int64, err error) {
	if offset, err = Size(p.Offset); err != nil {
		return 0, 0, err
	}
	if size, err = Size(p.Size); err != nil {
		return 0, 0, err
	}
	least := leastSize[p.Name]
	if p.Name == "vault" {
		least = max(least, vaultBlocks*erase)
	}
	switch {
	case !partName.MatchString(p.Name):
		err = fmt.Errorf("flash: invalid name %.60q of a partition", p.Name)
	case size == 0:
		err = fmt.Errorf("partition %s is empty", p.Name)
	case offset%erase != 0 || size%erase != 0:
		err = fmt.Errorf("partition %s: %s at %s: not whole erase blocks of %s", p.Name, p.Size, p.Offset, eraseSize)
	case size < least:
		err = fmt.Errorf("partition %s: %s is too small for what its name says: it needs %d KiB", p.Name, p.Size, least>>10)
	}
	return offset, size, err
}

// mtdPart is one partition in Linux's mtdparts= or blkdevparts=, see its
// drivers/mtd/parsers/cmdlinepart.c and Documentation/block/cmdline-partition.rst.
var mtdPart = regexp.MustCompile(`^(-|[0-9]+[kKmM]?)(?:@([0-9]+[kKmM]?|0x[0-9a-fA-F]+))?\(([^()]*)\)(?:ro)?(?:lk)?$`)

// checkMTDParts compares the kernel's partitions, where it is told of them, with those of
// the description: what goes to one place and is looked for at another does not start.
func (b *Board) checkMTDParts() error {
	for _, arg := range b.Kernel.Args {
		key, chips, _ := strings.Cut(arg, "=")
		if key != "mtdparts" && key != "blkdevparts" || len(b.Flash.Partitions) == 0 {
			continue
		}
		first, _, _ := strings.Cut(chips, ";")
		_, list, ok := strings.Cut(first, ":")
		parts := strings.Split(list, ",")
		if !ok || len(parts) != len(b.Flash.Partitions) {
			return fmt.Errorf("kernel: %s= has %d partitions, flash.partitions %d", key, len(parts), len(b.Flash.Partitions))
		}
		end := int64(0)
		for i, p := range b.Flash.Partitions {
			offset, _ := Size(p.Offset) // Flash.check has read them
			size, _ := Size(p.Size)
			m := mtdPart.FindStringSubmatch(parts[i])
			if m == nil {
				return fmt.Errorf("kernel: %s= has an invalid partition %.60q", key, parts[i])
			}
			at, n := end, size
			if m[2] != "" {
				at = mtdSize(m[2])
			}
			if m[1] != "-" {
				n = mtdSize(m[1])
			}
			if at != offset || n != size || m[3] != p.Name {
				return fmt.Errorf("kernel: %s= has %s at %d KiB where flash.partitions has %s, %d KiB at %d KiB", key, parts[i], at>>10, p.Name, size>>10, offset>>10)
			}
			if p.Name == "vault" && !isPartition(b.Flash.Device, key, i) {
				return fmt.Errorf("flash: device %.60s is not the vault, which is partition %d of %s=", b.Flash.Device, i, key)
			}
			end = at + n
		}
	}
	return nil
}

// isPartition reports whether a device can be the nth partition, from 0, of a list. Linux
// counts those of block devices from 1, and raw ones over all chips, of which others may
// come first.
func isPartition(device, key string, n int) bool {
	if key == "blkdevparts" {
		return strings.HasSuffix(device, fmt.Sprintf("p%d", n+1))
	}
	have, err := strconv.Atoi(strings.TrimPrefix(device, "/dev/mtd"))
	return err != nil || have >= n
}

// mtdSize reads a size as Linux's memparse does.
func mtdSize(text string) int64 {
	shift := 0
	switch text[len(text)-1] {
	case 'k', 'K':
		shift = 10
	case 'm', 'M':
		shift = 20
	}
	if shift > 0 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseInt(text, 0, 40)
	if err != nil {
		return -1 // which no partition has
	}
	return n << shift
}

func (b *Board) checkBoot() error {
	for _, a := range []string{b.Boot.LoadAddress, b.Boot.EntryPoint, b.Kernel.Load} {
		if _, err := strconv.ParseUint(a, 0, 32); a != "" && err != nil {
			return fmt.Errorf("boot: invalid address %.60q", a)
		}
	}
	switch {
	case b.Boot.Method != "qemu" && b.Boot.Method != "uboot":
		return fmt.Errorf("boot: invalid method %.60q: want qemu or uboot", b.Boot.Method)
	case b.Boot.Method == "uboot" && b.Boot.LoadAddress == "":
		return errors.New("boot: method uboot needs a loadAddress")
	case !slices.Contains([]string{"", "uimage", "uimage-gzip", "uimage-lzma"}, b.Kernel.Image):
		return fmt.Errorf("kernel: invalid image %.60q: want uimage, uimage-gzip or uimage-lzma", b.Kernel.Image)
	case b.Kernel.Image == "uimage" && b.Kernel.Load == "":
		return errors.New("kernel: image uimage needs its load address")
	case b.Kernel.DTB != "" && !dtbName.MatchString(b.Kernel.DTB):
		return fmt.Errorf("kernel: invalid dtb %.60q: want a name such as am335x-boneblack.dtb", b.Kernel.DTB)
	case !slices.Contains([]string{"", "gzip", "xz"}, b.Initramfs.Compress):
		return fmt.Errorf("initramfs: invalid compression %.60q: want gzip or xz", b.Initramfs.Compress)
	}
	return nil
}

// checkQEMU wants an emulated board's vault within the file of its flash.
func (b *Board) checkQEMU() error {
	q := b.QEMU
	if q == nil || q.Program == "" {
		if b.Boot.Method == "qemu" {
			return errors.New("boot: method qemu needs the part qemu")
		}
		return nil
	}
	var n [4]int64
	for i, text := range []string{q.FlashSize, q.Vault, q.VaultSize, q.UBootSize} {
		if text == "" {
			continue
		}
		var err error
		if n[i], err = Size(text); err != nil {
			return err
		}
	}
	switch {
	case !ubootName.MatchString(q.UBoot):
		return fmt.Errorf("qemu: invalid uboot %.60q: want arm, mips, or debian/ and a folder", q.UBoot)
	case n[1]+n[2] > n[0]:
		return fmt.Errorf("qemu: the vault ends at %#x, the flash at %#x", n[1]+n[2], n[0])
	}
	return nil
}

// shellLine says whether a text may name the line of the phone's shell.
func shellLine(text string) bool {
	if text == "" {
		return true
	}
	_, err := serial.ParseName("/dev/" + text)
	return err == nil && !strings.ContainsAny(text, "/ ")
}
