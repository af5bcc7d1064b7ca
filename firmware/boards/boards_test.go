package boards_test

import (
	"testing"

	"itlagent/firmware/boards"
	"itlagent/platform/board"
)

// Every description is sound, and the boards that are promised are there.
func TestBoards(t *testing.T) {
	have := make(map[string]bool)
	for _, name := range boards.Names() {
		b, err := boards.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		have[name] = true
		if b.About == "" {
			t.Errorf("%s says nothing about itself", name)
		}
	}
	for _, name := range []string{"qemu-arm", "qemu-mipsel", "qemu-mips", "generic-arm", "generic-mips", "beaglebone-black", "mx6qsabrelite", "openwrt-mips-uboot", "orangepi-pc"} {
		if !have[name] {
			t.Errorf("no board %s", name)
		}
	}
	if _, err := boards.Load("nonsense"); err == nil {
		t.Error("there is a board nonsense")
	}
}

// What a boot loader has in memory when the kernel starts lies apart, and within the
// memory of the board: a file that fills its partition overwrites nothing.
func TestPlacesInMemory(t *testing.T) {
	checked := 0
	for _, name := range boards.Names() {
		b, err := boards.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.Bootloader == nil {
			continue
		}
		type place struct {
			what       string
			begin, end uint64
		}
		var places []place
		low := ^uint64(0)
		for _, f := range b.Bootloader.Files {
			at, err := board.Address(f.Address)
			if err != nil {
				t.Fatal(err)
			}
			_, size, _ := b.Partition(f.Partition)
			places = append(places, place{f.Partition, at - uint64(f.Skip), at + uint64(size)})
		}
		load, err := board.Address(b.Bootloader.Load)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place{"load", load, load + 1})
		for i, p := range places {
			low = min(low, p.begin)
			for _, o := range places[:i] {
				if p.begin < o.end && o.begin < p.end {
					t.Errorf("%s: %s at %#x lies in %s, which is from %#x to %#x", name, p.what, p.begin, o.what, o.begin, o.end)
				}
			}
		}
		for _, p := range places {
			if p.end-low > uint64(b.Memory)<<20 {
				t.Errorf("%s: %s ends at %#x, beyond its %d MiB of memory", name, p.what, p.end, b.Memory)
			}
		}
		checked++
	}
	if checked < 6 {
		t.Errorf("%d boards have a boot loader", checked)
	}
}
