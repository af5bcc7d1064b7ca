package vault

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"itlagent/platform/flash"
)

// minBlocks is the least number of good blocks: one that is written, one erased,
// one that holds.
const minBlocks = 3

// Open mounts the vault on dev, which is the caller's to close. Every block is
// read, and what a power cut left doubtful is erased or written again. Errors
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
	if err := m.headers(); err != nil {
		return nil, err
	}
	if err := m.scanAll(); err != nil {
		return nil, err
	}
	if !m.findHead() {
		if !o.Format {
			return nil, ErrNoVault
		}
		if m.kept {
			return nil, fmt.Errorf("%w: blocks of a vault are there, but none to begin with", ErrDamaged)
		}
		if err := m.format(o.Rand); err != nil {
			return nil, fmt.Errorf("make vault: %w", err)
		}
		return v, nil
	}
	m.collect()
	v.size0()
	v.recover()
	return v, nil
}

// size0 sets what follows from the number of good blocks.
func (v *Vault) size0() {
	n := v.good()
	v.budget = (n - 1 - reserve(n)) * v.usable()
	v.keep = min(MaxMessages, max(0, v.budget/4/v.size(maxMessage, 0)-1))
	v.limiter.tokens = messageBurst
}

// format makes a vault on flash that holds none, or goes on where it was cut
// off.
func (m *mount) format(random io.Reader) error {
	if random == nil {
		return errors.New("no source of randomness")
	}
	if m.id == ([idSize]byte{}) {
		if _, err := io.ReadFull(random, m.id[:]); err != nil {
			return err
		}
	}
	for i := range m.blocks {
		b := &m.blocks[i]
		if b.bad {
			continue
		}
		if !m.header[i] || m.content[i] || b.seq <= m.lastSeq() {
			b.erases = 0
			if err := m.prepare(i); err != nil {
				m.retire(i)
				continue
			}
		}
		m.prepared = append(m.prepared, i)
	}
	if m.failure != nil {
		return errors.Join(m.failure, m.health.Last)
	}
	m.size0()
	m.head, m.prepared = m.prepared[0], m.prepared[1:]
	m.w, m.limit = m.blocks[m.head].free, m.block
	return m.open()
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
	kept    bool // there is something that formatting would destroy
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
			return fmt.Errorf("%w: it was made for erase blocks of %d bytes, programmed by %d; these are %d and %d",
				ErrDamaged, 1<<(h.eraseShift&31), 1<<(h.programShift&31), m.block, m.dev.Geometry().ProgramSize)
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
			m.blocks[i].seq, m.blocks[i].erases = all[i].seq, all[i].erases
			m.by[all[i].by] = true
			wear = max(wear, all[i].erases)
		}
	}
	for i := range m.blocks {
		if !m.header[i] {
			m.blocks[i].erases = wear // a guess that keeps the wear even
		}
	}
	return nil
}

// scanAll reads every block once.
func (m *mount) scanAll() error {
	buf := make([]byte, m.block)
	for i := range m.blocks {
		b := &m.blocks[i]
		if b.bad {
			continue
		}
		if !m.readBlock(i, buf) {
			// It is not to be written or erased: what it holds may come back.
			b.bad, m.doubt = true, true
		}
		b.free, m.content[i] = m.scan(i, buf, func(f found, payload []byte) { m.visit(b, &f, payload) })
	}
	if m.good() < minBlocks {
		return fmt.Errorf("%w: %d of %d blocks can be read whole, it needs %d: %w", ErrDamaged, m.good(), len(m.blocks), minBlocks, m.health.Last)
	}
	return nil
}

// readBlock reads a block, in pieces where it cannot be read whole. A piece that
// cannot be read is left as zeros, which are no record.
func (m *mount) readBlock(i int, buf []byte) bool {
	if m.dev.Read(buf, i*m.block) == nil {
		return true
	}
	whole := true
	for at := 0; at < len(buf); at += m.chunk {
		piece := buf[at : at+m.chunk]
		if err := m.dev.Read(piece, i*m.block+at); err != nil {
			m.fail(err)
			clear(piece)
			whole = false
		}
	}
	return whole
}

func (m *mount) visit(b *block, f *found, payload []byte) {
	m.rev = max(m.rev, f.rev)
	if f.valid {
		m.kept = true
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
		case b.seq > newest && m.content[i], b.seq == 0, !m.header[i] && !m.content[i]:
			// It was being filled with copies when the power was cut, or its erase
			// was: nothing in it is its own.
			b.void = true
		}
	}
	return true
}

// collect finds the newest two whole revisions of every key.
func (m *mount) collect() {
	m.w, m.limit = m.blocks[m.head].free, m.block-m.size(maxMark, flagCopy)-m.chunk
	known := map[string]uint64{}
	for _, k := range m.marks {
		if m.blocks[k.block].void {
			continue
		}
		for _, n := range k.Newest {
			if key := string(n.Key); checkKey(key) == nil {
				known[key] = max(known[key], n.Rev)
				m.rev = max(m.rev, n.Rev)
			}
		}
	}
	m.found = slices.DeleteFunc(m.found, func(f found) bool {
		return m.blocks[f.block].void || checkKey(keyString(f.key)) != nil
	})
	for i := range m.found {
		if f := &m.found[i]; f.committed() {
			key := keyString(f.key)
			known[key] = max(known[key], f.rev)
		}
	}
	slices.SortFunc(m.found, func(a, b found) int { return m.compare(&a, &b) })
	for begin := 0; begin < len(m.found); {
		f := &m.found[begin]
		end := begin + 1
		for end < len(m.found) && sameRevision(f, &m.found[end]) {
			end++
		}
		if e := m.entry(keyString(f.key)); e == nil || e.previous == nil {
			m.take(keyString(f.key), whole(m.found[begin:end]))
		}
		begin = end
	}
	for key, rev := range known {
		if m.known(key) {
			e := m.entry(key)
			e.known = max(e.known, rev)
		}
	}
	for _, e := range m.keys {
		if e.doubt = m.doubt; e.newest != nil {
			e.known = max(e.known, e.newest.rev)
		}
	}
	if m.blocks[m.head].bad {
		m.w = m.limit // nothing is added to it
	}
	slices.SortFunc(m.keys, func(a, b *entry) int { return cmp.Compare(a.key, b.key) })
	m.takeMessages()
}

// take enters a whole revision of a key. The newest comes first.
func (m *mount) take(key string, r *revision) {
	if r == nil || !m.known(key) {
		return
	}
	if e := m.entry(key); e.newest == nil {
		e.newest = r
	} else {
		e.previous = r
	}
}

// known makes an entry for a key, unless there are too many.
func (m *mount) known(key string) bool {
	if m.entry(key) == nil {
		if len(m.keys) >= MaxKeys {
			return false
		}
		m.keys = append(m.keys, &entry{key: key})
	}
	return true
}

// compare sorts by key, then newest revision first, then by offset, and the best
// of several copies first.
func (m *mount) compare(a, b *found) int {
	switch {
	case a.key != b.key:
		return bytes.Compare(a.key[:], b.key[:])
	case a.rev != b.rev:
		return cmp.Compare(b.rev, a.rev)
	case a.value != b.value:
		return bytes.Compare(a.value[:], b.value[:])
	case a.total != b.total:
		return cmp.Compare(a.total, b.total)
	case a.kind != b.kind:
		return cmp.Compare(a.kind, b.kind)
	case a.offset != b.offset:
		return cmp.Compare(a.offset, b.offset)
	case a.block != b.block:
		return cmp.Compare(m.blocks[b.block].seq, m.blocks[a.block].seq)
	}
	return cmp.Compare(a.errors, b.errors)
}

func sameRevision(a, b *found) bool {
	return a.key == b.key && a.rev == b.rev && a.value == b.value && a.total == b.total && a.kind == b.kind
}

// whole chains the fragments of one revision, sorted by offset, the best of each
// first. It returns nil where a part is missing.
func whole(fs []found) *revision {
	f := &fs[0]
	r := &revision{rev: f.rev, tombstone: f.kind == kindTombstone, total: int(f.total), value: f.value, perfect: true}
	var dead []uint32 // offsets from which the end cannot be reached
	var reach func(at uint32) bool
	reach = func(at uint32) bool {
		if at == f.total && at > 0 {
			return true
		}
		if slices.Contains(dead, at) {
			return false
		}
		for i := range fs {
			p := &fs[i]
			if p.offset != at || !p.counts() || p.length == 0 && f.total > 0 {
				continue
			}
			if f.total == 0 || reach(at+p.length) {
				r.parts = append(r.parts, part{int(p.block), int(p.at), int(p.length)})
				r.perfect = r.perfect && p.errors == 0
				return true
			}
		}
		dead = append(dead, at)
		return false
	}
	if !reach(0) {
		return nil
	}
	slices.Reverse(r.parts)
	return r
}

// recover erases again what is doubtful behind the head, and writes again what
// has an imperfect commit mark. Where the flash fails, the vault is read-only.
func (v *Vault) recover() {
	at := v.head
	for {
		i := v.next(at)
		b := &v.blocks[i]
		if i == v.head || b.void && len(v.prepared) >= reserve(v.good()) || !b.void && b.seq < v.blocks[v.head].seq {
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
