package flasher

import (
	"fmt"

	"itlagent/platform/board"
)

// storage has the loader's commands for one kind of storage. Places are bytes from its
// start, at the start of an erase block.
type storage struct {
	board.Storage
	base  uint64 // in memory, of NOR flash
	unit  int64  // erase block, or block, in bytes
	plain bool   // written in blocks, without erasing
}

func newStorage(b *board.Board) (s storage, err error) {
	s = storage{Storage: b.Bootloader.Storage, unit: board.BlockSize, plain: b.Bootloader.Storage.IsBlocks()}
	if !s.plain {
		s.unit, err = board.Size(b.Flash.EraseSize)
	}
	if err == nil && s.Kind == "nor" {
		s.base, err = board.Address(s.Base)
	}
	return s, err
}

// whole rounds a size up to erase blocks, or blocks.
func (s storage) whole(n int) int64 { return (int64(n) + s.unit - 1) / s.unit * s.unit }

// commands are those that the loader must have.
func (s storage) commands() []string {
	if s.Kind == "nor" {
		return []string{"erase", "cp.b"}
	}
	return []string{s.Kind}
}

// setup chooses the device.
func (s storage) setup() []string {
	switch s.Kind {
	case "sf":
		return []string{"sf probe " + s.Device}
	case "mmc":
		return []string{"mmc dev " + s.Device}
	case "virtio":
		return []string{"virtio scan", "virtio dev " + s.Device}
	case "ide":
		return []string{"ide device " + s.Device}
	}
	return nil
}

// read returns the commands that bring a part into memory, and its address there: NOR
// flash is in memory already.
func (s storage) read(at int64, n int, ram uint64) ([]string, uint64) {
	switch {
	case s.Kind == "nor":
		return nil, s.base + uint64(at)
	case s.Kind == "mtd":
		return []string{fmt.Sprintf("mtd read %s %x %x %x", s.Device, ram, at, n)}, ram
	case s.plain:
		return []string{fmt.Sprintf("%s read %x %x %x", s.Kind, ram, at/s.unit, s.whole(n)/s.unit)}, ram
	}
	return []string{fmt.Sprintf("sf read %x %x %x", ram, at, n)}, ram
}

// write returns the commands that write a part which is in memory.
func (s storage) write(at int64, n int, ram uint64) []string {
	if s.plain {
		return []string{fmt.Sprintf("%s write %x %x %x", s.Kind, ram, at/s.unit, s.whole(n)/s.unit)}
	}
	erase := s.erase(at, n, ram)
	switch s.Kind {
	case "nor":
		return append(erase, fmt.Sprintf("cp.b %x %x %x", ram, s.base+uint64(at), n))
	case "mtd":
		return append(erase, fmt.Sprintf("mtd write %s %x %x %x", s.Device, ram, at, s.whole(n)))
	}
	return append(erase, fmt.Sprintf("sf write %x %x %x", ram, at, n))
}

// erase returns the commands that make a part empty. A block device has no empty: it is
// filled with 0xff, by way of memory.
func (s storage) erase(at int64, n int, ram uint64) []string {
	size := s.whole(n)
	switch {
	case s.plain:
		return []string{fmt.Sprintf("mw.b %x ff %x", ram, size), fmt.Sprintf("%s write %x %x %x", s.Kind, ram, at/s.unit, size/s.unit)}
	case s.Kind == "nor":
		first := s.base + uint64(at)
		last := first + uint64(size) - 1
		return []string{fmt.Sprintf("protect off %x %x", first, last), fmt.Sprintf("erase %x %x", first, last)}
	case s.Kind == "mtd":
		return []string{fmt.Sprintf("mtd erase %s %x %x", s.Device, at, size)}
	}
	return []string{fmt.Sprintf("sf erase %x %x", at, size)}
}
