package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"itlagent/agent/bounded"
	"itlagent/platform/flash"
)

// errNoRoom says that the head is full. It does not leave the package.
var errNoRoom = errors.New("the head is full")

// errUnreadable says that a block which is to be erased cannot be read. It does not
// leave the package.
var errUnreadable = errors.New("the block cannot be read")

// errReadBack says that the flash does not hold what was written.
var errReadBack = errors.New("it does not read back")

// program programs data in chunks at an offset of a block, and reads it back.
func (v *Vault) program(block, at int, data []byte) error {
	base := block*v.block + at
	for done := 0; done < len(data); done += v.chunk {
		if err := v.dev.Program(data[done:min(done+v.chunk, len(data))], base+done); err != nil {
			return v.fail(err)
		}
	}
	back := make([]byte, len(data))
	if err := v.readFlash(back, base); err != nil {
		return v.fail(err)
	}
	if !bytes.Equal(back, data) {
		return v.fail(&flash.Error{Op: "program", Off: base, Err: errReadBack})
	}
	return nil
}

// readFlash reads, more than once where that fails.
func (v *Vault) readFlash(b []byte, off int) (err error) {
	for range readTries {
		if err = v.dev.Read(b, off); err == nil {
			break
		}
	}
	return err
}

// append writes a fragment at the head, its commit mark in a program of its own.
// Whatever comes of it, the place is used up.
func (v *Vault) append(f fragment, payload []byte) (part, error) {
	f.length = uint32(len(payload))
	f.seq = v.blocks[v.head].seq
	size := v.size(len(payload), f.flags)
	p := part{v.head, v.w, len(payload)}
	if v.w+size > v.limit {
		return part{}, errNoRoom
	}
	v.w += size

	b := make([]byte, v.align(headerSize+len(payload)+hashSize))
	v.encode(b, &f)
	copy(b[headerSize:], payload)
	end := headerSize + len(payload)
	sum := v.hash(p.block, p.at, b[:end])
	copy(b[end:], sum[:])
	pad(b[end+hashSize:])
	if err := v.program(p.block, p.at, b); err != nil {
		return part{}, err
	}
	if f.flags&flagCopy == 0 {
		if f.flags&flagLast != 0 && (f.kind == kindValue || f.kind == kindTombstone) {
			v.ends = append(v.ends, p.block*v.block+p.at+len(b))
		}
		t := make([]byte, v.align(trailerSize))
		v.trailer(t, f.kind, f.flags, f.key, f.rev)
		pad(t[trailerSize:])
		if err := v.program(p.block, p.at+len(b), t); err != nil {
			return part{}, err
		}
	}
	if len(v.retiring) > 0 {
		v.markRetired()
	}
	return p, nil
}

func pad(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

// retryOrAdvance decides whether to write once more after an error: not in the head where
// it failed twice.
func (v *Vault) retryOrAdvance(err error, tries *int) error {
	if errors.Is(err, errNoRoom) {
		return v.advance()
	}
	if *tries++; *tries >= writeTries {
		return err
	}
	if b := &v.blocks[v.head]; *tries >= 2 {
		b.suspect = true
		return v.advance()
	}
	return nil
}

// writeParts writes a value as one or more fragments.
func (v *Vault) writeParts(k kind, key string, r *revision, value []byte) error {
	f := fragment{kind: k, key: keyBytes(key), rev: r.rev, total: uint32(len(value)), value: r.value}
	tries, advances := 0, 0
	for at := 0; ; {
		rest := len(value) - at
		n := min(rest, v.room())
		if n < min(rest, minPayload) {
			if advances++; advances > 2*len(v.blocks) {
				return fmt.Errorf("%w: the ring was gone round", ErrNoSpace)
			}
			if err := v.advance(); err != nil {
				return err
			}
			continue
		}
		f.offset, f.flags = uint32(at), 0
		if n == rest {
			f.flags = flagLast
		}
		p, err := v.append(f, value[at:at+n])
		if err != nil {
			if err := v.retryOrAdvance(err, &tries); err != nil {
				return err
			}
			continue
		}
		r.parts = append(r.parts, p)
		if at += n; at == len(value) {
			return nil
		}
	}
}

// room returns the largest payload that fits into the head; -1 for none.
func (v *Vault) room() int {
	n := v.limit - v.w - v.align(trailerSize)
	n -= n % v.grain
	return max(n-headerSize-hashSize, -1)
}

// advance opens the next prepared block.
func (v *Vault) advance() error {
	var last error
	for tries := 0; tries < writeTries && len(v.prepared) > 0; tries++ {
		head, w, limit, b, ahead := v.head, v.w, v.limit, v.prepared[0], v.prepared[1:]
		v.head, v.w, v.limit, v.prepared = b, v.blocks[b].free, v.block, ahead
		if last = v.open(); last == nil {
			return nil
		}
		// The block holds copies alone, and is no loss. It is tried once more.
		v.head, v.w, v.limit, v.prepared = head, w, limit, nil
		v.blocks[b].void = true
		if tries == 0 && v.prepare(b) == nil {
			ahead = slices.Concat([]int{b}, ahead)
		} else {
			v.retire(b)
		}
		v.prepared = ahead
	}
	if last == nil {
		last = fmt.Errorf("%w: no erased block is left", ErrNoSpace)
	}
	if v.failure == nil && len(v.prepared) == 0 {
		v.failure = last
	}
	return last
}

// moved is a part that was copied to another place.
type moved struct {
	from *part
	to   part
}

// open makes the head ready for data: it copies what the block to be
// erased next holds, says so in a mark, and only then erases it. Until the mark
// is written the head holds nothing of its own.
func (v *Vault) open() error {
	marked := false
	for retired := 0; retired <= 2; {
		victim := v.victim()
		if victim < 0 && marked {
			return nil
		}
		err := v.replace(victim, marked)
		if errors.Is(err, errUnreadable) {
			if v.leaveOut(victim); v.failure == nil { // what it holds may come back
				continue
			}
		}
		if marked && err != nil {
			return nil // the head is in use; one erased block less, until the next
		}
		if err != nil || victim < 0 {
			return err
		}
		marked = true
		if err := v.prepare(victim); err != nil {
			v.retire(victim)
			retired++
			continue
		}
		v.prepared = append(v.prepared, victim)
	}
	return nil
}

// replace copies what is needed of a block into the head and writes the mark that
// says so; a mark alone where victim is -1.
func (v *Vault) replace(victim int, marked bool) error {
	m := mark{Covers: integer(victim)}
	if victim >= 0 {
		m.Seq = v.blocks[victim].seq
	}
	payload := v.markPayload(&m)
	var copies []moved
	if victim >= 0 && !v.blocks[victim].void {
		var err error
		if copies, err = v.carry(victim, v.limit-v.size(len(payload), flagCopy)); err != nil {
			return err
		}
	}
	f := fragment{kind: kindMark, flags: flagCopy | flagLast, rev: v.rev, total: uint32(len(payload)), value: valueHash(payload)}
	if _, err := v.append(f, payload); err != nil {
		return err
	}
	if !marked {
		v.limit = v.block - v.chunk - v.size(maxMark, flagCopy) + v.size(len(payload), flagCopy)
	}
	for _, c := range copies {
		*c.from = c.to
	}
	if victim >= 0 {
		v.blocks[victim].void = true
	}
	return nil
}

func (v *Vault) markPayload(m *mark) []byte {
	for _, e := range v.keys {
		if e.known > 0 {
			m.Newest = append(m.Newest, newest{bounded.Text(e.key), e.known})
		}
	}
	return m.encode()
}

// parts calls f for every part that is needed.
func (v *Vault) parts(f func(k kind, key string, r *revision, p *part)) {
	each := func(key string, r *revision) {
		if r == nil {
			return
		}
		k := kindValue
		if r.tombstone {
			k = kindTombstone
		}
		for i := range r.parts {
			f(k, key, r, &r.parts[i])
		}
	}
	for _, e := range v.keys {
		each(e.key, e.newest)
		each(e.key, e.previous)
	}
	each("", v.pending)
	for i := range v.messages {
		if m := &v.messages[i]; m.rev != 0 {
			f(kindMessage, "", nil, &m.part)
		}
	}
}

// carry copies what is needed of a block to the head, up to an offset there.
func (v *Vault) carry(victim, limit int) (copies []moved, err error) {
	tries := 0
	var failed error
	v.parts(func(_ kind, _ string, _ *revision, p *part) {
		if err != nil || p.block != victim {
			return
		}
		f, payload, e := v.load(*p)
		if e != nil {
			v.fail(e)
			if errors.Is(e, ErrDamaged) {
				return // nothing is left to be carried; reading it will say so
			}
			err = fmt.Errorf("%w: %w", errUnreadable, e)
			return
		}
		payload = bytes.Clone(payload)
		f.flags |= flagCopy
		for {
			if v.w+v.size(len(payload), f.flags) > limit {
				if err = failed; err == nil {
					err = errNoRoom
				}
				return
			}
			to, e := v.append(f, payload)
			if e == nil {
				copies = append(copies, moved{p, to})
				return
			}
			if failed, tries = e, tries+1; tries >= writeTries {
				err = e
				return
			}
		}
	})
	return copies, err
}
