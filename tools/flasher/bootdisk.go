package flasher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"itlagent/firmware/uimage"
	"itlagent/platform/board"
	"itlagent/tools/uboot"
)

// BootPartition is where the script of a board whose loader saves no environment lies:
// at the start of its storage.
const BootPartition = "boot"

// BootDisk returns what stands in BootPartition in the place of a saved environment: a
// partition table, and a small FAT file system with the script boot.scr, for which
// U-Boot's standard boot looks. The table's second entry is the vault, so that the
// kernel finds it. The same environment gives the same bytes.
func BootDisk(b *board.Board, env map[string]string) (File, error) {
	at, size, ok := b.Partition(BootPartition)
	vaultAt, vaultSize, vault := b.Partition(VaultPartition)
	if !ok || !vault || at != 0 || size < diskSize {
		return File{}, fmt.Errorf("board %s: environment script needs the partition %s of %d bytes at the start, and %s", b.Name, BootPartition, diskSize, VaultPartition)
	}
	script, err := Script(b, env)
	if err != nil {
		return File{}, err
	}
	disk := make([]byte, diskSize)
	fat, err := fat12(disk[fatStart*sector:], script)
	if err != nil {
		return File{}, err
	}
	const fatType, linuxType, active = 0x01, 0x83, 0x80
	entry := func(n int, flag, kind byte, start, count int64) {
		e := disk[446+16*n:]
		e[0], e[4] = flag, kind
		copy(e[1:4], "\xfe\xff\xff") // the addresses in cylinders are not used
		copy(e[5:8], "\xfe\xff\xff")
		binary.LittleEndian.PutUint32(e[8:], uint32(start))
		binary.LittleEndian.PutUint32(e[12:], uint32(count))
	}
	entry(0, active, fatType, fatStart, fatSectors)
	entry(1, 0, linuxType, vaultAt/sector, vaultSize/sector)
	copy(disk[510:], "\x55\xaa")
	copy(disk[fatStart*sector:], fat)
	return File{Flashed: board.Flashed{Partition: BootPartition, File: "boot.img"}, Data: disk}, nil
}

// Script is boot.scr: it sets the variables and runs bootcmd.
func Script(b *board.Board, env map[string]string) ([]byte, error) {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if _, err := uboot.SetCommands(name, env[name]); err != nil {
			return nil, err
		}
		if name != "bootcmd" { // which found this script
			fmt.Fprintf(&text, "setenv %s '%s'\n", name, env[name])
		}
	}
	text.WriteString(env["bootcmd"] + "\n")
	arch, ok := map[string]uimage.Arch{"arm": uimage.ARM, "mips": uimage.MIPS, "mipsle": uimage.MIPS, "amd64": uimage.AMD64}[b.Arch]
	if !ok {
		return nil, fmt.Errorf("no script for %s", b.Arch)
	}
	return uimage.Image{Name: "itlagent " + b.Name, Arch: arch, Type: uimage.Script, Data: []byte(text.String())}.Marshal()
}

// The file system: one file in FAT12, the smallest form that U-Boot reads. Sizes are in
// sectors but for diskSize. Source: Microsoft's FAT32 File System Specification, 2000.
const (
	sector     = board.BlockSize
	fatStart   = 8
	fatSectors = 120
	tables     = 2
	tableSize  = 1 // holds 341 entries of 12 bits
	rootSize   = 1
	dataStart  = 1 + tables*tableSize + rootSize
	diskSize   = (fatStart + fatSectors) * sector
)

var errScript = errors.New("the boot script is too long")

// fat12 makes the file system with the file boot.scr.
func fat12(into []byte, file []byte) ([]byte, error) {
	fat := make([]byte, fatSectors*sector)
	if dataStart*sector+len(file) > len(fat) || len(fat) > len(into) {
		return nil, errScript
	}
	le := binary.LittleEndian
	copy(fat, "\xeb\x3c\x90itlagent")
	le.PutUint16(fat[11:], sector)
	fat[13] = 1 // sectors a cluster
	le.PutUint16(fat[14:], 1)
	fat[16] = tables
	le.PutUint16(fat[17:], rootSize*sector/32)
	le.PutUint16(fat[19:], fatSectors)
	fat[21] = 0xf8 // a fixed disk
	le.PutUint16(fat[22:], tableSize)
	le.PutUint32(fat[28:], fatStart)
	fat[36], fat[38] = 0x80, 0x29
	copy(fat[43:], "ITLAGENT   FAT12   ")
	copy(fat[510:], "\x55\xaa")
	clusters := (len(file) + sector - 1) / sector
	const first, last = 2, 0xfff
	for t := range tables {
		table := fat[(1+t*tableSize)*sector:]
		set := func(n int, v uint16) { // two entries in three bytes
			if at := n / 2 * 3; n%2 == 0 {
				table[at] = byte(v)
				table[at+1] = table[at+1]&0xf0 | byte(v>>8)
			} else {
				table[at+1] = table[at+1]&0x0f | byte(v<<4)
				table[at+2] = byte(v >> 4)
			}
		}
		set(0, 0xff8)
		set(1, last)
		for i := range clusters {
			next := uint16(first + i + 1)
			if i == clusters-1 {
				next = last
			}
			set(first+i, next)
		}
	}
	root := fat[(1+tables*tableSize)*sector:]
	copy(root, "BOOT    SCR ")
	const day = 1<<5 | 1 // 1980-01-01
	le.PutUint16(root[24:], day)
	le.PutUint16(root[26:], first)
	le.PutUint32(root[28:], uint32(len(file)))
	copy(fat[dataStart*sector:], file)
	return fat, nil
}
