// Package block keeps a vault on a block device: eMMC, SD, or a virtual disk, where
// a board has no raw flash.
//
//	dev, err := block.Open("/dev/vda", 64<<10)
//	defer dev.Close()
//
// The device is used like raw flash: blocks of the given size are erased, which writes
// 0xff, and programmed once in sectors. Every write has reached the device when it
// returns; it bypasses the page cache where the system allows that, so that a sector
// that is programmed does not rewrite its neighbours. What the device's own firmware
// does is not known here. One process at a time uses a device: Open locks it (ErrBusy).
// A Device is safe for concurrent use. Source: the manual pages open(2) (O_DIRECT,
// O_DSYNC) and flock(2).
package block

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"itlagent/platform/flash"
)

// align is what memory and lengths must be multiples of to bypass the page cache, in
// bytes: the largest sector that devices have.
const align = 4096

// maxSize bounds the part of a device that is used, in bytes: a vault reads all of it
// when it is mounted.
const maxSize = 4 << 20

// ErrBusy says that another process uses the device.
var ErrBusy = errors.New("the device is in use by another process")

// Device is an open device.
type Device struct {
	f   *os.File
	geo flash.Geometry

	mu  sync.Mutex // guards buf
	buf []byte     // aligned, of one erase block
}

// Open opens a device, or a file that stands for one, with erase blocks of the given
// size, a power of two and a multiple of 4 KiB. At most maxSize bytes are used.
func Open(path string, eraseSize int) (*Device, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if mode := info.Mode(); !mode.IsRegular() && mode.Type() != os.ModeDevice {
		return nil, fmt.Errorf("%s: not a block device", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DSYNC|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) { // a file system without O_DIRECT
		f, err = os.OpenFile(path, os.O_RDWR|unix.O_DSYNC, 0)
	}
	if err != nil {
		return nil, err
	}
	d := &Device{f: f}
	if err := d.measure(path, eraseSize); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func (d *Device) measure(path string, eraseSize int) error {
	if err := unix.Flock(int(d.f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", path, ErrBusy)
	} else if err != nil && !errors.Is(err, unix.ENOSYS) { // a kernel without file locks
		return fmt.Errorf("%s: lock: %w", path, err)
	}
	size, err := d.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	const usualSector = 512
	sector, err := unix.IoctlGetInt(int(d.f.Fd()), unix.BLKSSZGET)
	if err != nil { // a file
		sector = usualSector
	}
	size = min(size, maxSize)
	d.geo = flash.Geometry{Kind: flash.NOR, Size: int(size) / max(eraseSize, 1) * eraseSize, EraseSize: eraseSize, ProgramSize: sector}
	if err := d.geo.Check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if eraseSize%align != 0 {
		return fmt.Errorf("%s: erase size %d is not a multiple of %d", path, eraseSize, align)
	}
	raw := make([]byte, eraseSize+align)
	at := int(-uintptr(unsafe.Pointer(&raw[0])) & (align - 1))
	d.buf = raw[at : at+eraseSize]
	return nil
}

// Geometry returns the geometry: NOR with program units of a sector.
func (d *Device) Geometry() flash.Geometry { return d.geo }

// Close closes the device.
func (d *Device) Close() error { return d.f.Close() }

// Read fills p from off.
func (d *Device) Read(p []byte, off int) error {
	if err := d.geo.CheckRange("read", off, len(p)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for done := 0; done < len(p); {
		// Whole sectors are read, into aligned memory.
		first := (off + done) / d.geo.ProgramSize * d.geo.ProgramSize
		n := min((off+len(p)-first+d.geo.ProgramSize-1)/d.geo.ProgramSize*d.geo.ProgramSize, len(d.buf), d.geo.Size-first)
		if _, err := d.f.ReadAt(d.buf[:n], int64(first)); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return &flash.Error{Op: "read", Off: first, Err: err}
		}
		done += copy(p[done:], d.buf[off+done-first:n])
	}
	return nil
}

// Program writes p at off.
func (d *Device) Program(p []byte, off int) error {
	if err := d.geo.CheckProgram(off, len(p)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for done := 0; done < len(p); {
		n := copy(d.buf, p[done:])
		if _, err := d.f.WriteAt(d.buf[:n], int64(off+done)); err != nil {
			return &flash.Error{Op: "program", Off: off + done, Err: err}
		}
		done += n
	}
	return nil
}

// Erase writes 0xff over a block.
func (d *Device) Erase(block int) error {
	off := block * d.geo.EraseSize
	if err := d.geo.CheckRange("erase", off, d.geo.EraseSize); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.buf {
		d.buf[i] = 0xff
	}
	if _, err := d.f.WriteAt(d.buf, int64(off)); err != nil {
		return &flash.Error{Op: "erase", Off: off, Err: err}
	}
	return nil
}
