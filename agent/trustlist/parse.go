package trustlist

import "bytes"

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

// Parse reads a file of a kind that the caller expects. A file is of a kind only
// if its own header says so, whoever signed it: see Recognise. Parse is strict
// about lengths, about the order of header elements and about elements that occur
// twice, and lenient where phones are: unknown elements at the end of a header or
// in a record, newer minor versions, the amount of padding. Errors are *FileError
// with ErrEmpty, ErrTooLarge, ErrMalformed or ErrWrongFile.
func Parse(kind Kind, data []byte) (*File, error) {
	f, err := parseHeader(data, kind.SizeLimit())
	if err != nil {
		return nil, err
	}
	switch is, err := f.kind(); {
	case err != nil:
		return nil, err
	case is != kind:
		return nil, wrongFile(f.fileNameAt, "wanted %s: %s", kind.article(), f.says(is))
	}
	f.Kind = kind
	if kind.IsList() {
		if err := f.parseRecords(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Recognise reads the header and tells the kind: an ITL or a CTL has a FILENAME
// that begins with these letters and ends in ".tlv", in any case; a signed file
// has another name or none, and an encrypted one also version 2 and the elements
// that say how to decrypt. What fits none of these is an ErrWrongFile. Errors are
// *FileError.
func Recognise(data []byte) (Kind, error) {
	f, err := parseHeader(data, MaxSignedSize)
	if err != nil {
		return 0, err
	}
	return f.kind()
}

// kind tells what a header says that its file is.
func (h *Header) kind() (Kind, error) {
	name := h.FileName
	kind := SGN
	switch {
	case bytes.IndexByte(name, 0) >= 0:
		return 0, malformed(h.fileNameAt, "FILENAME has a NUL inside")
	case nameOfList(name) != 0:
		kind = nameOfList(name)
	case isTLV(name):
		return 0, wrongFile(h.fileNameAt, "FILENAME %s is neither that of an ITL or CTL nor that of a signed file", quoted(name))
	case h.Version.Major == 2:
		kind = ENC
	}
	if (kind == ENC) != (h.Encryption != nil) || (kind == ENC) != (h.Version.Major == 2) {
		return 0, wrongFile(h.fileNameAt, "%s, and header version %v or its encryption elements do not fit that", h.says(kind), h.Version)
	}
	return kind, nil
}

// says tells by what a file is of a kind, for error texts.
func (h *Header) says(k Kind) string {
	if len(h.FileName) == 0 {
		return "without FILENAME it is " + k.article()
	}
	return "FILENAME " + quoted(h.FileName) + " is that of " + k.article()
}

// nameOfList returns the kind of list whose files may have the name, or 0.
func nameOfList(name []byte) Kind {
	for _, k := range [...]Kind{ITL, CTL} {
		if isTLV(name) && bytes.EqualFold(name[:len(k.String())], []byte(k.String())) {
			return k
		}
	}
	return 0
}

// isTLV reports whether a name is one of a trust list of any sort: those alone end
// in ".tlv".
func isTLV(name []byte) bool {
	const ending = ".tlv"
	return len(name) >= len(ending) && bytes.EqualFold(name[len(name)-len(ending):], []byte(ending))
}

// trimNUL returns a value without its closing NUL, if it has one.
func trimNUL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == 0 {
		return b[:n-1]
	}
	return b
}
