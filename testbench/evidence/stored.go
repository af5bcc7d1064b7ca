package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"itlagent/agent/holdings"
	"itlagent/agent/settings"
	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/platform/filestore"
	"itlagent/testbench/lockout"
	"itlagent/testbench/vaultimage"
)

// MaxImage bounds an image of a phone's flash, in bytes. Of a pipe or a device, whose size
// is not known beforehand, maxPipe bytes are read: a buffer that grows takes several times
// as much memory.
const (
	MaxImage = 256 << 20
	maxPipe  = 32 << 20
)

// errNothingStored says that a store has nothing that a phone decides by.
var errNothingStored = errors.New("it keeps nothing of a phone: no list, no configuration")

// ReadFile reads a file of at most the largest size that any trust file may have, out of the
// directory of a phone's state, too. Errors name the file, and an offset where the content is at
// fault.
func ReadFile(path string) ([]byte, error) {
	data, err := read(path, trustlist.MaxSignedSize, "no trust file has more than %d bytes")
	if err == nil && filestore.Encoded(data) {
		if _, data, err = filestore.Decode(data); err != nil {
			err = fmt.Errorf("%s: offset 0: %w", path, err)
		}
	}
	return data, err
}

// ReadImage reads an image of a phone's flash, of at most MaxImage bytes.
func ReadImage(path string) ([]byte, error) {
	data, err := read(path, MaxImage, "no flash image has more than %d bytes")
	if err == nil && len(data) == 0 {
		err = fmt.Errorf("%s: offset 0: the file is empty", path)
	}
	return data, err
}

// read reads a file of at most limit bytes; tooLarge says what the limit is, with %d.
func read(path string, limit int, tooLarge string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: offset 0: it is a directory", path)
	}
	if err == nil && !info.Mode().IsRegular() {
		limit = min(limit, maxPipe)
	}
	large := fmt.Errorf("%s: offset %d: too large: "+tooLarge, path, limit, limit)
	if err == nil && info.Size() > int64(limit) {
		return nil, large
	}
	var buf bytes.Buffer
	if err == nil && info.Mode().IsRegular() {
		buf.Grow(int(info.Size()) + bytes.MinRead) // at once, not by doubling
	}
	_, err = buf.ReadFrom(io.LimitReader(f, int64(limit)+1))
	data := buf.Bytes()
	switch {
	case err != nil:
		return nil, plain(err)
	case len(data) > limit:
		return nil, large
	}
	return data, nil
}

// plain takes the system call's name off an error.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// OpenFile reads, recognises and parses a trust file.
func OpenFile(path string) (*trustlist.File, error) {
	data, err := ReadFile(path)
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

// readFiles reads the lists that a phone holds, and its configuration where config is not
// "".
func readFiles(lists []string, config string) (lockout.Stored, error) {
	stored := make(lockout.Stored)
	for _, path := range lists {
		list, err := OpenFile(path)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(list.Kind.String())
		switch {
		case !list.Kind.IsList():
			return nil, fmt.Errorf("%s: it is a %v, and phones hold an ITL and a CTL", path, list.Kind)
		case stored[key] != nil:
			return nil, fmt.Errorf("%s: a second %v: a phone holds one", path, list.Kind)
		}
		stored[key] = list.Bytes()
	}
	if config == "" {
		return stored, nil
	}
	data, err := ReadFile(config)
	if err == nil {
		if stored["config"], err = configuration(data); err != nil {
			err = fmt.Errorf("%s: %w", config, err)
		}
	}
	return stored, err
}

// parses returns the error of a configuration's content.
func parses(content []byte) error {
	_, err := settings.Parse(content)
	return err
}

// readFlash reads what the phone holds out of an image of its flash.
func readFlash(path string, eraseSize int) (lockout.Stored, error) {
	data, err := ReadImage(path)
	if err != nil {
		return nil, err
	}
	img, err := vaultimage.Read(data, eraseSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	stored := make(lockout.Stored)
	for i := range img.Keys {
		k := &img.Keys[i]
		for _, key := range holdings.Deciding() {
			if k.Name != key {
				continue
			}
			if k.Degraded() {
				return nil, fmt.Errorf("%s: the newest value of %s is damaged: the phone itself does not know what it holds", path, key)
			}
			if !k.Deleted {
				stored[key] = k.Value
			}
		}
	}
	if len(stored) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errNothingStored)
	}
	return stored, nil
}

// readState reads what the phone holds out of its directory.
func readState(dir string) (lockout.Stored, error) {
	store, err := filestore.OpenReadOnly(dir) // the phone may be running
	if err != nil {
		return nil, plain(err)
	}
	stored, err := holdings.Read(store)
	if err == nil && len(stored) == 0 {
		err = fmt.Errorf("%s: %w", dir, errNothingStored)
	}
	return stored, plain(err)
}

// Served reads the files that a cluster would serve: at most one ITL, one CTL and one
// configuration.
func Served(paths []string, at time.Time) (lockout.Files, error) {
	served := lockout.Files{At: at}
	for _, path := range paths {
		data, err := ReadFile(path)
		if err != nil {
			return served, err
		}
		to := &served.Config
		if kind, err := trustlist.Recognise(data); err == nil && kind == trustlist.ITL {
			to = &served.ITL
		} else if err == nil && kind == trustlist.CTL {
			to = &served.CTL
		} else if err != nil && !trust.Plain(data) {
			return served, fmt.Errorf("%s: %w", path, err)
		}
		if *to != nil {
			return served, fmt.Errorf("%s: a second file of its kind", path)
		}
		*to = data
	}
	return served, nil
}
