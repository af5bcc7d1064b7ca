package vault

import (
	"bytes"
	"cmp"
	"slices"
)

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
			m.add(keyString(f.key), whole(m.found[begin:end]))
		}
		begin = end
	}
	for key, rev := range known {
		if m.ensureEntry(key) {
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
	m.orderMessages()
}

// add enters a whole revision of a key. The newest comes first.
func (m *mount) add(key string, r *revision) {
	if r == nil || !m.ensureEntry(key) {
		return
	}
	if e := m.entry(key); e.newest == nil {
		e.newest = r
	} else {
		e.previous = r
	}
}

// ensureEntry makes an entry for a key, unless there are too many.
func (m *mount) ensureEntry(key string) bool {
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
