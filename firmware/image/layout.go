package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"itlagent/platform/board"
	"itlagent/platform/readfile"
)

// maxDTB bounds a device tree, in bytes: U-Boot gives it a megabyte.
const maxDTB = 1 << 20

// fdtMagic begins a flattened device tree. Source: the Devicetree Specification, 5.2.
const fdtMagic = 0xd00dfeed

// Check refuses a kernel and a device tree that the board cannot start or has no room
// for, as Build does. Those that the options do not name are not looked at.
func Check(b *board.Board, o Options) error { return readParts(b, o, make(map[string][]byte)) }

// readParts reads the kernel and the device tree that the options name, and refuses those
// that the board cannot start or has no room for.
func readParts(b *board.Board, o Options, files map[string][]byte) error {
	if o.Kernel != "" {
		data, err := readfile.AtMost(o.Kernel, MaxFile)
		if err != nil {
			return err
		}
		if err := CheckKernel(b, data); err != nil {
			return fmt.Errorf("%s: %w", o.Kernel, err)
		}
		files[KernelFile] = data
		if b.Kernel.Image != "" {
			if files[KernelUImageFile], err = KernelUImage(b, data); err != nil {
				return err
			}
		}
	}
	switch {
	case o.DTB != "" && b.Kernel.DTB == "":
		return fmt.Errorf("board %s takes no device tree", b.Name)
	case o.DTB != "":
		data, err := readfile.AtMost(o.DTB, MaxFile)
		if err != nil {
			return err
		}
		if err := CheckDTB(data); err != nil {
			return fmt.Errorf("%s: %w", o.DTB, err)
		}
		files[DTBFile] = data
	}
	_, err := layout(b, files)
	return err
}

// CheckDTB refuses what is no flattened device tree, or not whole.
func CheckDTB(data []byte) error {
	switch {
	case len(data) < 8 || binary.BigEndian.Uint32(data) != fdtMagic:
		return errors.New("not a device tree")
	case len(data) > maxDTB || uint64(binary.BigEndian.Uint32(data[4:])) != uint64(len(data)):
		return fmt.Errorf("a device tree of %d bytes that says %d", len(data), binary.BigEndian.Uint32(data[4:]))
	}
	return nil
}

// contents says which file of an image goes into which partition: as the part about the
// boot loader says, else by the names of partitions.
func contents(b *board.Board) map[string]string {
	files := make(map[string]string)
	if l := b.Bootloader; l != nil {
		for _, f := range l.Files {
			files[f.Partition] = f.File
		}
		return files
	}
	if files["kernel"] = KernelFile; b.Kernel.Image != "" {
		files["kernel"] = KernelUImageFile
	}
	files["initramfs"], files["dtb"] = UImageFile, DTBFile
	return files
}

// layout is the table of a board's flash: where each partition begins, and which file
// goes in. A file that is larger than its partition is an error.
func layout(b *board.Board, all map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "offset\tend\tKiB\tpartition\tfile\tbytes")
	files := contents(b)
	for _, p := range b.Flash.Partitions {
		offset, size, _ := b.Partition(p.Name) // board.Parse has read them
		name, bytes := "-", "-"
		if files[p.Name] != "" {
			name = files[p.Name]
		}
		if data, ok := all[name]; ok {
			bytes = strconv.Itoa(len(data))
			if int64(len(data)) > size {
				return nil, fmt.Errorf("%s has %d bytes, partition %s %d", name, len(data), p.Name, size)
			}
		}
		fmt.Fprintf(w, "0x%08x\t0x%08x\t%d\t%s\t%s\t%s\n", offset, offset+size, size>>10, p.Name, name, bytes)
	}
	w.Flush()
	var trimmed strings.Builder
	for line := range strings.Lines(out.String()) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return []byte(trimmed.String()), nil
}
