package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"itlagent/testbench/evidence"
	"itlagent/testbench/pki"
)

// plainPath takes the system call's name off an error.
func plainPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// readIdentity reads a certificate and, where wanted, its key from a PEM file.
func readIdentity(path string, key bool) (*pki.Identity, error) {
	data, err := evidence.ReadFile(path)
	if err != nil {
		return nil, err
	}
	id, err := pki.Load(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if key && id.Key == nil {
		return nil, fmt.Errorf("%s: no PRIVATE KEY block in PEM form", path)
	}
	return id, nil
}

// writeOutput writes a file that everybody may read, as a whole or not at all.
func writeOutput(path string, data []byte) error { return writeFile(path, data, 0o644) }

// writeFile writes to a temporary file beside path, which is then renamed. What a link
// leads to is replaced, not the link; a device or a pipe is written to, not replaced.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return writeThrough(path, data)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".itlbench-*")
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeThrough(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return plainPath(err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %w", plainPath(err))
	}
	return nil
}
