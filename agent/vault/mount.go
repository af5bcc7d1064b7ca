package vault

import (
	"errors"
	"fmt"
	"slices"

	"itlagent/platform/flash"
)

// minBlocks is the least number of good blocks: one that is written, one erased,
// one that holds.
const minBlocks = 3

// Open mounts the vault on dev, which is the caller's to close. Every block is
// read, and what a power cut left doubtful is erased or rewritten. Errors
// wrap ErrNoVault, ErrVersion, ErrDamaged or a *flash.Error.
func Open(dev flash.Flash, o Options) (*Vault, error) {
	g := dev.Geometry()
	if err := g.Check(); err != nil {
		return nil, err
	}
	grain := max(g.ProgramSize, 16)
	v := &Vault{dev: dev, head: -1, layout: layout{block: g.EraseSize, grain: grain, chunk: max(grain, min(chunkSize, g.EraseSize))}}
	v.blocks = make([]block, g.Blocks())
	if g.EraseSize < 1024 || v.usable() < 2*minPayload {
		return nil, fmt.Errorf("blocks of %d bytes, programmed by %d, are too small for a vault", g.EraseSize, g.ProgramSize)
	}
	if bb, ok := v.badBlocks(); ok {
		for i := range v.blocks {
			bad, err := bb.Bad(i)
			if err != nil {
				return nil, err
			}
			v.blocks[i].bad = bad
		}
	}
	if v.good() < minBlocks {
		return nil, fmt.Errorf("%w: %d good blocks, it needs %d", ErrNoVault, v.good(), minBlocks)
	}
	m := mount{Vault: v}
	if err := m.find(); err != nil {
		s := m.survey()
		if o.Format == FormatAny || o.Format == FormatErased && s.resumable && !m.fragments {
			if err := m.create(s, o.Rand); err != nil {
				return nil, fmt.Errorf("make vault: %w", err)
			}
			return v, nil
		}
		if err != errNoHead {
			return nil, err
		}
		if m.fragments || s.vault() && !s.resumable {
			return nil, fmt.Errorf("%w: %s", ErrDamaged, s)
		}
		return nil, fmt.Errorf("%w: %s", ErrNoVault, s)
	}
	m.collect()
	v.setCapacity()
	v.recover()
	return v, nil
}

// errNoHead says that no block was ever opened. It does not leave the package.
var errNoHead = errors.New("no block was opened")

// find reads all blocks and finds the head.
func (m *mount) find() error {
	if err := m.headers(); err != nil {
		return err
	}
	m.scanAll()
	if m.good() < minBlocks {
		return fmt.Errorf("%w: %d of %d blocks can be read whole, it needs %d: %w", ErrDamaged, m.good(), len(m.blocks), minBlocks, m.health.Last)
	}
	if !m.findHead() {
		return errNoHead
	}
	return nil
}

// setCapacity sets what follows from the number of good blocks.
func (v *Vault) setCapacity() {
	n := v.good()
	v.budget = (n - 1 - reserve(n)) * v.usable()
	v.messageSlots = min(MaxMessages, max(0, v.budget/4/v.size(maxMessage, 0)-1))
	v.limiter.tokens = messageBurst
}

// mount is a vault while it is being read.
type mount struct {
	*Vault
	header  []bool // blocks with a whole header
	content []bool // blocks with bytes behind the header
	opened  []bool // blocks that were opened for data
	by      map[uint64]bool
	found   []found
	marks   []foundMark
	entries []foundMessage
	// fragments says that there is a whole fragment of this vault.
	fragments  bool
	unreadable []bool // blocks of which a part cannot be read
}

type foundMark struct {
	mark
	block int
}

type foundMessage struct {
	message
	found
}

// headers reads every block's header: who the vault is, and in which order its
// blocks were written.
func (m *mount) headers() error {
	n := len(m.blocks)
	m.unreadable = make([]bool, n)
	m.header, m.content, m.opened, m.by = make([]bool, n), make([]bool, n), make([]bool, n), map[uint64]bool{}
	ids := map[[idSize]byte]int{}
	all := make([]blockHeader, n)
	var raw [blockHeaderSize]byte
	for i := range m.blocks {
		if m.blocks[i].bad {
			continue
		}
		if err := m.dev.Read(raw[:], i*m.block); err != nil {
			continue // scanAll reads it again, and says so
		}
		h, version, ok := decodeBlockHeader(raw[:])
		switch {
		case !ok:
		case version > Version:
			return fmt.Errorf("%w: version %d, this program reads up to %d", ErrVersion, version, Version)
		case int(h.eraseShift) != int(log2(m.block)) || h.programShift != log2(m.dev.Geometry().ProgramSize):
			return fmt.Errorf("%w (%w): it was made for erase blocks of %d bytes, programmed by %d; these are %d and %d",
				ErrDamaged, ErrGeometry, 1<<(h.eraseShift&31), 1<<(h.programShift&31), m.block, m.dev.Geometry().ProgramSize)
		case int(h.block) == i:
			m.header[i], all[i] = true, h
			ids[h.id]++
		}
	}
	most := 0
	for id, count := range ids {
		if count > most || count == most && string(id[:]) > string(m.id[:]) {
			most, m.id = count, id
		}
	}
	var wear uint32
	for i := range m.blocks {
		if m.header[i] = m.header[i] && all[i].id == m.id; m.header[i] {
			m.blocks[i].seq, m.blocks[i].erases, m.blocks[i].claim = all[i].seq, all[i].erases, all[i].erases == 0
			m.by[all[i].by] = true
			wear = max(wear, all[i].erases)
		}
	}
	for i := range m.blocks {
		if !m.header[i] {
			m.blocks[i].erases = wear // a guess, so that the wear stays even
		}
	}
	return nil
}

// scanAll reads every block once.
func (m *mount) scanAll() {
	buf := make([]byte, m.block)
	for i := range m.blocks {
		b := &m.blocks[i]
		if b.bad {
			continue
		}
		if lost := m.readBlock(i, buf); len(lost) > 0 && !m.onlyHeaderLost(lost, buf) {
			// It is not to be written or erased: what it holds may come back.
			b.bad, m.unreadable[i], m.doubt = true, true, true
		}
		b.free, m.content[i] = m.scan(i, buf, func(f found, payload []byte) { m.visit(b, &f, payload) })
	}
}

// readBlock reads a block, in pieces where it cannot be read whole. A piece that
// cannot be read is left as zeros, which are no record; lost has its offset.
func (m *mount) readBlock(i int, buf []byte) (lost []int) {
	if m.dev.Read(buf, i*m.block) == nil {
		return nil
	}
	for at := 0; at < len(buf); at += m.chunk {
		piece := buf[at : at+m.chunk]
		if err := m.dev.Read(piece, i*m.block+at); err != nil {
			m.fail(err)
			clear(piece)
			lost = append(lost, at)
		}
	}
	return lost
}

// onlyHeaderLost reports whether nothing but a block's header cannot be read, and
// nothing is behind it. Flash with error correction gives up on a program that was
// interrupted, and no block has content before its header is whole.
func (m *mount) onlyHeaderLost(lost []int, buf []byte) bool {
	return len(lost) == 1 && lost[0] == 0 && m.first() >= m.chunk && usedLength(buf[m.first():]) == 0
}

func (m *mount) visit(b *block, f *found, payload []byte) {
	m.rev = max(m.rev, f.rev)
	if f.valid {
		m.fragments = true
		if b.seq == 0 {
			b.seq = f.seq // the header is lost
		}
		if f.kind == kindMark || f.flags&flagCopy == 0 && f.counts() {
			m.opened[f.block] = true
		}
	}
	switch {
	case f.valid && f.kind == kindMark:
		fm := foundMark{block: int(f.block)}
		if fm.decode(payload) == nil {
			m.marks = append(m.marks, fm)
		}
	case f.valid && f.kind == kindMessage && f.counts():
		fm := foundMessage{found: *f}
		if fm.decode(payload) == nil {
			m.entries = append(m.entries, fm)
			if len(m.entries) >= 8*MaxMessages {
				m.entries = latest(m.entries, 4*MaxMessages)
			}
		}
	case f.kind == kindValue || f.kind == kindTombstone:
		if f.counts() || f.committed() {
			m.found = append(m.found, *f)
		}
	}
}

// findHead returns false where no block was ever opened. It marks the blocks
// whose content does not count.
func (m *mount) findHead() bool {
	m.head = -1
	for i := range m.blocks {
		b := &m.blocks[i]
		if m.opened[i] = m.opened[i] || b.seq != 0 && m.by[b.seq]; !m.opened[i] || b.seq == 0 {
			continue
		}
		if m.head < 0 || b.seq > m.blocks[m.head].seq {
			m.head = i
		}
	}
	if m.head < 0 {
		return false
	}
	// What a mark covers had been copied before it was erased. A mark in a block
	// that is itself covered is an old one.
	slices.SortFunc(m.marks, func(a, b foundMark) int {
		if m.blocks[a.block].seq > m.blocks[b.block].seq {
			return -1
		}
		return 1
	})
	newest := m.blocks[m.head].seq
	for _, k := range m.marks {
		if i := int(k.Covers); !m.blocks[k.block].void && m.blocks[k.block].seq <= newest && i >= 0 && i < len(m.blocks) && i != m.head &&
			(m.blocks[i].seq == k.Seq || m.blocks[i].seq == 0) {
			m.blocks[i].void = true
		}
	}
	for i := range m.blocks {
		b := &m.blocks[i]
		switch {
		case i == m.head, b.bad:
		case b.seq > newest && m.content[i], b.seq == 0, !m.header[i] && !m.content[i], b.claim:
			// It was being filled with copies when the power was cut, or its erase
			// was, or the vault was being made: nothing in it is its own.
			b.void = true
		}
	}
	return true
}

// recover erases again what is doubtful behind the head, and writes again what
// has an imperfect commit mark. Where the flash fails, the vault is read-only.
func (v *Vault) recover() {
	at := v.head
	for {
		i := v.next(at)
		b := &v.blocks[i]
		if len(v.prepared) > 0 && i == v.prepared[0] {
			break // all round, and the head cannot be read
		}
		if i == v.head || b.void && !b.claim && len(v.prepared) >= reserve(v.good()) || !b.void && b.seq < v.blocks[v.head].seq {
			break // all round, enough, or an old block
		}
		if b.void {
			if err := v.prepare(i); err != nil {
				if v.retire(i); v.failure != nil {
					break
				}
				continue
			}
		}
		v.prepared = append(v.prepared, i)
		at = i
	}
	if len(v.prepared) == 0 && v.failure == nil {
		v.failure = errors.Join(errors.New("no erased block is left"), v.health.Last)
	}
	if v.failure != nil {
		return
	}
	for _, e := range v.keys {
		if e.newest != nil && !e.newest.perfect {
			v.rewrite(e)
		}
	}
}

// rewrite writes the newest revision of a key once more: power was cut inside
// its commit mark, or the mark has rotted.
func (v *Vault) rewrite(e *entry) {
	old := e.newest
	k := kindValue
	if old.tombstone {
		k = kindTombstone
	}
	value, err := v.read(old)
	if err != nil {
		return
	}
	r := &revision{rev: old.rev, tombstone: old.tombstone, total: old.total, value: old.value, perfect: true}
	v.pending = r
	defer func() { v.pending = nil }()
	if err := v.writeParts(k, e.key, r, value); err != nil {
		return // counted; the old place still holds it
	}
	e.newest = r
}
