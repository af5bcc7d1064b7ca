package flasher

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
)

// blockSize is the least that is compared and written by itself, in bytes. Smaller erase
// blocks are taken together: a comparison costs about as much as a KiB over a serial line.
const blockSize = 64 << 10

// part writes what differs of a part: it is sent to memory, checked there, written, and
// compared.
func (f *Flasher) part(ctx context.Context, name string, at int64, data []byte) error {
	runs, err := f.differing(ctx, at, data)
	if err != nil {
		return err
	}
	for _, r := range runs {
		named := name
		if r.begin > 0 {
			named += fmt.Sprintf(".%x", r.begin)
		}
		if err := f.send(ctx, named, at+int64(r.begin), data[r.begin:r.end]); err != nil {
			return err
		}
	}
	return nil
}

// run is a part of some bytes: from begin up to end.
type run struct{ begin, end int }

// differing returns what of a part the storage does not hold, in whole erase blocks: a
// line of 115200 Bd carries a block of 64 KiB in six seconds, and a part in a minute.
func (f *Flasher) differing(ctx context.Context, at int64, data []byte) ([]run, error) {
	all := []run{{0, len(data)}}
	if f.Loader == nil {
		return all, nil
	}
	address, err := f.read(ctx, at, len(data), f.load())
	if err != nil {
		return nil, err
	}
	sum, err := f.Loader.Checksum(ctx, slow, address, int64(len(data)))
	if err != nil || empty(sum, len(data)) {
		return all, err
	}
	if sum == crc32.ChecksumIEEE(data) {
		return nil, nil
	}
	block := max(int(f.storage.unit), blockSize)
	if block >= len(data) {
		return all, nil
	}
	var runs []run
	for begin := 0; begin < len(data); begin += block {
		end := min(begin+block, len(data))
		sum, err := f.Loader.Checksum(ctx, slow, address+uint64(begin), int64(end-begin))
		if err != nil {
			return nil, err
		}
		if sum == crc32.ChecksumIEEE(data[begin:end]) {
			continue
		}
		if n := len(runs); n > 0 && runs[n-1].end == begin {
			runs[n-1].end = end
		} else {
			runs = append(runs, run{begin, end})
		}
	}
	return runs, nil
}

// empty says whether a checksum is that of a new chip, or of a new disk, where looking
// for blocks that are equal is of no use.
func empty(sum uint32, n int) bool {
	return sum == crc32.ChecksumIEEE(bytes.Repeat([]byte{0xff}, n)) || sum == crc32.ChecksumIEEE(make([]byte, n))
}
