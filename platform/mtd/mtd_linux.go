// Package mtd is raw flash behind a Linux memory technology device, /dev/mtdN.
//
//	dev, err := mtd.Open("/dev/mtd1")
//	defer dev.Close()
//	v, err := vault.Open(dev, options)
//
// Geometry and kind come from the driver. Offsets are in bytes from the start of
// the partition. A Device is safe for concurrent use if its driver is.
// Source: include/uapi/mtd/mtd-abi.h of the Linux kernel.
package mtd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"itlagent/platform/flash"
)

// The kernel's types of chips that this package supports.
const (
	typeNOR  = 3
	typeNAND = 4
	typeData = 6 // DataFlash, which programs like NOR
	typeMLC  = 8

	flagWriteable = 0x400
)

// file is what a Device asks of the kernel. Tests have one of their own.
type file interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	ioctl(request uint, arg unsafe.Pointer) (int, error)
	Close() error
}

// Device is an open partition.
type Device struct {
	f   file
	geo flash.Geometry
}

// Open opens a partition for reading and writing.
func Open(path string) (*Device, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Mode()&os.ModeCharDevice == 0 {
		return nil, fmt.Errorf("%s: not an MTD partition: not a character device", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return nil, err
	}
	d, err := open(kernel{f})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// kernel is a device file.
type kernel struct{ *os.File }

func (k kernel) ioctl(request uint, arg unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, k.Fd(), uintptr(request), uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func open(f file) (*Device, error) {
	var info unix.MtdInfo
	if _, err := f.ioctl(unix.MEMGETINFO, unsafe.Pointer(&info)); err != nil {
		return nil, fmt.Errorf("not an MTD partition: %w", err)
	}
	d := &Device{f: f, geo: flash.Geometry{Size: int(info.Size), EraseSize: int(info.Erasesize), ProgramSize: int(info.Writesize)}}
	switch info.Type {
	case typeNOR, typeData:
	case typeNAND, typeMLC:
		d.geo.Kind = flash.NAND
	default:
		return nil, fmt.Errorf("chips of type %d are neither NOR nor NAND", info.Type)
	}
	if info.Flags&flagWriteable == 0 {
		return nil, errors.New("the partition is read-only")
	}
	if err := d.geo.Check(); err != nil {
		return nil, err
	}
	return d, nil
}

// Close closes the device file.
func (d *Device) Close() error { return d.f.Close() }

// Geometry returns what the driver says.
func (d *Device) Geometry() flash.Geometry { return d.geo }

// Read fills p from off. A bit error that was corrected is not an error; one that
// could not be corrected is.
func (d *Device) Read(p []byte, off int) error {
	if err := d.geo.CheckRange("read", off, len(p)); err != nil {
		return err
	}
	n, err := d.f.ReadAt(p, int64(off))
	if n == len(p) && (err == nil || err == io.EOF) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &flash.Error{Op: "read", Off: off, Err: err}
}

// Program writes p at off.
func (d *Device) Program(p []byte, off int) error {
	if err := d.geo.CheckProgram(off, len(p)); err != nil {
		return err
	}
	if n, err := d.f.WriteAt(p, int64(off)); err != nil || n != len(p) {
		if err == nil {
			err = io.ErrShortWrite
		}
		return &flash.Error{Op: "program", Off: off, Err: err}
	}
	return nil
}

// Erase erases a block, and unlocks it first where the chip has locks.
func (d *Device) Erase(block int) error {
	off := block * d.geo.EraseSize
	if err := d.geo.CheckRange("erase", off, d.geo.EraseSize); err != nil {
		return err
	}
	e := unix.EraseInfo{Start: uint32(off), Length: uint32(d.geo.EraseSize)}
	d.f.ioctl(unix.MEMUNLOCK, unsafe.Pointer(&e)) // "not supported" on most: the erase shows whether it was needed
	if _, err := d.f.ioctl(unix.MEMERASE, unsafe.Pointer(&e)); err != nil {
		return &flash.Error{Op: "erase", Off: off, Err: err}
	}
	return nil
}

// Bad reports whether a block is marked bad. On drivers without bad blocks none is.
func (d *Device) Bad(block int) (bool, error) {
	off := int64(block) * int64(d.geo.EraseSize)
	n, err := d.f.ioctl(unix.MEMGETBADBLOCK, unsafe.Pointer(&off))
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return false, nil
	case err != nil:
		return false, &flash.Error{Op: "read", Off: int(off), Err: err}
	}
	return n != 0, nil
}

// MarkBad marks a block bad for ever.
func (d *Device) MarkBad(block int) error {
	off := int64(block) * int64(d.geo.EraseSize)
	if _, err := d.f.ioctl(unix.MEMSETBADBLOCK, unsafe.Pointer(&off)); err != nil {
		return &flash.Error{Op: "mark bad", Off: int(off), Err: err}
	}
	return nil
}

var (
	_ flash.Flash     = (*Device)(nil)
	_ flash.BadBlocks = (*Device)(nil)
)
