package trustlist

import (
	"bytes"
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
	hasTimestamp      bool
	hasSignerVersion  bool
	seen              uint64 // a bit for each known tag that was met
	signerAt          int    // offset of SIGNERID
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

// File is one parsed file. Its slices refer to the bytes given to Parse.
type File struct {
	Kind Kind
	Header
	Records []Record // nil unless Kind is ITL or CTL

	data []byte
}

// Bytes returns the whole file.
func (f *File) Bytes() []byte { return f.data }

// Content returns what follows the header: the signed content of an SGN, the
// ciphertext of an ENC, the records' bytes of a list.
func (f *File) Content() []byte { return f.data[f.Length:] }

// Time returns the header's timestamp, or the zero Time where there is none.
func (f *File) Time() time.Time {
	if !f.hasTimestamp {
		return time.Time{}
	}
	return time.Unix(int64(f.Timestamp), 0)
}

// SignatureOffset returns where the signature's bytes begin in the file.
func (f *File) SignatureOffset() int { return f.sigAt + elementOverhead }

// DigestOffset returns where DIGESTALGORTITHM's value is in the file.
func (f *File) DigestOffset() int { return f.digestAt }

// SignerOffset returns where the SIGNERID element begins in the file.
func (f *File) SignerOffset() int { return f.signerAt }

// HeaderLengths are the sizes in bytes of header values, closing NULs included,
// as `show itl` prints them. Absent elements have 0.
type HeaderLengths struct {
	SignerID, SignerName, SignerIssuer, FileName, Timestamp, SignerVersion int
}

// HeaderLengths returns the sizes of the header's values.
func (f *File) HeaderLengths() HeaderLengths {
	l := HeaderLengths{SignerID: f.signerIDLength, SignerName: f.nameLength, SignerIssuer: f.issuerLength, FileName: f.fileNameLength}
	if f.hasTimestamp {
		l.Timestamp = 4
	}
	if f.hasSignerVersion {
		l.SignerVersion = 2
	}
	return l
}

// Record is one record of a list. It refers to the file's bytes.
type Record struct {
	data   []byte // the record, RECORDLENGTH included
	fields [lastRecordTag + 1]span
	offset uint16
	role   Role

	// Unknown counts elements with a tag that is not known; they are skipped.
	Unknown uint16
}

// span is the place of a value in a record. A list has at most 65,535 bytes, so
// that 16 bits do; at is 0 where the element is absent.
type span struct{ at, n uint16 }

// Offset returns where the record begins in the file.
func (r *Record) Offset() int { return int(r.offset) }

// Length returns the record's RECORDLENGTH in bytes, which includes itself.
func (r *Record) Length() int { return len(r.data) }

// Role returns the record's FUNCTION.
func (r *Record) Role() Role { return r.role }

// Has reports whether the record has an element with the tag.
func (r *Record) Has(t Tag) bool { return t <= lastRecordTag && r.fields[t].at != 0 }

// Value returns the raw value of an element, closing NUL included, or nil where
// it is absent. It aliases the file.
func (r *Record) Value(t Tag) []byte {
	if !r.Has(t) {
		return nil
	}
	s := r.fields[t]
	return r.data[s.at : s.at+s.n : s.at+s.n]
}

// Subject returns SUBJECTNAME without its closing NUL.
func (r *Record) Subject() []byte { return trimNUL(r.Value(SubjectName)) }

// Issuer returns ISSUERNAME without its closing NUL.
func (r *Record) Issuer() []byte { return trimNUL(r.Value(IssuerName)) }

// Serial returns SERIALNUMBER.
func (r *Record) Serial() []byte { return r.Value(SerialNumber) }

// DNS returns DNSNAME without closing NULs.
func (r *Record) DNS() []byte { return bytes.TrimRight(r.Value(DNSName), "\x00") }

// Empty reports whether the record carries no key, certificate or hash: a
// section blanked for a roll-back to a release before 8.0.
func (r *Record) Empty() bool {
	return len(r.Value(PublicKey)) == 0 && len(r.Value(Certificate)) == 0 && len(r.Value(CertHash)) == 0
}

// trimNUL takes one closing NUL off.
func trimNUL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == 0 {
		return b[:n-1]
	}
	return b
}

// Parse reads a file of a kind that the caller knows. It is strict about every
// length and about elements that occur twice, and lenient where phones are:
// unknown tags, newer minor versions, the order inside SIGNERID, padding. Errors
// are *FileError with ErrEmpty, ErrTooLarge or ErrMalformed.
func Parse(kind Kind, data []byte) (*File, error) {
	f, err := parseHeader(kind, data)
	if err != nil {
		return nil, err
	}
	if kind.IsList() {
		if err := f.parseRecords(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Recognise reads the header and tells the kind: by the encryption elements, by
// FILENAME, and else by whether the rest is a chain of records.
func Recognise(data []byte) (Kind, error) {
	f, err := parseHeader(SGN, data) // SGN has the larger size limit
	if err != nil {
		return 0, err
	}
	switch {
	case f.Encryption != nil || f.Version.Major == 2:
		return ENC, nil
	case bytes.EqualFold(f.FileName, []byte(listFileName(CTL))):
		return CTL, nil
	case bytes.EqualFold(f.FileName, []byte(listFileName(ITL))):
		return ITL, nil
	}
	if n, err := countRecords(data, f.Length); n == 0 || err != nil {
		return SGN, nil
	}
	if bytes.HasPrefix(f.FileName, []byte("CTL")) {
		return CTL, nil
	}
	return ITL, nil
}

func parseHeader(kind Kind, data []byte) (*File, error) {
	if len(data) == 0 {
		return nil, &FileError{Err: ErrEmpty}
	}
	if limit := kind.SizeLimit(); len(data) > limit {
		return nil, &FileError{Offset: limit, Err: ErrTooLarge, Detail: kind.String() + " exceeds its size limit"}
	}
	f := &File{Kind: kind, data: data}
	h := &f.Header
	r := reader{data: data, end: len(data), within: "file"}

	e, err := r.next()
	if err != nil {
		return nil, err
	}
	v, err := uint16Of(e, "VERSION")
	if e.tag != tagVersion || err != nil {
		return nil, malformed(e.at, "not a trust list or signed file: it does not begin with a 2-byte VERSION")
	}
	h.Version = Version{uint8(v >> 8), uint8(v)}
	if h.Version.Major < 1 || h.Version.Major > 2 {
		return nil, malformed(e.valueAt(), "header version %v is not 1.x or 2.x", h.Version)
	}
	if e, err = r.next(); err != nil {
		return nil, err
	}
	n, err := uint16Of(e, "HEADERLENGTH")
	if e.tag != tagHeaderLength || err != nil {
		return nil, malformed(e.at, "no 2-byte HEADERLENGTH behind VERSION")
	}
	if int(n) > len(data) || int(n) < r.pos {
		return nil, malformed(e.valueAt(), "HEADERLENGTH %d does not fit a file of %d bytes", n, len(data))
	}
	h.Length = int(n)
	r.end, r.within = int(n), "header"

	h.seen = 1<<tagVersion | 1<<tagHeaderLength
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
		if err := h.take(r, e); err != nil {
			return nil, err
		}
	}
	for _, need := range []struct {
		tag  Tag
		name string
	}{
		{tagSignerName, "SIGNERNAME"}, {tagSignerSerial, "SERIALNUMBER"}, {tagSignerIssuer, "CANAME"},
		{tagDigestAlgorithm, "DIGESTALGORTITHM"}, {tagAlgorithm, "SIGNATUREALGORTITHM"},
		{tagModulus, "SIGNATUREMODULUS"}, {tagSignature, "SIGNATURE"},
	} {
		if h.seen&(1<<need.tag) == 0 {
			return nil, malformed(h.Length, "the header has no %s", need.name)
		}
	}
	if want := modulusSize(h.ModulusIndex); want != 0 && want != len(h.Signature) {
		return nil, malformed(h.sigAt, "SIGNATURE is %d bytes long where SIGNATUREMODULUS says %d", len(h.Signature), want)
	}
	return f, nil
}

// enter reads the elements of a container.
func (h *Header) enter(in reader) error {
	for in.more() {
		e, err := in.next()
		if err != nil {
			return err
		}
		if err := h.take(in, e); err != nil {
			return err
		}
	}
	return nil
}

// take reads one header element that was met in r, entering containers.
func (h *Header) take(r reader, e element) error {
	if e.tag > tagSignerVersion || e.tag == 0 || e.tag == tagPad {
		h.Unknown++
		return nil
	}
	if h.seen&(1<<e.tag) != 0 {
		return malformed(e.at, "element 0x%02x occurs twice in the header", uint8(e.tag))
	}
	h.seen |= 1 << e.tag
	if h.Encryption == nil && e.tag >= tagEncryptionInfo && e.tag <= tagPlainHash {
		h.Encryption = new(Encryption)
	}
	var err error
	var small uint8
	var word uint16
	switch e.tag {
	case tagSignerID:
		h.signerAt, h.signerIDLength = e.at, len(e.value)
		err = h.enter(r.inside(e, "SIGNERID"))
	case tagSignerName:
		h.Signer.Name, h.nameLength = trimNUL(e.value), len(e.value)
	case tagSignerSerial:
		h.Signer.Serial = e.value
	case tagSignerIssuer:
		h.Signer.Issuer, h.issuerLength = trimNUL(e.value), len(e.value)
	case tagSignatureInfo:
		err = h.enter(r.inside(e, "SIGNATUREINFO"))
	case tagSignatureAlgo:
		err = h.enter(r.inside(e, "SIGNATUREALGOINFO"))
	case tagDigestAlgorithm:
		small, err = uint8Of(e, "DIGESTALGORTITHM")
		h.Digest, h.digestAt = Digest(small), e.valueAt()
	case tagAlgorithm:
		h.Algorithm, err = uint8Of(e, "SIGNATUREALGORTITHM")
		h.algorAt = e.valueAt()
	case tagModulus:
		h.ModulusIndex, err = uint8Of(e, "SIGNATUREMODULUS")
	case tagSignature:
		h.Signature, h.sigAt, h.sigEnd = e.value, e.at, e.end()
	case tagFileName:
		h.FileName, h.fileNameLength = trimNUL(e.value), len(e.value)
	case tagTimestamp:
		if len(e.value) != 4 {
			return malformed(e.at, "TIMESTAMP is %d bytes long, not 4", len(e.value))
		}
		h.Timestamp, h.hasTimestamp = binary.BigEndian.Uint32(e.value), true
	case tagSignerVersion:
		word, err = uint16Of(e, "signer version")
		h.SignerVersion, h.hasSignerVersion = Version{uint8(word >> 8), uint8(word)}, true
	case tagEncryptionInfo, tagIVInfo, tagKeyInfo:
		err = h.enter(r.inside(e, "encryption information"))
	case tagIV:
		if h.Encryption.IV = e.value; len(e.value) != 16 {
			return malformed(e.at, "IV is %d bytes long, not 16", len(e.value))
		}
	case tagPadLength:
		word, err = uint16Of(e, "padding length")
		h.Encryption.PadLength = int(word)
	case tagKeyBits:
		word, err = uint16Of(e, "key size")
		h.Encryption.KeyBits = int(word)
	case tagWrappedKey:
		h.Encryption.WrappedKey = e.value
	case tagPlainDigest:
		small, err = uint8Of(e, "plaintext digest")
		h.Encryption.PlainDigest = Digest(small)
	case tagPlainHash:
		h.Encryption.PlainHash = e.value
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

// countRecords follows the RECORDLENGTHs from offset at to the end of the file.
func countRecords(data []byte, at int) (int, error) {
	n := 0
	for at < len(data) {
		size, err := recordLength(data, at, n+1)
		if err != nil {
			return n, err
		}
		at += size
		n++
	}
	return n, nil
}

func recordLength(data []byte, at, number int) (int, error) {
	r := reader{data: data, pos: at, end: len(data), within: "file"}
	e, err := r.next()
	if err != nil {
		return 0, err
	}
	size, err := uint16Of(e, "RECORDLENGTH")
	if e.tag != RecordLength || err != nil {
		return 0, malformed(at, "record %d does not begin with a 2-byte RECORDLENGTH", number)
	}
	if int(size) > len(data)-at || int(size) < e.end()-at {
		return 0, malformed(e.valueAt(), "record %d: RECORDLENGTH %d does not fit the %d bytes left", number, size, len(data)-at)
	}
	return int(size), nil
}

func (f *File) parseRecords() error {
	count, err := countRecords(f.data, f.Length)
	if err != nil {
		return err
	}
	if count == 0 {
		return malformed(f.Length, "the list has no record")
	}
	// A record has at least RECORDLENGTH and FUNCTION, 10 bytes; what claims to
	// hold more records than that would be refused later and is refused before
	// memory is asked for.
	const least = 2 * (elementOverhead + 2)
	if count > (len(f.data)-f.Length)/least {
		return malformed(f.Length, "%d records in %d bytes: some have no FUNCTION", count, len(f.data)-f.Length)
	}
	f.Records = make([]Record, count)
	at := f.Length
	for i := range f.Records {
		size, err := recordLength(f.data, at, i+1)
		if err != nil {
			return err
		}
		if err := f.Records[i].parse(f.data, at, at+size, i+1); err != nil {
			return err
		}
		at += size
	}
	return nil
}

func (r *Record) parse(data []byte, at, end, number int) error {
	r.data = data[at:end:end]
	r.offset = uint16(at)
	in := reader{data: data, pos: at, end: end, within: "record"}
	for in.more() {
		e, err := in.next()
		if err != nil {
			return err
		}
		if e.tag == 0 || e.tag > lastRecordTag {
			r.Unknown++
			continue
		}
		if r.Has(e.tag) {
			return malformed(e.at, "record %d: element 0x%02x occurs twice", number, uint8(e.tag))
		}
		r.fields[e.tag] = span{uint16(e.valueAt() - at), uint16(len(e.value))}
		switch e.tag {
		case Function:
			role, err := uint16Of(e, "FUNCTION")
			if err != nil {
				return err
			}
			r.role = Role(role)
		case IPAddress:
			if len(e.value) != 4 && len(e.value) != 16 && len(e.value) != 0 {
				return malformed(e.at, "record %d: IPADDRESS is %d bytes long, not 4", number, len(e.value))
			}
		}
	}
	if !r.Has(Function) {
		return malformed(at, "record %d has no FUNCTION", number)
	}
	return nil
}
