package flashtest

import "itlagent/platform/flash"

// checkRules fails the test on a program that a chip forbids: across blocks, of a bad one,
// over what is programmed, and on NAND before a page that is.
func (d *Device) checkRules(off, length int) {
	unit, block := off/d.geo.ProgramSize, off/d.geo.EraseSize
	units := length / d.geo.ProgramSize
	if length > 0 && (off+length-1)/d.geo.EraseSize != block {
		d.illegal("program of %d bytes at 0x%x crosses a block", length, off)
	}
	if d.bad[block] {
		d.illegal("program of bad block %d", block)
	}
	for i := unit; i < unit+units; i++ {
		if d.programmed[i] {
			d.illegal("second program at 0x%x", i*d.geo.ProgramSize)
		}
	}
	if d.geo.Kind == flash.NAND {
		perBlock := d.geo.EraseSize / d.geo.ProgramSize
		for i := unit + units; i < (block+1)*perBlock; i++ {
			if d.programmed[i] {
				d.illegal("program at 0x%x behind a programmed page", off)
			}
		}
	}
}

// tear programs a part of p.
func (d *Device) tear(kind Kind, p []byte, off int) {
	switch kind {
	case TornPrefix:
		for i := range d.rng.IntN(len(p) + 1) {
			d.mem[off+i] &= p[i]
		}
	case TornBits:
		for i, b := range p {
			d.mem[off+i] &= b | byte(d.rng.Uint32()) // a bit that falls may stay
		}
	case TornAllButOne:
		var falls []int // bits that p clears
		for i, b := range p {
			for bit := range 8 {
				if b&(1<<bit) == 0 && d.mem[off+i]&(1<<bit) != 0 {
					falls = append(falls, i*8+bit)
				}
			}
		}
		keep := -1
		if len(falls) > 0 {
			keep = falls[d.rng.IntN(len(falls))]
		}
		for _, f := range falls {
			if f != keep {
				d.mem[off+f/8] &^= 1 << (f % 8)
			}
		}
	}
}

// tornErase leaves a mix. The three kinds differ in how far the erase got: hardly
// begun, half way, all but done.
func (d *Device) tornErase(kind Kind, mem []byte, off int) {
	erased, unstable := 128, 26 // of 256
	switch kind {
	case TornPrefix:
		erased, unstable = 8, 4
	case TornAllButOne:
		erased, unstable = 250, 4
	}
	// Long runs of one outcome are as likely as a fine mix: a record may survive
	// whole, or a header alone.
	run := []int{1, 16, 256, len(mem) / 4}[d.rng.IntN(4)]
	for i := 0; i < len(mem); i += run {
		fate := d.rng.IntN(256)
		for j := i; j < min(i+run, len(mem)); j++ {
			switch {
			case fate < erased:
				mem[j] = 0xff
			case fate < erased+unstable:
				mem[j] |= byte(d.rng.Uint32())
				if len(d.unstable) < 4096 {
					d.unstable = append(d.unstable, int32(off+j))
				}
			}
		}
	}
}
