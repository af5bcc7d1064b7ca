// Package flash is the interface of raw flash memory: read, program, erase, and its
// geometry. Package flashtest has a strict device for tests, package image one in a
// file; platform/mtd has Linux's, platform/block one on a block device.
//
//	g := dev.Geometry()
//	err := dev.Erase(0)
//	err = dev.Program(data, 0) // g.ProgramSize bytes or a multiple
//
// An erased byte is 0xff. On NOR a program only clears bits. On NAND a page is
// programmed as a whole, in ascending order within its block, once between
// erases; some blocks are bad from the factory.
//
// Offsets and sizes are in bytes. Implementations are safe for concurrent use
// only where they say so.
package flash

import "fmt"

// Kind tells NOR from NAND.
type Kind uint8

// The kinds.
const (
	NOR Kind = iota
	NAND
)

// String returns "NOR" or "NAND".
func (k Kind) String() string {
	if k == NAND {
		return "NAND"
	}
	return "NOR"
}

// Geometry describes a flash partition.
type Geometry struct {
	Kind        Kind
	Size        int // a multiple of EraseSize
	EraseSize   int // of a block; a power of two
	ProgramSize int // alignment and granularity of Program; a power of two
}

// Blocks returns the number of erase blocks.
func (g Geometry) Blocks() int { return g.Size / g.EraseSize }

// Check reports why the geometry cannot be one.
func (g Geometry) Check() error {
	power := func(n int) bool { return n > 0 && n&(n-1) == 0 }
	switch {
	case !power(g.EraseSize):
		return fmt.Errorf("erase size %d is not a power of two", g.EraseSize)
	case !power(g.ProgramSize) || g.ProgramSize > g.EraseSize:
		return fmt.Errorf("program size %d is not a power of two up to the erase size %d", g.ProgramSize, g.EraseSize)
	case g.Size <= 0 || g.Size%g.EraseSize != 0:
		return fmt.Errorf("size %d is not a multiple of the erase size %d", g.Size, g.EraseSize)
	}
	return nil
}

// Flash is one partition of raw flash. Errors are *Error. After an error of
// Program or Erase the range may hold anything.
type Flash interface {
	Geometry() Geometry
	// Read fills p from off.
	Read(p []byte, off int) error
	// Program writes p at off. Both off and len(p) are multiples of the program
	// size, and the range is erased.
	Program(p []byte, off int) error
	// Erase sets a block to 0xff.
	Erase(block int) error
}

// BadBlocks is implemented by flash that knows bad blocks: NAND.
type BadBlocks interface {
	// Bad reports whether a block is bad. It must not be programmed or erased.
	Bad(block int) (bool, error)
	// MarkBad makes a block bad for ever.
	MarkBad(block int) error
}

// Error is a failed operation on flash.
type Error struct {
	Op  string // "read", "program", "erase", "mark bad"
	Off int    // where, in bytes from the start of the partition
	Err error
}

// Error returns "OP at 0xOFFSET: " and the cause.
func (e *Error) Error() string { return fmt.Sprintf("%s at 0x%x: %v", e.Op, e.Off, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CheckRange returns an *Error where n bytes at off do not lie in the partition.
func (g Geometry) CheckRange(op string, off, n int) error {
	if off < 0 || n < 0 || off > g.Size-n {
		return &Error{op, off, fmt.Errorf("%d bytes do not lie in a partition of %d", n, g.Size)}
	}
	return nil
}

// CheckProgram returns an *Error where a program of n bytes at off is out of
// range or misaligned.
func (g Geometry) CheckProgram(off, n int) error {
	if err := g.CheckRange("program", off, n); err != nil {
		return err
	}
	if off%g.ProgramSize != 0 || n%g.ProgramSize != 0 {
		return &Error{"program", off, fmt.Errorf("%d bytes are not aligned to the program size %d", n, g.ProgramSize)}
	}
	return nil
}
