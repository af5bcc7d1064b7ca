package filestore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"itlagent/platform/filestore"
)

// store opens a directory until the end of the test.
func store(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := store(t, dir)
	if _, err := s.Get("itl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want %v", err, fs.ErrNotExist)
	}
	for _, v := range [][]byte{[]byte("one"), []byte("another, longer"), {}, bytes.Repeat([]byte{7}, filestore.MaxValue)} {
		if err := s.Put("itl", v); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get("itl"); err != nil || !bytes.Equal(got, v) {
			t.Errorf("%d bytes put, %d got, %v", len(v), len(got), err)
		}
	}
	if err := s.Put("itl", make([]byte, filestore.MaxValue+1)); err == nil {
		t.Error("a value over the limit was put")
	}
	if got, _ := s.Get("itl"); len(got) != filestore.MaxValue {
		t.Errorf("after a refused put: %d bytes, want the old value", len(got))
	}
	if got := names(t, dir); got != ".format .lock itl" {
		t.Errorf("files %s", got)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, "itl"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if s.Delete("itl"); s.Delete("itl") != nil {
		t.Error("deleting an absent value is an error")
	}
	if _, err := s.Get("itl"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: %v, want %v", err, fs.ErrNotExist)
	}
}

// An interrupted write leaves its temporary file, and the old value.
func TestLeftOver(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir)
	s.Put("itl", []byte("old"))
	if err := os.WriteFile(filepath.Join(dir, "itl.new"), []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get("itl"); err != nil || string(got) != "old" {
		t.Errorf("%q, %v; want the old value", got, err)
	}
	if err := s.Put("itl", []byte("new")); err != nil {
		t.Errorf("put over a left-over: %v", err)
	}
}

// A failed write leaves the old value.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir)
	s.Put("itl", []byte("old"))
	if err := os.MkdirAll(filepath.Join(dir, "itl.new", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("itl", []byte("new")); err == nil {
		t.Error("put succeeded where it cannot write")
	}
	if got, err := s.Get("itl"); err != nil || string(got) != "old" {
		t.Errorf("%q, %v; want the old value", got, err)
	}
}

func TestKeys(t *testing.T) {
	s := store(t, t.TempDir())
	for _, key := range []string{"", "..", "a/b", "ITL", "a.b", "abcdefghijklmnopqrstuvwxyzabcdefg"} {
		if err := s.Put(key, nil); err == nil {
			t.Errorf("Put(%q) succeeded", key)
		}
		if _, err := s.Get(key); err == nil || errors.Is(err, filestore.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get(%q): %v", key, err)
		}
		if err := s.Delete(key); err == nil {
			t.Errorf("Delete(%q) succeeded", key)
		}
	}
}
