package boards_test

import (
	"testing"

	"itlagent/firmware/boards"
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
	for _, name := range []string{"qemu-arm", "qemu-mipsel", "qemu-mips", "generic-arm", "generic-mips"} {
		if !have[name] {
			t.Errorf("no board %s", name)
		}
	}
	if _, err := boards.Load("nonsense"); err == nil {
		t.Error("there is a board nonsense")
	}
}
