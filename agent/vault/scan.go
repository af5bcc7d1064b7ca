package vault

// found is what a scan met in a block: a fragment, or a commit mark whose
// fragment is unreadable.
type found struct {
	fragment
	block, at uint32
	errors    uint16 // wrong bits of the commit mark; 0 where there is to be none
	valid     bool   // the hash holds
	orphan    bool   // only the commit mark is readable
}

// counts reports whether the fragment is whole and committed.
func (f *found) counts() bool { return f.valid && !f.orphan && f.errors <= maxBitErrors }

// committed reports whether the end of a value of this revision was written,
// whether or not it can be read.
func (f *found) committed() bool {
	return f.flags&flagLast != 0 && f.flags&flagCopy == 0 && f.errors <= maxBitErrors &&
		(f.kind == kindValue || f.kind == kindTombstone)
}

// scan visits what is in a block, of which buf is the whole content. It goes on
// behind whatever it cannot read. It returns where the block may be programmed:
// behind everything that an interrupted program can have touched.
func (l *layout) scan(block int, buf []byte, visit func(f found, payload []byte)) (free int, content bool) {
	used := usedLength(buf)
	free = max(l.first(), l.align(used)) + l.chunk
	for at := l.first(); at < used; {
		room := len(buf) - at
		if room < trailerSize {
			break
		}
		if room >= headerSize+hashSize {
			if f, ok := l.decodeFragment(buf[at:], room); ok {
				size := l.size(int(f.length), f.flags)
				visit(l.judge(block, at, buf, f), buf[at+headerSize:at+headerSize+int(f.length)])
				at += size
				free = max(free, at)
				continue
			}
		}
		if k, flags, key, rev, ok := l.decodeTrailer(buf[at:]); ok {
			visit(found{fragment: fragment{kind: k, flags: flags, key: key, rev: rev}, block: uint32(block), at: uint32(at), orphan: true}, nil)
			at += l.align(trailerSize)
			continue
		}
		at += l.grain
	}
	return min(free, len(buf)), used > l.first()
}

// judge checks a fragment's hash and commit mark.
func (l *layout) judge(block, at int, buf []byte, f fragment) found {
	end := at + headerSize + int(f.length)
	sum := l.hash(block, at, buf[at:end])
	out := found{fragment: f, block: uint32(block), at: uint32(at), valid: string(sum[:]) == string(buf[end:end+hashSize])}
	if f.flags&flagCopy == 0 {
		out.errors = trailerSize * 8
		if t := at + l.align(headerSize+int(f.length)+hashSize); t+trailerSize <= len(buf) {
			var want [trailerSize]byte
			l.trailer(want[:], f.kind, f.flags, f.key, f.rev)
			out.errors = uint16(bitErrors(want[:], buf[t:t+trailerSize]))
		}
	}
	return out
}
