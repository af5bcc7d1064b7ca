package trustlist

import "bytes"

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
// section blanked for a rollback to a release before 8.0.
func (r *Record) Empty() bool {
	return len(r.Value(PublicKey)) == 0 && len(r.Value(Certificate)) == 0 && len(r.Value(CertHash)) == 0
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
