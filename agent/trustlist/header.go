package trustlist

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// Signer names the certificate that signed a file. The fields alias the file;
// Name and Issuer come without their closing NUL.
type Signer struct {
	Name   []byte // subject of the certificate
	Issuer []byte
	Serial []byte // big-endian
}

// Header is what stands before the records or the content. Byte slices alias
// the file.
type Header struct {
	Version       Version
	Length        int     // bytes, signature and padding included
	SignerVersion Version // 0.0 where the element is absent
	Signer        Signer
	Digest        Digest
	Algorithm     uint8  // 0 is RSA PKCS#1 v1.5
	ModulusIndex  uint8  // into 64, 128, 256, 512 bytes
	Signature     []byte // as many bytes as the signer's modulus has
	FileName      []byte // without its closing NUL; nil where absent
	Timestamp     uint32 // Unix seconds; 0 where absent
	Encryption    *Encryption
	Pad           int // bare padding bytes
	Unknown       int // elements with a tag that is not known, skipped

	signerIDLength    int // bytes of SIGNERID's value
	nameLength        int // bytes of SIGNERNAME's value, NUL included
	issuerLength      int
	fileNameLength    int
	seen              uint64 // a bit for each known tag that was met
	signerAt          int    // offset of SIGNERID
	fileNameAt        int    // offset of FILENAME; 0 where absent
	sigAt, sigEnd     int    // the whole signature element
	digestAt, algorAt int
}

// Encryption is the part of an .enc.sgn header that says how to decrypt the
// content. The slices alias the file.
type Encryption struct {
	IV          []byte // 16 bytes
	PadLength   int    // bytes of padding behind the plaintext
	KeyBits     int    // size of the wrapping RSA key
	WrappedKey  []byte
	PlainDigest Digest
	PlainHash   []byte // digest of the plaintext
}

// Time returns the header's timestamp, or the zero Time where there is none.
func (h *Header) Time() time.Time {
	if !h.has(tagTimestamp) {
		return time.Time{}
	}
	return time.Unix(int64(h.Timestamp), 0)
}

// SignatureOffset returns where the signature's bytes begin in the file.
func (h *Header) SignatureOffset() int { return h.sigAt + elementOverhead }

// DigestOffset returns where DIGESTALGORTITHM's value is in the file.
func (h *Header) DigestOffset() int { return h.digestAt }

// SignerOffset returns where the SIGNERID element begins in the file.
func (h *Header) SignerOffset() int { return h.signerAt }

// FileNameOffset returns where the FILENAME element begins in the file, or 0
// where there is none.
func (h *Header) FileNameOffset() int { return h.fileNameAt }

// HeaderLengths are the sizes in bytes of header values, closing NULs included,
// as `show itl` prints them. Absent elements have 0.
type HeaderLengths struct {
	SignerID, SignerName, SignerIssuer, FileName, Timestamp, SignerVersion int
}

// HeaderLengths returns the sizes of the header's values.
func (h *Header) HeaderLengths() HeaderLengths {
	l := HeaderLengths{SignerID: h.signerIDLength, SignerName: h.nameLength, SignerIssuer: h.issuerLength, FileName: h.fileNameLength}
	if h.has(tagTimestamp) {
		l.Timestamp = 4
	}
	if h.has(tagSignerVersion) {
		l.SignerVersion = 2
	}
	return l
}

func (h *Header) has(t Tag) bool { return h.seen&(1<<t) != 0 }

// parseHeader reads the header of a file of at most limit bytes. It does not look
// at what kind of file it is: see Header.kind.
func parseHeader(data []byte, limit int) (*File, error) {
	if len(data) == 0 {
		return nil, &FileError{Err: ErrEmpty}
	}
	if len(data) > limit {
		return nil, &FileError{Offset: limit, Err: ErrTooLarge, Detail: "it exceeds the size limit of its kind"}
	}
	f := &File{data: data}
	h := &f.Header
	r, err := h.begin(data)
	if err != nil {
		return nil, err
	}
	p := headerParser{h: h}
	for r.more() {
		if Tag(data[r.pos]) == tagPad {
			r.pos++
			h.Pad++
			continue
		}
		e, err := r.next()
		if err != nil {
			return nil, err
		}
		if err := p.element(r, e, topLevel); err != nil {
			return nil, err
		}
	}
	if err := h.complete(); err != nil {
		return nil, err
	}
	return f, nil
}

// begin reads VERSION and HEADERLENGTH, which stand first in every file, and
// returns a reader over the rest of the header.
func (h *Header) begin(data []byte) (reader, error) {
	r := reader{data: data, end: len(data), within: "file"}
	e, err := r.next()
	if err != nil {
		return r, err
	}
	v, err := uint16Of(e, "VERSION")
	if e.tag != tagVersion || err != nil {
		return r, malformed(e.at, "not a trust list or signed file: it does not begin with a 2-byte VERSION")
	}
	h.Version = Version{uint8(v >> 8), uint8(v)}
	if h.Version.Major < 1 || h.Version.Major > 2 {
		return r, malformed(e.valueAt(), "header version %v is not 1.x or 2.x", h.Version)
	}
	if e, err = r.next(); err != nil {
		return r, err
	}
	n, err := uint16Of(e, "HEADERLENGTH")
	if e.tag != tagHeaderLength || err != nil {
		return r, malformed(e.at, "no 2-byte HEADERLENGTH behind VERSION")
	}
	if int(n) > len(data) || int(n) < r.pos {
		return r, malformed(e.valueAt(), "HEADERLENGTH %d does not fit a file of %d bytes", n, len(data))
	}
	h.Length = int(n)
	h.seen = 1<<tagVersion | 1<<tagHeaderLength
	r.end, r.within = h.Length, "header"
	return r, nil
}

// complete reports what a header lacks that every file of its sort has.
func (h *Header) complete() error {
	for _, need := range [...]struct {
		tag  Tag
		name string
	}{
		{tagSignerName, "SIGNERNAME"}, {tagSignerSerial, "SERIALNUMBER"}, {tagSignerIssuer, "CANAME"},
		{tagDigestAlgorithm, "DIGESTALGORTITHM"}, {tagAlgorithm, "SIGNATUREALGORTITHM"},
		{tagModulus, "SIGNATUREMODULUS"}, {tagSignature, "SIGNATURE"},
	} {
		if !h.has(need.tag) {
			return malformed(h.Length, "the header has no %s", need.name)
		}
	}
	if h.Encryption != nil {
		for _, tag := range [...]Tag{tagIV, tagPadLength, tagKeyBits, tagWrappedKey, tagPlainDigest, tagPlainHash} {
			if !h.has(tag) {
				return malformed(h.Length, "the header says how to decrypt, but has no element 0x%02x", uint8(tag))
			}
		}
	}
	if want := modulusSize(h.ModulusIndex); want != 0 && want != len(h.Signature) {
		return malformed(h.sigAt, "SIGNATURE is %d bytes long where SIGNATUREMODULUS says %d", len(h.Signature), want)
	}
	return nil
}

// headerParser reads the elements behind HEADERLENGTH in one of the known orders.
type headerParser struct {
	h    *Header
	last [len(headerOrders)]uint8 // place of the last element in each order
}

// place checks that an element stands where files have it: in its container, and
// behind the elements that come before it in one of the known orders.
func (p *headerParser) place(e element, container Tag) error {
	if containers[e.tag] != container {
		return malformed(e.at, "element 0x%02x does not belong %s", uint8(e.tag), containerName(container))
	}
	known := false
	for i := range p.last {
		if at := headerPlaces[i][e.tag]; at > p.last[i] {
			p.last[i], known = at, true
		} else {
			p.last[i] = notThisOrder
		}
	}
	if !known || p.h.Unknown > 0 || p.h.Pad > 0 {
		return malformed(e.at, "element 0x%02x stands where no known file has it", uint8(e.tag))
	}
	return nil
}

// element reads one header element that was met in r, entering containers.
func (p *headerParser) element(r reader, e element, container Tag) error {
	h := p.h
	if e.tag > lastHeaderTag || e.tag == 0 || e.tag == tagPad {
		if container != topLevel || h.Pad > 0 {
			return malformed(e.at, "unknown element 0x%02x stands before the end of the header", uint8(e.tag))
		}
		h.Unknown++
		return nil
	}
	if h.has(e.tag) {
		return malformed(e.at, "element 0x%02x occurs twice in the header", uint8(e.tag))
	}
	if err := p.place(e, container); err != nil {
		return err
	}
	h.seen |= 1 << e.tag
	if e.tag >= tagEncryptionInfo && e.tag <= tagPlainHash {
		if h.Encryption == nil {
			h.Encryption = new(Encryption)
		}
		if err := h.Encryption.set(e); err != nil {
			return err
		}
	} else if err := h.set(e); err != nil {
		return err
	}
	if !isContainer(e.tag) {
		return nil
	}
	for in := r.inside(e, containerNames[e.tag]); in.more(); {
		inner, err := in.next()
		if err != nil {
			return err
		}
		if err := p.element(in, inner, e.tag); err != nil {
			return err
		}
	}
	return nil
}

// set puts the value of an element into the header.
func (h *Header) set(e element) (err error) {
	switch e.tag {
	case tagSignerID:
		h.signerAt, h.signerIDLength = e.at, len(e.value)
	case tagSignerName:
		h.Signer.Name, h.nameLength = trimNUL(e.value), len(e.value)
	case tagSignerSerial:
		h.Signer.Serial = e.value
	case tagSignerIssuer:
		h.Signer.Issuer, h.issuerLength = trimNUL(e.value), len(e.value)
	case tagDigestAlgorithm:
		var n uint8
		n, err = uint8Of(e, "DIGESTALGORTITHM")
		h.Digest, h.digestAt = Digest(n), e.valueAt()
	case tagAlgorithm:
		h.Algorithm, err = uint8Of(e, "SIGNATUREALGORTITHM")
		h.algorAt = e.valueAt()
	case tagModulus:
		h.ModulusIndex, err = uint8Of(e, "SIGNATUREMODULUS")
	case tagSignature:
		h.Signature, h.sigAt, h.sigEnd = e.value, e.at, e.end()
	case tagFileName:
		h.FileName, h.fileNameLength, h.fileNameAt = trimNUL(e.value), len(e.value), e.at
	case tagTimestamp:
		if len(e.value) != 4 {
			return malformed(e.at, "TIMESTAMP is %d bytes long, not 4", len(e.value))
		}
		h.Timestamp = binary.BigEndian.Uint32(e.value)
	case tagSignerVersion:
		var n uint16
		n, err = uint16Of(e, "signer version")
		h.SignerVersion = Version{uint8(n >> 8), uint8(n)}
	}
	return err
}

// set puts the value of an element into what says how to decrypt.
func (c *Encryption) set(e element) (err error) {
	var n uint16
	switch e.tag {
	case tagIV:
		if c.IV = e.value; len(e.value) != 16 {
			return malformed(e.at, "IV is %d bytes long, not 16", len(e.value))
		}
	case tagPadLength:
		n, err = uint16Of(e, "padding length")
		c.PadLength = int(n)
	case tagKeyBits:
		n, err = uint16Of(e, "key size")
		c.KeyBits = int(n)
	case tagWrappedKey:
		c.WrappedKey = e.value
	case tagPlainDigest:
		var d uint8
		d, err = uint8Of(e, "plaintext digest")
		c.PlainDigest = Digest(d)
	case tagPlainHash:
		c.PlainHash = e.value
	}
	return err
}

// modulusSize returns the signature's size in bytes that a SIGNATUREMODULUS
// stands for, or 0 where the index is not known.
func modulusSize(index uint8) int {
	if index > 3 {
		return 0
	}
	return 64 << index
}

// modulusIndex returns the SIGNATUREMODULUS for a size in bytes.
func modulusIndex(size int) (uint8, bool) {
	if size < 64 || size > 512 || bits.OnesCount(uint(size)) != 1 {
		return 0, false
	}
	return uint8(bits.TrailingZeros(uint(size)) - 6), true
}
