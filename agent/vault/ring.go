package vault

import (
	"fmt"

	"itlagent/platform/flash"
)

// next returns the good block behind b in the ring.
func (v *Vault) next(b int) int {
	for range v.blocks {
		if b = (b + 1) % len(v.blocks); !v.blocks[b].bad {
			break
		}
	}
	return b
}

// good counts the blocks in use.
func (v *Vault) good() (n int) {
	for i := range v.blocks {
		if !v.blocks[i].bad {
			n++
		}
	}
	return n
}

// reserve is how many erased blocks there are ahead of the head: two where there
// are blocks enough, so that one may fail.
func reserve(good int) int {
	if good >= 5 {
		return 2
	}
	return 1
}

// victim returns the block to be erased next, or -1 where enough are erased.
func (v *Vault) victim() int {
	if len(v.prepared) >= reserve(v.good()) {
		return -1
	}
	last := v.head
	if n := len(v.prepared); n > 0 {
		last = v.prepared[n-1]
	}
	if b := v.next(last); b != v.head {
		return b
	}
	return -1
}

// prepare erases a block and writes its header.
func (v *Vault) prepare(i int) error {
	b := &v.blocks[i]
	if b.suspect {
		return v.fail(&flash.Error{Op: "program", Off: i * v.block, Err: errReadBack})
	}
	if err := v.erase(i); err != nil {
		return err
	}
	b.erases++
	h := blockHeader{erases: b.erases, seq: v.lastSeq() + 1}
	if v.head >= 0 {
		h.by = v.blocks[v.head].seq
	}
	if err := v.writeHeader(i, h); err != nil {
		return err
	}
	b.seq, b.void, b.claim, b.free = h.seq, false, false, v.first()
	return nil
}

// erase erases a block and reads it back.
func (v *Vault) erase(i int) error {
	if err := v.dev.Erase(i); err != nil {
		return v.fail(err)
	}
	if err := v.checkErased(i); err != nil {
		return v.fail(err)
	}
	return nil
}

// writeHeader programs the header of an erased block, with what all of them have
// in common.
func (v *Vault) writeHeader(i int, h blockHeader) error {
	h.eraseShift, h.programShift, h.id, h.block = log2(v.block), log2(v.dev.Geometry().ProgramSize), v.id, uint32(i)
	out := make([]byte, v.first())
	pad(out[blockHeaderSize:])
	h.encode(out)
	return v.program(i, 0, out)
}

// lastSeq returns the number of the last block that is prepared, else of the
// head; 0 before there is one.
func (v *Vault) lastSeq() uint64 {
	switch n := len(v.prepared); {
	case n > 0:
		return v.blocks[v.prepared[n-1]].seq
	case v.head >= 0:
		return v.blocks[v.head].seq
	}
	return 0
}

// checkErased reads a block that was erased.
func (v *Vault) checkErased(i int) error {
	const step = 4096
	b := v.buffer(min(step, v.block))
	for at := 0; at < v.block; at += len(b) {
		if err := v.readFlash(b, i*v.block+at); err != nil {
			return err
		}
		if usedLength(b) != 0 {
			return &flash.Error{Op: "erase", Off: i * v.block, Err: errReadBack}
		}
	}
	return nil
}

// retire takes a block out of use: until the vault is mounted again, and on NAND
// for good once another block has been programmed. Where none can be, it is not the
// block that has failed.
func (v *Vault) retire(i int) {
	v.retiring = append(v.retiring, i)
	v.leaveOut(i)
}

// leaveOut takes a block out of use until the vault is mounted again.
func (v *Vault) leaveOut(i int) {
	v.blocks[i].bad = true
	if v.good() < minBlocks && v.failure == nil {
		v.failure = fmt.Errorf("%d good blocks are left, a vault needs %d", v.good(), minBlocks)
	}
}

// markRetired marks the retired blocks bad.
func (v *Vault) markRetired() {
	if bb, ok := v.badBlocks(); ok {
		for _, i := range v.retiring {
			if err := bb.MarkBad(i); err != nil {
				v.fail(err)
			}
		}
	}
	v.retiring = v.retiring[:0]
}

func (v *Vault) badBlocks() (flash.BadBlocks, bool) {
	if v.dev.Geometry().Kind != flash.NAND {
		return nil, false
	}
	bb, ok := v.dev.(flash.BadBlocks)
	return bb, ok
}

func log2(n int) (shift uint8) {
	for ; n > 1; n >>= 1 {
		shift++
	}
	return shift
}
