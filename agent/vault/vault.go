package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"itlagent/platform/flash"
)

// Errors that callers branch on. An absent key gives fs.ErrNotExist.
var (
	ErrNoVault  = errors.New("the flash holds no vault")
	ErrVersion  = errors.New("the vault has a newer format")
	ErrDamaged  = errors.New("damaged")
	ErrGeometry = errors.New("another geometry") // beside ErrDamaged: the vault may be whole
	ErrNoSpace  = errors.New("no space")
	ErrReadOnly = errors.New("the vault is read-only")
	// ErrUncertain is in the chain of an error of Put or Delete after which the next
	// Open finds the old or the new value. Until then Get returns the old one, and
	// the vault is read-only.
	ErrUncertain = errors.New("the old or the new value will be found after a restart")
)

// Options are what Open needs beside the flash.
type Options struct {
	// Rand is read once, when a vault is made: 16 bytes that no value can guess.
	Rand io.Reader
	// Format says whether a vault is made where there is none. Only FormatAny
	// destroys anything.
	Format Format
}

// Vault is an open vault. Its methods are safe for concurrent use.
type Vault struct {
	mu  sync.Mutex
	dev flash.Flash
	layout

	blocks   []block
	head, w  int   // block that is written, and where
	limit    int   // where data ends in the head
	retiring []int // blocks that failed, and are not yet marked bad
	prepared []int // erased blocks behind the head, in the order of the ring
	keys     []*entry
	messages []stored // oldest first
	rev      uint64   // last that was used
	pending  *revision
	ends     []int // where commit marks of the last update's end may be, in bytes
	doubt    bool  // a part of the flash could not be read
	failure  error // why the vault is read-only
	budget   int   // bytes of live fragments that may be stored
	// messageSlots is how many messages are stored.
	messageSlots int
	limiter      limiter

	health Health
	buf    []byte // of one fragment
}

// block is what is known of an erase block.
type block struct {
	bad     bool
	void    bool // holds nothing that is needed; to be erased before use
	claim   bool // its header claims the flash for a vault that is being made
	suspect bool // a program of it failed: to be retired instead of erased
	seq     uint64
	erases  uint32
	free    int // where it may be programmed
}

// entry is a key.
type entry struct {
	key              string
	newest, previous *revision
	known            uint64 // newest revision that is known to have been committed
	doubt            bool   // a newer one may be in what could not be read
}

// revision is one value of a key.
type revision struct {
	rev       uint64
	tombstone bool
	total     int
	value     [valueHashSize]byte
	parts     []part // in order, without gaps
	perfect   bool   // every commit mark is whole
}

// part is the place of a fragment.
type part struct{ block, at, length int }

// Health is the state of a vault.
type Health struct {
	Sequence uint64   // of the newest write; never falls
	Degraded []string // keys whose newest value is damaged, or may be
	Bad      []int    // blocks that are not used
	MinWear  uint32   // erases of the good blocks
	MaxWear  uint32
	Blocks   int
	ReadOnly error // why nothing can be written; nil where it can
	Failures int   // operations that failed or did not read back, since Open
	Last     error // the last of them
}

// Health returns the state of the vault.
func (v *Vault) Health() Health {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.health
	h.Sequence, h.Blocks, h.ReadOnly = v.rev, len(v.blocks), v.failure
	h.Degraded, h.Bad = nil, nil
	for _, e := range v.keys {
		if e.degraded() {
			h.Degraded = append(h.Degraded, e.key)
		}
	}
	first := true
	for i := range v.blocks {
		b := &v.blocks[i]
		if b.bad {
			h.Bad = append(h.Bad, i)
			continue
		}
		if first || b.erases < h.MinWear {
			h.MinWear = b.erases
		}
		h.MaxWear = max(h.MaxWear, b.erases)
		first = false
	}
	return h
}

func (e *entry) degraded() bool {
	return e.doubt || e.newest == nil && e.known > 0 || e.newest != nil && e.known > e.newest.rev
}

// checkKey wants 1 to MaxKeyLength lower-case letters.
func checkKey(key string) error {
	if key == "" || len(key) > MaxKeyLength {
		return fmt.Errorf("vault key %.40q", key)
	}
	for i := range len(key) {
		if key[i] < 'a' || key[i] > 'z' {
			return fmt.Errorf("vault key %.40q", key)
		}
	}
	return nil
}

func (v *Vault) entry(key string) *entry {
	i := slices.IndexFunc(v.keys, func(e *entry) bool { return e.key == key })
	if i < 0 {
		return nil
	}
	return v.keys[i]
}

// Get returns the newest value of a key. Where that is damaged it returns the
// revision before, and Health names the key; where there is none before, or the
// key had been deleted then, ErrDamaged: a lost list is not
// the same as none.
func (v *Vault) Get(key string) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := checkKey(key); err != nil {
		return nil, err
	}
	e := v.entry(key)
	switch {
	case e == nil && v.doubt:
		return nil, fmt.Errorf("%s: %w: a part of the flash cannot be read", key, ErrDamaged)
	case e == nil:
		return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	for e.newest != nil {
		r := e.newest
		if r.tombstone {
			if e.degraded() {
				break
			}
			return nil, fmt.Errorf("%s: %w", key, fs.ErrNotExist)
		}
		value, err := v.read(r)
		if err == nil {
			return value, nil
		}
		var device *flash.Error
		if errors.As(err, &device) {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		e.newest, e.previous = e.previous, nil // damaged since it was mounted
	}
	return nil, fmt.Errorf("%s: %w", key, ErrDamaged)
}

// read assembles a value and checks each fragment's hash and the value's.
func (v *Vault) read(r *revision) ([]byte, error) {
	value := make([]byte, 0, r.total)
	for _, p := range r.parts {
		_, payload, err := v.load(p)
		if err != nil {
			return nil, err
		}
		value = append(value, payload...)
	}
	if len(value) != r.total || valueHash(value) != r.value {
		return nil, fmt.Errorf("revision %d: %w", r.rev, ErrDamaged)
	}
	return value, nil
}

// load reads one fragment into v.buf and checks it, more than once where that
// fails.
func (v *Vault) load(p part) (f fragment, payload []byte, err error) {
	n := headerSize + p.length + hashSize
	b := v.buffer(n)
	for range readTries {
		if err = v.dev.Read(b, p.block*v.block+p.at); err != nil {
			continue
		}
		f, ok := v.decodeFragment(b, n)
		if ok && int(f.length) == p.length {
			if sum := v.hash(p.block, p.at, b[:n-hashSize]); string(sum[:]) == string(b[n-hashSize:]) {
				return f, b[headerSize : headerSize+p.length], nil
			}
		}
		err = fmt.Errorf("block %d, offset 0x%x: %w", p.block, p.at, ErrDamaged)
	}
	return fragment{}, nil, err
}

// buffer returns n bytes that are good until the next call.
func (v *Vault) buffer(n int) []byte {
	if cap(v.buf) < n {
		v.buf = make([]byte, n)
	}
	return v.buf[:n]
}

// fail counts a failure.
func (v *Vault) fail(err error) error {
	v.health.Failures++
	v.health.Last = err
	return err
}

// Tell writes the vault's health for people.
func (v *Vault) Tell(w io.Writer) error {
	h := v.Health()
	_, err := fmt.Fprintf(w, "%d erase blocks, bad %v, erased %d to %d times\n%d updates, damaged keys %v\n", h.Blocks, h.Bad, h.MinWear, h.MaxWear, h.Sequence, h.Degraded)
	if h.ReadOnly != nil && err == nil {
		_, err = fmt.Fprintf(w, "read-only: %v\n", h.ReadOnly)
	}
	return err
}
