package image

import (
	"fmt"
	"io"
	"strings"
)

// entry is one member of an archive.
type entry struct {
	name  string
	mode  uint32 // with the bits of its type
	major uint32 // of a device
	minor uint32
	data  []byte
}

// The types of members.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeChar = 0o020000
)

// writeCPIO writes an archive in the "newc" form that Linux unpacks into its root:
// numbers are counted from 1, times are 0, everything is root's, so that the same
// members give the same bytes. Source: Linux' driver-api/early-userspace/buffer-format.
func writeCPIO(w io.Writer, entries []entry) error {
	for i, e := range append(entries, entry{name: "TRAILER!!!"}) {
		ino := uint32(i + 1)
		if i == len(entries) {
			ino = 0
		}
		links := uint32(1)
		if e.mode&modeDir != 0 {
			links = 2
		}
		header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ino, e.mode, 0, 0, links, 0,
			len(e.data), 0, 0, e.major, e.minor, len(e.name)+1, 0)
		name := header + e.name + "\x00"
		if _, err := io.WriteString(w, name+strings.Repeat("\x00", pad4(len(name)))); err != nil {
			return err
		}
		if _, err := w.Write(append(e.data[:len(e.data):len(e.data)], make([]byte, pad4(len(e.data)))...)); err != nil {
			return err
		}
	}
	return nil
}

// pad4 is how many bytes are missing to a multiple of 4.
func pad4(n int) int { return (4 - n%4) % 4 }
