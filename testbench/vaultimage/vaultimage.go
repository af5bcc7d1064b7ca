// Package vaultimage reads the raw flash image of a vault, for post-mortems. It
// shares no code with the vault itself: it follows docs/vault-format.md, and is
// the tests' second opinion.
//
//	img, err := vaultimage.Read(data, 0)
//	for _, k := range img.Keys {
//		fmt.Println(k.Name, k.Revision, len(k.Value))
//	}
//
// Read never writes, accepts any bytes, and needs at most as much memory again as
// the image. It is a pure function and safe for concurrent use.
package vaultimage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"sort"
	"strings"
)

// Image is what was read.
type Image struct {
	Version                int
	EraseSize, ProgramSize int
	ID                     [16]byte
	Sequence               uint64 // the highest revision met
	Blocks                 []Block
	Keys                   []Key // by name
	Messages               []Message
	Damage                 []Damage
}

// Block is one erase block.
type Block struct {
	Header    bool // its header is whole
	Seq       uint64
	Erases    uint32
	Used      int // bytes up to the last that is not erased
	Fragments int // whole and committed ones
	Skipped   int // bytes that are not erased and belong to nothing, as of a program that was cut
}

// Key is one key with its newest whole value.
type Key struct {
	Name     string
	Revision uint64 // of the value; 0 where none is whole
	Deleted  bool
	Value    []byte
	Known    uint64 // newest revision that was committed; above Revision: damaged
}

// Degraded reports whether the newest value is damaged.
func (k *Key) Degraded() bool { return k.Known > k.Revision }

// Message is one entry of the phone's messages.
type Message struct {
	Revision   uint64
	Time, Last int64 // Unix seconds
	Count      int
	Text       string

	replaces uint64
}

// Damage is something that cannot be read. What power failed to finish is not
// damage, and Lost is false for it.
type Damage struct {
	Block, Offset int // Offset counts from the start of the block
	What          string
	Lost          bool // it had been committed
}

// ErrNoVault says that no block has a vault's header.
var ErrNoVault = errors.New("no block begins with a vault's header")

const newestVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Read reads an image. eraseSize is needed only where the headers disagree or
// none is whole at a multiple of 1 KiB; 0 otherwise.
func Read(data []byte, eraseSize int) (*Image, error) {
	img, err := headers(data, eraseSize)
	if err != nil {
		return nil, err
	}
	r := reader{img: img, data: data, grain: max(img.ProgramSize, 16)}
	for i := range img.Blocks {
		r.block(i)
	}
	r.assemble()
	return img, nil
}

// headers finds the geometry and identity that most headers name.
func headers(data []byte, eraseSize int) (*Image, error) {
	type vote struct {
		erase, program, version uint16
		id                      [16]byte
	}
	votes := map[vote]int{}
	head := func(at int) (v vote, seq uint64, erases, block uint32, ok bool) {
		if at+64 > len(data) {
			return
		}
		b := data[at : at+64]
		if string(b[:8]) != "ITLVAULT" || crc32.Checksum(b[:60], castagnoli) != binary.BigEndian.Uint32(b[60:]) || b[10] > 30 || b[11] > 30 {
			return
		}
		v = vote{uint16(b[10]), uint16(b[11]), binary.BigEndian.Uint16(b[8:]), [16]byte(b[12:28])}
		return v, binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint32(b[28:]), binary.BigEndian.Uint32(b[48:]), true
	}
	step := 1024
	if eraseSize > 0 {
		step = eraseSize
	}
	for at := 0; at < len(data); at += step {
		if v, _, _, block, ok := head(at); ok && int(block)<<v.erase == at {
			votes[v]++
		}
	}
	var best vote
	for v, n := range votes {
		if n > votes[best] || n == votes[best] && string(v.id[:]) > string(best.id[:]) {
			best = v
		}
	}
	if votes[best] == 0 {
		return nil, ErrNoVault
	}
	if best.version > newestVersion {
		return nil, fmt.Errorf("format version %d, this reader knows up to %d", best.version, newestVersion)
	}
	img := &Image{Version: int(best.version), EraseSize: 1 << best.erase, ProgramSize: 1 << best.program, ID: best.id}
	if eraseSize > 0 && eraseSize != img.EraseSize {
		return nil, fmt.Errorf("the headers say erase blocks of %d bytes, not %d", img.EraseSize, eraseSize)
	}
	if img.EraseSize < 1024 || len(data)%img.EraseSize != 0 || img.ProgramSize > img.EraseSize {
		return nil, fmt.Errorf("an image of %d bytes does not consist of erase blocks of %d", len(data), img.EraseSize)
	}
	img.Blocks = make([]Block, len(data)/img.EraseSize)
	for i := range img.Blocks {
		b := &img.Blocks[i]
		for b.Used = img.EraseSize; b.Used > 0 && data[i*img.EraseSize+b.Used-1] == 0xff; {
			b.Used--
		}
		if v, seq, erases, block, ok := head(i * img.EraseSize); ok && v == best && int(block) == i {
			b.Header, b.Seq, b.Erases = true, seq, erases
		}
	}
	return img, nil
}

// piece is a committed part of a value.
type piece struct {
	rev           uint64
	deleted       bool
	value         [8]byte // begins the value's SHA-256
	offset, total int
	data          []byte
}

type reader struct {
	img    *Image
	data   []byte
	grain  int
	pieces map[string][]piece
	known  map[string]uint64
}

func (r *reader) round(n int) int { return (n + r.grain - 1) / r.grain * r.grain }

// salted is the checksum of a vault's own headers.
func (r *reader) salted(b []byte) uint32 {
	return crc32.Checksum(append(slices.Clone(r.img.ID[:]), b...), castagnoli)
}

func (r *reader) damage(block, at int, lost bool, format string, args ...any) {
	r.img.Damage = append(r.img.Damage, Damage{block, at, fmt.Sprintf(format, args...), lost})
}

func (r *reader) note(key string, rev uint64) {
	if r.known == nil {
		r.known = map[string]uint64{}
	}
	r.known[key] = max(r.known[key], rev)
}

// block reads one erase block.
func (r *reader) block(n int) {
	b := r.data[n*r.img.EraseSize : (n+1)*r.img.EraseSize]
	info := &r.img.Blocks[n]
	first := r.round(64)
	if !info.Header && info.Used > first {
		r.damage(n, 0, false, "the block has content but no whole header")
	}
	for at := first; at < info.Used && at+32 <= len(b); {
		if size := r.fragment(n, at, b); size > 0 {
			at += size
			continue
		}
		if string(b[at:at+4]) == "ITLc" && r.salted(b[at:at+28]) == binary.BigEndian.Uint32(b[at+28:]) {
			key, rev := name(b[at+8:at+20]), binary.BigEndian.Uint64(b[at+20:])
			if r.img.Sequence = max(r.img.Sequence, rev); b[at+5]&2 != 0 && (b[at+4] == 1 || b[at+4] == 2) {
				r.note(key, rev)
			}
			r.damage(n, at, true, "commit mark of %q, revision %d, whose fragment is unreadable", key, rev)
			at += r.round(32)
			continue
		}
		if len(bytes.TrimLeft(b[at:min(at+r.grain, len(b))], "\xff")) > 0 {
			info.Skipped += r.grain
		}
		at += r.grain
	}
}

// fragment reads the fragment at an offset of block n, and returns what it takes
// up there; 0 where there is none.
func (r *reader) fragment(n, at int, b []byte) int {
	if at+64+16 > len(b) {
		return 0
	}
	h := b[at : at+64]
	if string(h[:4]) != "ITLf" || r.salted(h[:60]) != binary.BigEndian.Uint32(h[60:]) {
		return 0
	}
	kind, flags, key := h[4], h[5], name(h[8:20])
	rev, seq := binary.BigEndian.Uint64(h[20:]), binary.BigEndian.Uint64(h[28:])
	total, offset, length := int64(binary.BigEndian.Uint32(h[36:])), int64(binary.BigEndian.Uint32(h[40:])), int64(binary.BigEndian.Uint32(h[44:]))
	if kind < 1 || kind > 4 || total > 64<<10 || offset+length > total || length > int64(len(b)-at-64-16) {
		return 0
	}
	end := at + 64 + int(length)
	size := r.round(64 + int(length) + 16)
	r.img.Sequence = max(r.img.Sequence, rev)

	place := binary.BigEndian.AppendUint32(slices.Clone(r.img.ID[:]), uint32(n))
	place = binary.BigEndian.AppendUint32(place, uint32(at))
	sum := sha256.Sum256(append(place, b[at:end]...))
	whole := bytes.Equal(sum[:16], b[end:end+16])

	committed := true
	if flags&1 == 0 { // it has a commit mark
		want := append([]byte("ITLc"), kind, flags, 0, 0)
		want = append(want, h[8:28]...)
		want = binary.BigEndian.AppendUint32(want, r.salted(want))
		mark := at + size
		size += r.round(32)
		wrong := 0
		for i := range want {
			if mark+i < len(b) {
				wrong += bits.OnesCount8(want[i] ^ b[mark+i])
			} else {
				wrong = 256
			}
		}
		if committed = wrong <= 4; committed && flags&2 != 0 && (kind == 1 || kind == 2) {
			r.note(key, rev)
		}
	}
	info := &r.img.Blocks[n]
	switch {
	case !whole && flags&1 == 0 && committed:
		r.damage(n, at, true, "%q, revision %d: %d bytes are damaged", key, rev, length)
	case !whole || !committed:
		r.damage(n, at, false, "%q, revision %d: power was cut while %d bytes were written", key, rev, length)
	default:
		info.Fragments++
		if info.Seq == 0 {
			info.Seq = seq
		}
		r.add(kind, key, piece{rev, kind == 2, [8]byte(h[48:56]), int(offset), int(total), b[at+64 : end]})
	}
	return size
}

func name(b []byte) string { return strings.TrimRight(string(b), "\x00") }

func (r *reader) add(kind byte, key string, p piece) {
	switch kind {
	case 1, 2:
		if r.pieces == nil {
			r.pieces = map[string][]piece{}
		}
		r.pieces[key] = append(r.pieces[key], p)
	case 3:
		m := unpacker{b: p.data}
		if m.array() == 5 {
			msg := Message{Revision: p.rev, Time: m.int(), Last: m.int(), Count: int(m.int())}
			msg.replaces, msg.Text = uint64(m.int()), m.str()
			if !m.bad {
				r.img.Messages = append(r.img.Messages, msg)
			}
		}
	case 4:
		m := unpacker{b: p.data}
		if m.array() == 3 {
			m.int()
			m.int()
			for range min(m.array(), 16) {
				if m.array() != 2 {
					break
				}
				if key, rev := m.str(), uint64(m.int()); !m.bad {
					r.note(key, rev)
					r.img.Sequence = max(r.img.Sequence, rev)
				}
			}
		}
	}
}

// assemble puts the pieces together and the messages in order.
func (r *reader) assemble() {
	names := map[string]bool{}
	for k := range r.pieces {
		names[k] = true
	}
	for k := range r.known {
		names[k] = true
	}
	for k := range names {
		key := Key{Name: k, Known: r.known[k]}
		for _, rev := range revisions(r.pieces[k]) {
			if value, deleted, ok := r.value(k, rev); ok {
				key.Revision, key.Value, key.Deleted = rev, value, deleted
				break
			}
		}
		if key.Known = max(key.Known, key.Revision); key.Known > 0 { // else it was never committed
			r.img.Keys = append(r.img.Keys, key)
		}
	}
	sort.Slice(r.img.Keys, func(i, j int) bool { return r.img.Keys[i].Name < r.img.Keys[j].Name })

	sort.SliceStable(r.img.Messages, func(i, j int) bool { return r.img.Messages[i].Revision < r.img.Messages[j].Revision })
	var out []Message
	for _, m := range r.img.Messages {
		if n := len(out); n > 0 && (out[n-1].Revision == m.Revision || m.replaces != 0 && out[n-1].Revision == m.replaces) {
			out = out[:n-1]
		}
		out = append(out, m)
	}
	r.img.Messages = out
}

// revisions lists the revisions of pieces, newest first.
func revisions(pieces []piece) (revs []uint64) {
	for _, p := range pieces {
		if !slices.Contains(revs, p.rev) {
			revs = append(revs, p.rev)
		}
	}
	slices.SortFunc(revs, func(a, b uint64) int {
		if a > b {
			return -1
		}
		return 1
	})
	return revs
}

// value lays the pieces of a revision into their places and checks the whole.
func (r *reader) value(key string, rev uint64) (value []byte, deleted, ok bool) {
	var of []piece
	for _, p := range r.pieces[key] {
		if p.rev == rev {
			of = append(of, p)
		}
	}
	for _, p := range of {
		if p.deleted {
			return nil, true, true
		}
		buf, have := make([]byte, p.total), make([]bool, p.total)
		for _, q := range of {
			if q.total == p.total && q.value == p.value {
				copy(buf[q.offset:], q.data)
				for i := range q.data {
					have[q.offset+i] = true
				}
			}
		}
		if sum := sha256.Sum256(buf); !slices.Contains(have, false) && bytes.Equal(sum[:8], p.value[:]) {
			return buf, false, true
		}
	}
	return nil, false, false
}
