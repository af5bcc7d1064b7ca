package image_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/platform/flash"
	"itlagent/platform/flash/image"
)

// An image that has lost its bytes is no new one; a new one is whole and the owner's alone.
func TestEmptyImage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "flash.img")
	g := flash.Geometry{Kind: flash.NOR, Size: 4 << 10, EraseSize: 1 << 10, ProgramSize: 1}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := image.Open(path, g); err == nil || !strings.Contains(err.Error(), "it is empty") {
		t.Errorf("an empty file: %v, %v", d, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d, err := image.Open(path, g)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != 4<<10 {
		t.Errorf("a new image: %v, %v", info, err)
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(data, bytes.Repeat([]byte{0xff}, 4<<10)) {
		t.Errorf("it is not erased, %v", err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("%d files, want 1", len(all))
	}
}
