package flasher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"itlagent/tools/uboot"
)

// ErrStorage says that a partition does not lie in the storage that the loader has.
var ErrStorage = errors.New("the board's storage is too small")

// fits asks the loader how large its storage is, and refuses partitions that are to be
// written, or are the vault's, and do not lie in it. A loader that does not say is
// trusted. chosen is what it said when the device was chosen.
func (f *Flasher) fits(ctx context.Context, job Job, chosen string) error {
	if f.Loader == nil {
		return nil
	}
	names := []string{VaultPartition}
	for _, file := range job.Files {
		names = append(names, file.Partition)
	}
	command, s := f.storage.sizes(), f.storage
	out := chosen
	if command != "" {
		var err error
		if out, err = f.Loader.Run(ctx, quick, command); errors.Is(err, uboot.ErrNoCommand) || errors.Is(err, uboot.ErrResult) {
			return nil
		} else if err != nil {
			return err
		}
	}
	banks := uboot.ParseBanks(out)
	if s.Kind != "nor" {
		banks = nil
		if size := uboot.ParseStorage(s.Kind, s.Device, out); size > 0 {
			banks = []uboot.Range{{Size: uint64(size)}}
		}
	}
	if len(banks) == 0 {
		return nil
	}
	for _, name := range names {
		at, size, ok := f.Board.Partition(name)
		if ok && !slices.ContainsFunc(banks, func(r uboot.Range) bool { return holds(r, s.base+uint64(at), uint64(size)) }) {
			return fmt.Errorf("%w: %s says nothing of %d bytes at %#x, where partition %s is to be", ErrStorage, s.asked(), size, s.base+uint64(at), name)
		}
	}
	return nil
}

func holds(r uboot.Range, at, size uint64) bool {
	return at >= r.Start && at-r.Start <= r.Size && size <= r.Size-(at-r.Start)
}

// sizes is the command that says how large the storage is; "" where choosing it does.
func (s storage) sizes() string {
	switch s.Kind {
	case "nor":
		return "flinfo"
	case "sf":
		return ""
	case "mtd":
		return "mtd list"
	}
	return s.Kind + " info"
}

// asked is that command for people.
func (s storage) asked() string {
	if c := s.sizes(); c != "" {
		return c
	}
	return s.setup()[0]
}
