package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
	"itlagent/testbench/pki"
)

// readTrustFile reads a file of at most the largest size that any trust file may
// have. Errors name the file, and an offset where the content is at fault.
func readTrustFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plainPath(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: offset 0: it is a directory", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, trustlist.MaxSignedSize+1))
	if err != nil {
		return nil, plainPath(err)
	}
	if len(data) > trustlist.MaxSignedSize {
		return nil, fmt.Errorf("%s: offset %d: too large: no trust file has more than %d bytes",
			path, trustlist.MaxSignedSize, trustlist.MaxSignedSize)
	}
	if filestore.Encoded(data) { // out of the directory of a phone's --state
		if _, data, err = filestore.Decode(data); err != nil {
			return nil, fmt.Errorf("%s: offset 0: %w", path, err)
		}
	}
	return data, nil
}

// plainPath takes the system call's name off an error.
func plainPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// openTrustFile reads, recognises and parses a file.
func openTrustFile(path string) (*trustlist.File, error) {
	data, err := readTrustFile(path)
	if err != nil {
		return nil, err
	}
	kind, err := trustlist.Recognise(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := trustlist.Parse(kind, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// readIdentity reads a certificate and, where wanted, its key from a PEM file.
func readIdentity(path string, key bool) (*pki.Identity, error) {
	data, err := readTrustFile(path)
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

// writeFile writes to a temporary file beside path, which is then renamed.
func writeFile(path string, data []byte, mode os.FileMode) error {
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

// printJSON writes one object on one line.
func printJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
}
