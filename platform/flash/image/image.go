// Package image is flash in a file: it stands for a part on the host, and holds the
// flash of an emulated board.
//
//	dev, err := image.Open("phone.img", flash.Geometry{Size: 1 << 20, EraseSize: 64 << 10, ProgramSize: 1})
//	defer dev.Close()
//
// It is as strict as a part: a program that is misaligned, crosses a block, or would
// set a bit again is refused. What was programmed survives the end of the process at
// any moment; until Close, its file system decides whether it survives a crash of the
// host. One process at a time uses an image: Open locks it (ErrBusy). A Device is safe
// for concurrent use.
package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"itlagent/platform/flash"
)

// Device is an open image.
type Device struct {
	mu  sync.Mutex
	f   *os.File
	geo flash.Geometry
}

// errBits says that a program would set bits that are clear.
var errBits = errors.New("the bytes are not erased")

// ErrBusy says that another process uses the image.
var ErrBusy = errors.New("the image is in use by another process")

// Open opens an image, or makes an erased one, mode 0600, where there is none.
// The file's size must be the geometry's.
func Open(path string, g flash.Geometry) (*Device, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(path, g.Size); err != nil {
			return nil, err
		}
	case err == nil && !info.Mode().IsRegular(): // opening a device could act
		return nil, fmt.Errorf("%s: not a regular file", path)
	case err == nil && info.Size() == 0: // what it held is lost; a new one has its size from the first moment
		return nil, fmt.Errorf("%s: it is empty; remove it to have a new one", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	d := &Device{f: f, geo: g}
	if err := d.prepare(path); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

// create makes an erased image, whole or not at all; one that is there by then stays.
func create(path string, size int) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	erased := bytes.Repeat([]byte{0xff}, min(size, 1<<20))
	for left := size; left > 0 && err == nil; left -= len(erased) {
		_, err = f.Write(erased[:min(left, len(erased))])
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (d *Device) prepare(path string) error {
	if err := syscall.Flock(int(d.f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", path, ErrBusy)
	} else if err != nil {
		return fmt.Errorf("%s: lock: %w", path, err)
	}
	info, err := d.f.Stat()
	if err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", path)
	case info.Size() != int64(d.geo.Size):
		return fmt.Errorf("%s: it has %d bytes, the flash has %d", path, info.Size(), d.geo.Size)
	}
	return nil
}

// Close syncs and closes the file.
func (d *Device) Close() error { return errors.Join(d.f.Sync(), d.f.Close()) }

// Geometry returns the geometry that Open was given.
func (d *Device) Geometry() flash.Geometry { return d.geo }

// Read fills p from off.
func (d *Device) Read(p []byte, off int) error {
	if err := d.geo.CheckRange("read", off, len(p)); err != nil {
		return err
	}
	if _, err := d.f.ReadAt(p, int64(off)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return &flash.Error{Op: "read", Off: off, Err: err}
	}
	return nil
}

// Program writes p at off. On NOR the range may hold ones only where p has them;
// on NAND it must be erased.
func (d *Device) Program(p []byte, off int) error {
	if err := d.geo.CheckProgram(off, len(p)); err != nil {
		return err
	}
	if len(p) > 0 && off/d.geo.EraseSize != (off+len(p)-1)/d.geo.EraseSize {
		return &flash.Error{Op: "program", Off: off, Err: errors.New("it crosses an erase block")}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := make([]byte, len(p))
	if err := d.Read(old, off); err != nil {
		return err
	}
	for i := range p {
		if old[i]&p[i] != p[i] || d.geo.Kind == flash.NAND && old[i] != 0xff {
			return &flash.Error{Op: "program", Off: off + i, Err: errBits}
		}
	}
	if _, err := d.f.WriteAt(p, int64(off)); err != nil {
		return &flash.Error{Op: "program", Off: off, Err: err}
	}
	return nil
}

// Erase sets a block to 0xff.
func (d *Device) Erase(block int) error {
	off := block * d.geo.EraseSize
	if err := d.geo.CheckRange("erase", off, d.geo.EraseSize); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.f.WriteAt(bytes.Repeat([]byte{0xff}, d.geo.EraseSize), int64(off)); err != nil {
		return &flash.Error{Op: "erase", Off: off, Err: err}
	}
	return nil
}
