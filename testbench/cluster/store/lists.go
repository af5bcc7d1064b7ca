package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"itlagent/platform/filestore"
	"itlagent/testbench/cluster/state"
)

const (
	listsDir = "lists"
	maxList  = 1 << 20 // bytes: what a cluster serves may be larger than what phones read
)

// saveLists writes the bytes of lists that are new in the history.
func (d *Dir) saveLists(lists map[string][]byte) error {
	if d.path == "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.lists == nil {
			d.lists = make(map[string][]byte)
		}
		maps.Copy(d.lists, lists)
		return nil
	}
	dir := filepath.Join(d.path, listsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for hash, data := range lists {
		path := filepath.Join(dir, hash+".tlv")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := filestore.WriteFile(path, data); err != nil {
			return err
		}
	}
	return nil
}

// ErrNoList says that there is no list of a name.
var ErrNoList = errors.New("this cluster has not served such a list")

// List returns the bytes of a list by its name in the history, which the caller has
// looked up there.
func (d *Dir) List(hash string) ([]byte, error) {
	if d.path == "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		if data, ok := d.lists[hash]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("%.40s: %w", hash, ErrNoList)
	}
	f, err := os.Open(filepath.Join(d.path, listsDir, hash+".tlv"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%.40s: its file is gone: %w", hash, ErrNoList)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxList))
	if err == nil && state.Hash(data) != hash {
		err = fmt.Errorf("%s: %w", hash, state.ErrDamaged)
	}
	return data, err
}
