package filestore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"itlagent/platform/filestore"
)

// damaged asserts that a value is there, damaged, and that the answer comes.
func damaged(t *testing.T, s *filestore.Store, key, what string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := s.Get(key)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, filestore.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want %v", what, err, filestore.ErrDamaged)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: Get hangs", what)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// No bit of a file changes unnoticed, nor its length.
func TestEveryBit(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir)
	readOnly, err := filestore.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("list"), 50)} {
		if err := s.Put("itl", value); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "itl")
		good := read(t, path)
		for bit := range len(good) * 8 {
			bad := slices.Clone(good)
			bad[bit/8] ^= 1 << (bit % 8)
			write(t, path, bad)
			if _, err := s.Get("itl"); !errors.Is(err, filestore.ErrDamaged) {
				t.Errorf("bit %d of %d flipped: %v", bit, len(good)*8, err)
			}
			if _, err := readOnly.Get("itl"); !errors.Is(err, filestore.ErrDamaged) {
				t.Errorf("bit %d of %d flipped, read-only: %v", bit, len(good)*8, err)
			}
		}
		for n := range len(good) {
			write(t, path, good[:n])
			damaged(t, s, "itl", "cut")
		}
		write(t, path, append(slices.Clone(good), 0))
		damaged(t, s, "itl", "a byte more")
		if key, got, err := filestore.Decode(good); err != nil || key != "itl" || !bytes.Equal(got, value) || !filestore.Encoded(good) {
			t.Errorf("decoded: %q, %d bytes, %v", key, len(got), err)
		}
		if _, _, err := filestore.Decode(value); !errors.Is(err, filestore.ErrDamaged) {
			t.Errorf("decoded without a header: %v", err)
		}
		write(t, path, good)
		if got, err := s.Get("itl"); err != nil || !bytes.Equal(got, value) {
			t.Errorf("restored: %d bytes, %v", len(got), err)
		}
		write(t, filepath.Join(dir, "ctl"), good)
		damaged(t, s, "ctl", "the file of another key")
		write(t, filepath.Join(dir, "ctl"), value) // as a program without checksums does
		damaged(t, s, "ctl", "no header")
	}
	if err := os.Truncate(filepath.Join(dir, "itl"), 1<<40); err != nil {
		t.Fatal(err)
	}
	damaged(t, s, "itl", "a terabyte")
}

// What is not a regular file is damage, and neither followed nor opened.
func TestNotAFile(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, []byte("other"))
	for name, place := range map[string]func(path string) error{
		"a dangling link":     func(p string) error { return os.Symlink("nowhere", p) },
		"a link to itself":    func(p string) error { return os.Symlink(p, p) },
		"a link to a file":    func(p string) error { return os.Symlink(other, p) },
		"a link to a device":  func(p string) error { return os.Symlink("/dev/zero", p) },
		"a directory":         func(p string) error { return os.Mkdir(p, 0o700) },
		"a FIFO":              func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a socket":            func(p string) error { l, err := net.Listen("unix", p); _ = l; return err },
		"a character device":  func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o600, 1<<8|5) },
		"a terminal's device": func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o600, 5<<8) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "s") // the path of a socket is short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			s := store(t, dir)
			if err := place(filepath.Join(dir, "itl")); errors.Is(err, syscall.EPERM) {
				t.Skip("SKIPPED: devices are made by root alone")
			} else if err != nil {
				t.Fatal(err)
			}
			damaged(t, s, "itl", name)
			// A directory from before there were checksums is no other.
			if err := os.Remove(filepath.Join(dir, ".format")); err != nil {
				t.Fatal(err)
			}
			s.Close()
			s = store(t, dir)
			damaged(t, s, "itl", name+" in an old directory")
			if err := s.Delete("itl"); err != nil {
				t.Errorf("delete: %v", err)
			}
			if _, err := s.Get("itl"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("deleted: %v", err)
			}
			// In the place of the temporary file it stops nothing either.
			if err := place(filepath.Join(dir, "itl.new")); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Put("itl", []byte("new")) }()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("put: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("Put hangs")
			}
			if got, err := s.Get("itl"); err != nil || string(got) != "new" {
				t.Errorf("%q, %v", got, err)
			}
			if got := read(t, other); string(got) != "other" {
				t.Errorf("the file that a link names is now %q", got)
			}
			// Nor is it taken for the lock.
			s.Close()
			if err := os.Remove(filepath.Join(dir, ".lock")); err != nil {
				t.Fatal(err)
			}
			if err := place(filepath.Join(dir, ".lock")); err != nil {
				t.Fatal(err)
			}
			if s, err := filestore.Open(dir); err == nil {
				t.Error("opened")
				s.Close()
			}
		})
	}
}

// A directory that is gone does not make a phone that holds nothing.
func TestDirectoryGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := store(t, dir)
	if err := s.Put("itl", []byte("list")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("itl"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want an error that is not absence", err)
	}
}

// Values from before there were checksums are taken as they are, once.
func TestOldDirectory(t *testing.T) {
	dir := t.TempDir()
	old := map[string][]byte{"itl": []byte("list"), "ctl": {}, "config": bytes.Repeat([]byte("c"), filestore.MaxValue)}
	for key, value := range old {
		write(t, filepath.Join(dir, key), value)
	}
	write(t, filepath.Join(dir, "large"), make([]byte, filestore.MaxValue+1))
	write(t, filepath.Join(dir, "notes.txt"), []byte("not a value"))
	same := func(s *filestore.Store) {
		t.Helper()
		for key, want := range old {
			if got, err := s.Get(key); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
		}
		damaged(t, s, "large", "a value over the limit")
	}
	readOnly, err := filestore.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	same(readOnly)
	if got := names(t, dir); got != "config ctl itl large notes.txt" {
		t.Errorf("reading changed the directory: %s", got)
	}
	s := store(t, dir)
	same(s)
	same(readOnly) // which was opened before
	if got := read(t, filepath.Join(dir, "notes.txt")); string(got) != "not a value" {
		t.Errorf("a file that is no value is now %q", got)
	}
	// A power cut on the way: values of both kinds, and no mark.
	s.Close()
	if err := os.Remove(filepath.Join(dir, ".format")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "itl"), []byte("list"))
	s = store(t, dir)
	same(s)
	// Once: from now on a value without a header is damage.
	s.Close()
	write(t, filepath.Join(dir, "itl"), []byte("list"))
	s = store(t, dir)
	damaged(t, s, "itl", "no header")
	write(t, filepath.Join(dir, ".format"), []byte{0xff}) // the mark counts, not its text
	s.Close()
	damaged(t, store(t, dir), "itl", "no header, a damaged mark")
}

func TestReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := filestore.OpenReadOnly(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("reading has made the directory")
	}
	writer := store(t, dir)
	if err := writer.Put("itl", []byte("one")); err != nil {
		t.Fatal(err)
	}
	s, err := filestore.OpenReadOnly(dir)
	if err != nil {
		t.Fatalf("beside a Store that writes: %v", err)
	}
	if err := writer.Put("itl", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("itl"); err != nil || string(got) != "two" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Put("itl", nil); !errors.Is(err, filestore.ErrReadOnly) {
		t.Errorf("put: %v", err)
	}
	if err := s.Delete("itl"); !errors.Is(err, filestore.ErrReadOnly) {
		t.Errorf("delete: %v", err)
	}
	file := filepath.Join(dir, "itl")
	if _, err := filestore.OpenReadOnly(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
