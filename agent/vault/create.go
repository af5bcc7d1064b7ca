package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format says when Open makes a vault where it finds none.
type Format uint8

const (
	// FormatNever makes none: Open mounts a vault or returns an error.
	FormatNever Format = iota
	// FormatErased makes one on flash that is erased from end to end, and completes
	// a first format that a power cut has interrupted.
	FormatErased
	// FormatAny makes one wherever none can be mounted: over damaged blocks, a newer
	// version and other data, all of which it destroys. A vault that can be mounted
	// stays as it is.
	FormatAny
)

// Formattable reports whether an error of Open says that the flash holds no vault
// that can be mounted, of which FormatAny may make one.
func Formattable(err error) bool {
	return errors.Is(err, ErrNoVault) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrVersion)
}

// While a vault is made, one block has a header with 0 erases: it claims the flash.
// It is written first, into a block that is erased already, so that a cut leaves
// erased flash, a part of one header, or a claim. Under a claim nothing has been
// stored: the block is erased, and gets its ordinary header, once the first mark
// stands and before anything else is written. So flash with a claim may be
// formatted without being asked, and flash without one may not, however new its
// vault looks.

// content tells what a block of flash without a vault holds.
type content uint8

const (
	contentErased content = iota
	contentTorn           // nothing but a part of a block's header
	contentFresh          // a block's header, made with the vault, and nothing behind it
	contentClaim          // the header that claims the flash
	contentOther
)

// survey is what there is on flash that holds no vault.
type survey struct {
	blocks    []content // contentOther for bad ones
	count     [contentOther + 1]int
	headers   int    // damaged block headers
	parts     int    // blocks without a whole header in which fragments of a vault are
	zero      int    // blocks of zeros
	known     string // kind of other data, where it is known, and its block
	good      int
	resumable bool
}

// survey reads every block again and tells what it holds.
func (m *mount) survey() *survey {
	s := &survey{blocks: make([]content, len(m.blocks))}
	buf := make([]byte, m.block)
	for i := range m.blocks {
		if s.blocks[i] = contentOther; m.blocks[i].bad && !m.unreadable[i] {
			continue
		}
		s.good++
		lost := m.readBlock(i, buf)
		s.blocks[i] = m.contentOf(i, buf, lost)
		s.count[s.blocks[i]]++
		if s.blocks[i] == contentOther && len(lost) == 0 {
			s.describe(m, i, buf)
		}
	}
	claimed := s.count[contentClaim] == 1 && s.count[contentOther] <= 1 && s.known == ""
	blank := s.count[contentErased] > 0 && s.count[contentErased]+s.count[contentTorn] == s.good
	s.resumable = claimed || blank
	return s
}

// contentOf tells what a block holds. lost has the places that cannot be read.
func (m *mount) contentOf(i int, buf []byte, lost []int) content {
	behind := usedLength(buf[m.first():]) > 0
	h, _, whole := decodeBlockHeader(buf)
	switch {
	case m.onlyHeaderLost(lost, buf):
		return contentTorn
	case len(lost) > 0:
		return contentOther
	case whole && (h.id != m.id || int(h.block) != i || h.by != 0 || behind):
		return contentOther
	case whole && h.erases == 0:
		return contentClaim
	case whole:
		return contentFresh
	case usedLength(buf) == 0:
		return contentErased
	case usedLength(buf[blockHeaderSize:]) == 0 && m.partOfHeader(i, buf[:blockHeaderSize]):
		return contentTorn
	}
	return contentOther
}

// partOfHeader reports whether an interrupted program of a block's header leaves
// such bytes: only bits that the header clears are clear. Bytes of the header that
// are not known here may have any bits.
func (m *mount) partOfHeader(i int, b []byte) bool {
	var want [blockHeaderSize]byte
	h := blockHeader{eraseShift: log2(m.block), programShift: log2(m.dev.Geometry().ProgramSize), block: uint32(i)}
	h.encode(want[:])
	clear(want[blockHeaderSize-4:]) // the checksum
	for k := range want {
		if b[k]&want[k] != want[k] {
			return false
		}
	}
	return true
}

// magics begin other things that flash may hold.
var magics = []struct{ bytes, what string }{
	{"\x85\x19", "JFFS2"}, {"\x19\x85", "JFFS2"}, {"UBI#", "UBI"}, {"\x31\x18\x10\x06", "UBIFS"}, {"hsqs", "SquashFS"}, {"sqsh", "SquashFS"},
	{"\x27\x05\x19\x56", "a U-Boot image"}, {"\xd0\x0d\xfe\xed", "a device tree or FIT image"}, {"\x45\x3d\xcd\x28", "cramfs"},
	{"\x28\xcd\x3d\x45", "cramfs"}, {"-rom1fs-", "romfs"}, {"\x7fELF", "an ELF program"}, {"\x1f\x8b\x08", "gzip"}, {"\xfd7zXZ", "xz"},
}

// describe notes what is known of a block that holds something else.
func (s *survey) describe(m *mount, i int, buf []byte) {
	if bytes.HasPrefix(buf, []byte(blockMagic)) {
		if _, _, ok := decodeBlockHeader(buf); !ok {
			s.headers++
		}
	}
	for at := m.first(); at+headerSize <= len(buf); at += m.grain {
		if string(buf[at:at+len(fragmentMagic)]) == fragmentMagic {
			s.parts++
			break
		}
	}
	if len(bytes.Trim(buf, "\x00")) == 0 {
		s.zero++
	}
	for _, k := range magics {
		if s.known == "" && bytes.HasPrefix(buf, []byte(k.bytes)) {
			s.known = fmt.Sprintf("block %d begins like %s", i, k.what)
		}
	}
}

// vault reports whether there are traces of a vault.
func (s *survey) vault() bool {
	return s.headers+s.parts+s.count[contentFresh]+s.count[contentClaim] > 0
}

// String tells in one line what was found.
func (s *survey) String() string {
	if s.count[contentErased] == s.good {
		return fmt.Sprintf("all %d blocks are erased", s.good)
	}
	found := []string{fmt.Sprintf("%d of %d blocks are erased", s.count[contentErased], s.good)}
	for _, f := range []struct {
		n    int
		what string
	}{
		{s.count[contentFresh] + s.count[contentClaim], "have the header of a vault, and nothing in them"},
		{s.headers + s.count[contentTorn], "have a damaged header of a vault"},
		{s.parts, "have parts of a vault"},
		{s.zero, "are zero"},
	} {
		if f.n > 0 {
			found = append(found, fmt.Sprintf("%d %s", f.n, f.what))
		}
	}
	if s.known != "" {
		found = append(found, s.known)
	} else if !s.vault() && s.zero == 0 {
		found = append(found, "the others hold unknown data")
	}
	return strings.Join(found, ", ")
}

// create makes a vault, or completes one whose making was interrupted.
func (m *mount) create(s *survey, random io.Reader) error {
	if random == nil {
		return errors.New("no source of randomness")
	}
	if !s.resumable || s.count[contentClaim] == 0 {
		if _, err := io.ReadFull(random, m.id[:]); err != nil {
			return err
		}
	}
	for i := range m.blocks {
		if !s.resumable || s.blocks[i] != contentFresh {
			// What cannot be read may work again once it is erased.
			m.blocks[i] = block{bad: m.blocks[i].bad && !m.unreadable[i]}
		}
	}
	m.head, m.rev, m.doubt = -1, 0, false
	claim, err := m.claim(s)
	if err != nil {
		return err
	}
	for i := m.next(claim); i != claim; i = m.next(i) {
		if b := &m.blocks[i]; b.seq <= m.lastSeq() {
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
	m.setCapacity()
	m.head, m.prepared = m.prepared[0], m.prepared[1:]
	m.w, m.limit = m.blocks[m.head].free, m.block
	if err := m.open(); err != nil {
		return err
	}
	m.release(claim)
	return nil
}

// claim returns the block that claims the flash, once there is one.
func (m *mount) claim(s *survey) (int, error) {
	if i := slices.Index(s.blocks, contentClaim); i >= 0 && s.resumable {
		return i, nil
	}
	last := fmt.Errorf("%w: no block to begin with", ErrNoSpace)
	for i := len(m.blocks) - 1; i >= 0; i-- {
		if m.blocks[i].bad || s.resumable && s.blocks[i] != contentErased {
			continue
		}
		if !s.resumable {
			if last = m.erase(i); last != nil {
				continue
			}
		}
		if last = m.writeHeader(i, blockHeader{seq: uint64(len(m.blocks))}); last == nil {
			return i, nil
		}
	}
	return 0, last
}

// release turns the block that claims the flash into an ordinary one. Where that
// fails the vault goes without it.
func (v *Vault) release(claim int) {
	v.blocks[claim].erases = 0
	if err := v.prepare(claim); err != nil {
		v.retire(claim)
		return
	}
	v.prepared = append(v.prepared, claim)
}
