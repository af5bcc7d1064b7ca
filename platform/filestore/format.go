package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The header of a file. Numbers are big-endian:
//
//	0   8  magic
//	8   2  version
//	10  2  0
//	12  4  bytes of the value
//	16  32 key, filled up with zeros
//	48  16 SHA-256 of the bytes before and of the value, cut
//
// The key is in it so that one file in the place of another is damage, and so that a
// copy tells what it is.
const (
	magic      = "ITLSTATE"
	version    = 1
	keyAt      = 16
	sumAt      = keyAt + maxKey
	sumSize    = 16
	headerSize = sumAt + sumSize
)

// Encoded reports whether data begins as the files of a Store do.
func Encoded(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }

func checksum(head, value []byte) []byte {
	h := sha256.New()
	h.Write(head)
	h.Write(value)
	return h.Sum(nil)[:sumSize]
}

// encode puts the header in front of a value.
func encode(key string, value []byte) []byte {
	data := make([]byte, headerSize+len(value))
	copy(data, magic)
	binary.BigEndian.PutUint16(data[8:], version)
	binary.BigEndian.PutUint32(data[12:], uint32(len(value)))
	copy(data[keyAt:], key)
	copy(data[sumAt:], checksum(data[:sumAt], value))
	copy(data[headerSize:], value)
	return data
}

// Decode checks a file of a Store, or a copy of one, and returns its key and its
// value, which is a part of data. Errors are ErrDamaged.
func Decode(data []byte) (key string, value []byte, err error) {
	if len(data) < headerSize || !Encoded(data) {
		return "", nil, fmt.Errorf("%w: no header", ErrDamaged)
	}
	head, sum, value := data[:sumAt], data[sumAt:headerSize], data[headerSize:]
	if !bytes.Equal(sum, checksum(head, value)) {
		return "", nil, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	if v := binary.BigEndian.Uint16(head[8:]); v != version {
		return "", nil, fmt.Errorf("%w: format %d, this program reads %d", ErrDamaged, v, version)
	}
	if n := binary.BigEndian.Uint32(head[12:]); uint64(n) != uint64(len(value)) {
		return "", nil, fmt.Errorf("%w: %d bytes, the header says %d", ErrDamaged, len(value), n)
	}
	return string(bytes.TrimRight(head[keyAt:], "\x00")), value, nil
}

// markFile says that every value of a directory has a header: one without is damaged.
// That it is there counts, not what is in it.
const (
	markFile = ".format"
	markText = "itlagent state directory: every value has a header with its checksum\n"
)

func isSealed(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// upgrade gives the values of a directory from before there were checksums theirs. A
// power cut on the way leaves values of both kinds and no mark, so that the next Open
// goes on.
func (s *Store) upgrade() error {
	if sealed, err := isSealed(s.dir); err != nil || sealed {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if checkKey(e.Name()) != nil || !e.Type().IsRegular() {
			continue // not a value, or damage, which stays what it is
		}
		path := filepath.Join(s.dir, e.Name())
		data, err := readRegular(path, headerSize+MaxValue)
		switch {
		case errors.Is(err, ErrDamaged):
			continue
		case err != nil:
			return err
		case Encoded(data) || len(data) > MaxValue:
			continue
		}
		if err := WriteFile(path, encode(e.Name(), data)); err != nil {
			return err
		}
	}
	return WriteFile(filepath.Join(s.dir, markFile), []byte(markText))
}
