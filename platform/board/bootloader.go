package board

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bootloader says how a board is flashed and started through its boot loader, U-Boot.
// What its texts have in braces stands for what an image has: {kernel.size} is the size
// of the kernel's file in bytes, in decimal, and {kernel.hexsize} in hexadecimal, so for
// each of Files by the name of its partition; {phone} is the arguments of the device
// program.
type Bootloader struct {
	Prompt string `yaml:"prompt"` // as it is: "=> "
	// Stop is what the loader says when a key ends its wait; "" for one that always
	// comes to its prompt.
	Stop string `yaml:"stop"`
	Key  string `yaml:"key"` // typed at Stop; a blank where ""
	// Load is the address in RAM where parts of files lie before they are written.
	Load    string  `yaml:"load"`
	Storage Storage `yaml:"storage"`
	// Own is the partition of the loader itself, which is never written; "" where it
	// lies elsewhere.
	Own string `yaml:"own"`
	// Files are written in this order.
	Files []Flashed `yaml:"files"`
	// Boot is the command that starts what Files have in RAM, without its arguments
	// for the kernel, which are the variable bootargs.
	Boot string   `yaml:"boot"`
	Args []string `yaml:"args"` // of the kernel's command line, behind those of the board
	// Environment says how the loader keeps its variables: saveenv, or script for a
	// boot.scr in a FAT partition at the start of the storage, made for it.
	Environment string   `yaml:"environment"`
	Variables   []string `yaml:"variables"` // NAME=VALUE, more of the environment
	TFTPPort    bool     `yaml:"tftpPort"`  // it obeys tftpdstp: the server's port need not be 69
	MaxBaud     int      `yaml:"maxBaud"`   // of loady; that of the console where 0
}

// Storage is what the loader writes.
type Storage struct {
	Kind   string `yaml:"kind"`   // nor, sf, mtd, mmc, virtio, ide
	Base   string `yaml:"base"`   // nor: the address where the flash begins in memory
	Device string `yaml:"device"` // its number or name for the loader's commands: "0", "nor0"
}

// Flashed is one file of an image and its place.
type Flashed struct {
	Partition string `yaml:"partition"` // of flash.partitions
	File      string `yaml:"file"`      // of the image's folder
	Address   string `yaml:"address"`   // in RAM, where it is when the kernel starts
	// Skip is how many bytes at the start of the file do not go to RAM at boot, such
	// as the 64 of a uImage's header, in front of an initramfs that the kernel finds by
	// its address.
	Skip int64 `yaml:"skip"`
}

// BlockSize is the size of a block of mmc, virtio and ide, in bytes.
const BlockSize = 512

// IsBlocks says whether a storage is written in blocks, and needs no erasing.
func (s Storage) IsBlocks() bool { return slices.Contains([]string{"mmc", "virtio", "ide"}, s.Kind) }

var (
	storages     = []string{"nor", "sf", "mtd", "mmc", "virtio", "ide"}
	environments = []string{"saveenv", "script"}
	fileName     = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,40}$`)
	deviceName   = regexp.MustCompile(`^[a-z0-9:.-]{0,20}$`)
	// quotable is text that stands between quotes in a command of the loader.
	quotable = regexp.MustCompile(`^[ -&(-\[\]-~]*$`)
	variable = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}=`)
)

// Address reads an address in memory, such as "0x40400000".
func Address(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("invalid address %q: want one such as 0x40400000", text)
	}
	return n, nil
}

// Partition returns a partition of the flash by its name, with its place in bytes.
func (b *Board) Partition(name string) (offset, size int64, ok bool) {
	for _, p := range b.Flash.Partitions {
		if p.Name == name {
			offset, err1 := Size(p.Offset)
			size, err2 := Size(p.Size)
			return offset, size, errors.Join(err1, err2) == nil
		}
	}
	return 0, 0, false
}

// checkLoader checks the part about the boot loader. The board's sizes are sound.
func (b *Board) checkLoader() error {
	l := b.Bootloader
	if l == nil {
		return nil
	}
	for _, a := range append([]string{l.Load}, l.addresses()...) {
		if _, err := Address(a); err != nil {
			return fmt.Errorf("bootloader: %w", err)
		}
	}
	for _, text := range append([]string{l.Prompt, l.Stop, l.Key, l.Boot}, append(slices.Clone(l.Args), l.Variables...)...) {
		if !quotable.MatchString(text) {
			return fmt.Errorf("bootloader: %q has a quote, a backslash, or a character that is not ASCII", text)
		}
	}
	for _, v := range l.Variables {
		if !variable.MatchString(v) {
			return fmt.Errorf("bootloader: variable %q: want NAME=VALUE", v)
		}
	}
	switch {
	case strings.TrimSpace(l.Prompt) == "":
		return errors.New("bootloader: want its prompt")
	case !slices.Contains(storages, l.Storage.Kind):
		return fmt.Errorf("bootloader: invalid storage %q: want one of %s", l.Storage.Kind, strings.Join(storages, ", "))
	case !deviceName.MatchString(l.Storage.Device):
		return fmt.Errorf("bootloader: invalid device %q", l.Storage.Device)
	case !slices.Contains(environments, l.Environment):
		return fmt.Errorf("bootloader: invalid environment %q: want saveenv or script", l.Environment)
	case len(l.Files) == 0 || l.Boot == "":
		return errors.New("bootloader: want the files that are written, and the command that boots them")
	case l.MaxBaud < 0:
		return errors.New("bootloader: maxBaud below zero")
	}
	return b.checkFlashed()
}

// addresses are those that must be there.
func (l *Bootloader) addresses() (all []string) {
	if l.Storage.Kind == "nor" {
		all = append(all, l.Storage.Base)
	}
	for _, f := range l.Files {
		all = append(all, f.Address)
	}
	return all
}

// checkFlashed checks that what is written has a partition of its own, which begins at
// an erase block and is not the loader's.
func (b *Board) checkFlashed() error {
	l := b.Bootloader
	unit := int64(BlockSize)
	if !l.Storage.IsBlocks() {
		unit, _ = Size(b.Flash.EraseSize)
	}
	if unit <= 0 {
		return errors.New("flash: want its eraseSize")
	}
	ownAt, ownSize, ok := b.Partition(l.Own)
	if l.Own != "" && !ok {
		return fmt.Errorf("bootloader: no partition %q", l.Own)
	}
	for i, f := range l.Files {
		at, size, ok := b.Partition(f.Partition)
		switch {
		case !ok:
			return fmt.Errorf("bootloader: no partition %q", f.Partition)
		case !fileName.MatchString(f.File):
			return fmt.Errorf("bootloader: invalid file %q", f.File)
		case at%unit != 0 || size%unit != 0 || size == 0:
			return fmt.Errorf("bootloader: partition %q is not made of erase blocks of %d bytes", f.Partition, unit)
		case l.Own != "" && at < ownAt+ownSize && ownAt < at+size:
			return fmt.Errorf("bootloader: partition %q lies in that of the boot loader", f.Partition)
		case f.Skip < 0 || f.Skip >= size:
			return fmt.Errorf("bootloader: %d bytes of %q are skipped", f.Skip, f.File)
		case slices.ContainsFunc(l.Files[:i], func(o Flashed) bool { return o.Partition == f.Partition }):
			return fmt.Errorf("bootloader: two files for partition %q", f.Partition)
		}
	}
	return nil
}
