package readfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"itlagent/platform/readfile"
)

func TestAtMost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, ok := range map[int64]bool{99: false, 100: true, 101: true} {
		data, err := readfile.AtMost(path, most)
		if ok && (err != nil || len(data) != 100) || !ok && err == nil {
			t.Errorf("at most %d: %d bytes, %v", most, len(data), err)
		}
	}
	var at *fs.PathError
	if _, err := readfile.AtMost("/dev/zero", 1<<10); !errors.As(err, &at) || at.Path != "/dev/zero" {
		t.Errorf("/dev/zero: %v", err)
	}
	if _, err := readfile.AtMost(path+"x", 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
