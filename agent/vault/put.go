package vault

import (
	"fmt"
	"sort"
)

// Put stores a value of at most MaxValue bytes. When it returns nil, the value
// or a later one is read from then on. When it errs the old value stays in force, after
// a restart too; only after ErrUncertain may that find the new one. A *flash.Error
// in the chain tells operation and offset where the flash failed.
func (v *Vault) Put(key string, value []byte) error {
	return v.write(key, kindValue, value)
}

// Delete removes a key; an absent one is no error. Its errors mean what those of
// Put mean.
func (v *Vault) Delete(key string) error {
	v.mu.Lock()
	e := v.entry(key)
	absent := e == nil && !v.doubt || e != nil && e.newest != nil && e.newest.tombstone && !e.degraded()
	v.mu.Unlock()
	if absent {
		return checkKey(key)
	}
	return v.write(key, kindTombstone, nil)
}

func (v *Vault) write(key string, k kind, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := checkKey(key); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("%s: %w: %d bytes, a value has at most %d", key, ErrNoSpace, len(value), MaxValue)
	}
	if v.failure != nil {
		return fmt.Errorf("%s: %w: %w", key, ErrReadOnly, v.failure)
	}
	e := v.entry(key)
	if e == nil && len(v.keys) >= MaxKeys {
		return fmt.Errorf("%s: %w: %d keys", key, ErrNoSpace, MaxKeys)
	}
	if need := v.live(key) + v.footprint(len(value)); need > v.budget {
		return fmt.Errorf("%s: %w: %d bytes would be stored, the flash has room for %d", key, ErrNoSpace, need, v.budget)
	}
	if e != nil {
		e.previous = nil // two revisions are stored, the one being written included
	}
	if err := v.update(key, k == kindTombstone, value); err != nil {
		return fmt.Errorf("%s: %w", key, v.withdraw(key, err))
	}
	return nil
}

// update writes a new revision of a key and puts it into force.
func (v *Vault) update(key string, tombstone bool, value []byte) error {
	k := kindValue
	if tombstone {
		k = kindTombstone
	}
	v.rev++
	r := &revision{rev: v.rev, tombstone: tombstone, total: len(value), value: valueHash(value), perfect: true}
	v.ends = v.ends[:0]
	v.pending = r
	err := v.writeParts(k, key, r, value)
	v.pending = nil
	if err != nil {
		return err
	}
	e := v.entry(key)
	if e == nil {
		e = &entry{key: key}
		v.keys = append(v.keys, e)
	}
	e.previous, e.newest, e.known, e.doubt = e.newest, r, r.rev, false
	return nil
}

// withdraw sees to it that an update which failed is not found by the next mount:
// its end may have been written, whatever the flash said. What is in force is
// written once more, with a later revision. It returns the error of the update.
func (v *Vault) withdraw(key string, cause error) error {
	if v.nothingEnded() {
		return cause
	}
	err := v.repeat(key)
	if err == nil {
		return cause
	}
	if v.failure == nil {
		v.failure = fmt.Errorf("an update of %s failed and could not be withdrawn: %w", key, err)
	}
	return fmt.Errorf("%w: %w", ErrUncertain, cause)
}

// nothingEnded reports whether no commit mark of the last update has left a trace.
func (v *Vault) nothingEnded() bool {
	b := make([]byte, trailerSize)
	for _, off := range v.ends {
		if v.readFlash(b, off) != nil || usedLength(b) > 0 {
			return false
		}
	}
	return true
}

// repeat writes the value in force of a key once more, or that there is none.
func (v *Vault) repeat(key string) error {
	e := v.entry(key)
	switch {
	case e == nil && v.doubt, e != nil && (e.newest == nil || e.degraded()):
		return fmt.Errorf("%w: the old value cannot be repeated", ErrDamaged) // nor may it seem sound
	case e == nil || e.newest.tombstone:
		return v.update(key, true, nil)
	}
	if need := v.live(key) + v.footprint(e.newest.total); need > v.budget {
		return fmt.Errorf("%w: %d bytes would be stored, the flash has room for %d", ErrNoSpace, need, v.budget)
	}
	value, err := v.read(e.newest)
	if err != nil {
		return err
	}
	return v.update(key, false, value)
}

// Limit returns how many bytes a value of a key may have now, at most MaxValue: what
// Put would accept. It returns -1 where Put would accept none.
func (v *Vault) Limit(key string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if checkKey(key) != nil || v.failure != nil || v.entry(key) == nil && len(v.keys) >= MaxKeys {
		return -1
	}
	free := v.budget - v.live(key)
	return sort.Search(MaxValue+1, func(n int) bool { return v.footprint(n) > free }) - 1
}

// live returns the bytes that must be stored while key is written: one revision of
// it, two of the others, and the messages.
func (v *Vault) live(key string) int {
	n := (v.messageSlots + 1) * v.size(maxMessage, 0)
	for _, e := range v.keys {
		if e.newest != nil {
			n += v.footprint(e.newest.total)
		}
		if e.previous != nil && e.key != key {
			n += v.footprint(e.previous.total)
		}
	}
	return n
}

// footprint bounds the bytes that a value needs.
func (v *Vault) footprint(n int) int {
	if n <= minPayload {
		return v.size(n, 0) // it is never split
	}
	parts := 2 + n/(v.usable()-headerSize-hashSize)
	return n + parts*(headerSize+hashSize+v.align(trailerSize)+v.grain)
}

// usable returns how much of a block can always hold fragments.
func (v *Vault) usable() int {
	return v.block - v.first() - v.chunk - v.size(maxMark, flagCopy) - v.size(minPayload, 0)
}
