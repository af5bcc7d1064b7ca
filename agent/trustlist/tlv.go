package trustlist

import "encoding/binary"

// Tag is the first byte of an element. Header and record number theirs apart.
type Tag uint8

// Tags of header elements.
const (
	tagVersion         Tag = 0x01
	tagHeaderLength    Tag = 0x02
	tagSignerID        Tag = 0x03 // container of the next three
	tagSignerName      Tag = 0x04
	tagSignerSerial    Tag = 0x05
	tagSignerIssuer    Tag = 0x06
	tagSignatureInfo   Tag = 0x07 // container of the next two
	tagDigestAlgorithm Tag = 0x08
	tagSignatureAlgo   Tag = 0x09 // container of the next two
	tagAlgorithm       Tag = 0x0a
	tagModulus         Tag = 0x0b
	tagSignature       Tag = 0x0c
	tagPad             Tag = 0x0d // a bare byte: neither length nor value
	tagFileName        Tag = 0x0e
	tagTimestamp       Tag = 0x0f
	tagEncryptionInfo  Tag = 0x10 // container of the IV and key information
	tagIVInfo          Tag = 0x11 // container of 0x12 to 0x14
	tagIVAlgorithm     Tag = 0x12
	tagIV              Tag = 0x13
	tagPadLength       Tag = 0x14
	tagKeyInfo         Tag = 0x15 // container of 0x16 to 0x19
	tagKeyAlgorithm    Tag = 0x16
	tagKeyBits         Tag = 0x17
	tagWrapAlgorithm   Tag = 0x18
	tagWrappedKey      Tag = 0x19
	tagPlainDigest     Tag = 0x1a
	tagPlainHash       Tag = 0x1b
	tagSignerVersion   Tag = 0x1c

	lastHeaderTag = tagSignerVersion
)

// Tags of record elements, in the order in which CUCM writes them.
const (
	RecordLength  Tag = 0x01
	DNSName       Tag = 0x02
	SubjectName   Tag = 0x03
	Function      Tag = 0x04
	IssuerName    Tag = 0x05
	SerialNumber  Tag = 0x06
	PublicKey     Tag = 0x07
	Signature     Tag = 0x08
	Certificate   Tag = 0x09
	IPAddress     Tag = 0x0a
	CertHash      Tag = 0x0b
	HashAlgorithm Tag = 0x0c

	lastRecordTag = HashAlgorithm
)

const elementOverhead = 3 // bytes: tag and length

// element is one tag, length and value. value aliases the file.
type element struct {
	tag   Tag
	at    int // offset of the tag in the file
	value []byte
}

// valueAt is the offset of the element's value in the file.
func (e element) valueAt() int { return e.at + elementOverhead }

// end is the offset behind the element.
func (e element) end() int { return e.at + elementOverhead + len(e.value) }

// reader walks the elements of data[pos:end]. It is the only code that turns a
// length in a file into a slice.
type reader struct {
	data     []byte
	pos, end int
	within   string // what is being read, for error texts
}

func (r *reader) more() bool { return r.pos < r.end }

// next returns the element at pos and moves behind it.
func (r *reader) next() (element, error) {
	at := r.pos
	rest := r.data[at:r.end]
	if len(rest) < elementOverhead {
		return element{}, r.broken()
	}
	end := elementOverhead + int(binary.BigEndian.Uint16(rest[1:]))
	if end > len(rest) {
		return element{}, r.broken()
	}
	r.pos = at + end
	return element{tag: Tag(rest[0]), at: at, value: rest[elementOverhead:end:end]}, nil
}

// broken says why there is no element at pos. It stands apart to keep next small.
func (r *reader) broken() error {
	left := r.end - r.pos
	if left < elementOverhead {
		return malformed(r.pos, "%s ends inside an element's tag and length", r.within)
	}
	return malformed(r.pos, "element 0x%02x of %d bytes is longer than the %d left in the %s",
		r.data[r.pos], binary.BigEndian.Uint16(r.data[r.pos+1:]), left-elementOverhead, r.within)
}

// inside returns a reader over the elements that e contains.
func (r reader) inside(e element, within string) reader {
	return reader{data: r.data, pos: e.valueAt(), end: e.end(), within: within}
}

// uint8Of returns the value of an element that must be one byte.
func uint8Of(e element, what string) (uint8, error) {
	if len(e.value) != 1 {
		return 0, malformed(e.at, "%s is %d bytes long, not 1", what, len(e.value))
	}
	return e.value[0], nil
}

// uint16Of returns the value of an element that must be two bytes.
func uint16Of(e element, what string) (uint16, error) {
	if len(e.value) != 2 {
		return 0, malformed(e.at, "%s is %d bytes long, not 2", what, len(e.value))
	}
	return binary.BigEndian.Uint16(e.value), nil
}
