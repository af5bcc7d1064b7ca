package recogniser

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Where the magic of tar stands (POSIX.1-2017, pax, ustar).
const tarMagic = 257

func isTar(head []byte) bool {
	return len(head) >= tarMagic+5 && string(head[tarMagic:tarMagic+5]) == "ustar"
}
func isGzip(head []byte) bool { return bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}) }
func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06"))
}

// packed reports whether something else is in a file.
func packed(head []byte) bool { return isTar(head) || isGzip(head) || isZip(head) }

// path recognises a file or what is in a directory.
func (c *collector) path(path string, depth int) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, plain(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", path, plain(err))
	}
	if !info.IsDir() {
		var again func() (io.ReadCloser, error)
		if info.Mode().IsRegular() {
			again = func() (io.ReadCloser, error) { return os.Open(path) }
		}
		return c.stream(path, f, again, 0)
	}
	if depth >= MaxDepth {
		return c.limit(path, "directories stand at most %d deep", MaxDepth)
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return fmt.Errorf("%s: %w", path, plain(err))
	}
	for _, e := range entries {
		if !e.IsDir() && !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue // links, pipes and devices are left alone
		}
		if err := c.path(filepath.Join(path, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unpack recognises what is in an archive. One that is damaged is an item of its own.
func (c *collector) unpack(name string, head []byte, in io.Reader, again func() (io.ReadCloser, error), depth int) error {
	switch {
	case isZip(head):
		data, err := c.whole(name, c.limits.One, in)
		if err != nil {
			return err
		}
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return c.damaged(name, "a zip archive", err)
		}
		return c.zip(name, z, depth)
	case isTar(head):
		return c.tar(name, in, depth)
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return c.damaged(name, "a gzip file", err)
	}
	if name != Stdin {
		again = gunzip(again)
	} else {
		again = nil
	}
	c.files-- // it counts as what is in it
	return c.stream(name, z, again, depth+1)
}

func (c *collector) damaged(name, what string, err error) error {
	c.items = append(c.items, &Item{Name: name, Kind: Unknown, About: what + ", damaged", Err: err})
	return nil
}

func (c *collector) zip(name string, z *zip.Reader, depth int) error {
	for _, f := range z.File {
		if f.FileInfo().IsDir() || hidden(f.Name) {
			continue
		}
		r, err := f.Open()
		if err == nil {
			err = c.member(inside(name, f.Name), r, depth)
			r.Close()
		} else {
			err = c.damaged(inside(name, f.Name), "in a zip archive", err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) tar(name string, in io.Reader, depth int) error {
	t := tar.NewReader(in)
	for {
		h, err := t.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return c.damaged(name, "a tar archive", err)
		case h.Typeflag != tar.TypeReg || hidden(h.Name):
			if err := c.count(name); err != nil {
				return err
			}
			continue
		}
		if err := c.member(inside(name, h.Name), t, depth); err != nil {
			return err
		}
	}
}

func inside(archive, name string) string { return archive + "/" + strings.TrimLeft(name, "/") }

// hidden are the files that systems put into archives for themselves.
func hidden(name string) bool {
	return strings.HasPrefix(filepath.Base(name), ".") || strings.HasPrefix(name, "__MACOSX")
}

// member recognises a file of an archive, which has to be in memory: it cannot be opened again.
func (c *collector) member(name string, in io.Reader, depth int) error {
	data, err := c.whole(name, c.limits.One, in)
	if err != nil {
		if c.total > 0 && !isLimit(err) {
			return c.damaged(name, "in an archive", err)
		}
		return err
	}
	again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	c.total -= int64(len(data)) // stream counts it again, if it keeps it
	at := len(c.items)
	if err := c.stream(name, bytes.NewReader(data), again, depth+1); err != nil {
		return err
	}
	if len(c.items) == at+1 && c.items[at].open != nil {
		c.total += int64(len(data))
	}
	return nil
}
