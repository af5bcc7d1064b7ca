package showtext

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"itlagent/agent/trustlist"
	"itlagent/testbench/listing"
)

// form is how the value of an element is printed.
type form uint8

const (
	formNone   form = iota
	formName        // length - 1 characters: the length counts a closing NUL
	formSerial      // length bytes in hex, joined by ':'
	formHash        // 20 bytes in hex
	formRole        // the words for it
	formNumber      // the length of what is inside
	formWord
)

// Tags of the header that names are read of.
const (
	tagSignerID  = trustlist.Tag(3)
	tagSigner    = trustlist.Tag(4)
	tagSerial    = trustlist.Tag(5)
	tagIssuer    = trustlist.Tag(6)
	tagSigInfo   = trustlist.Tag(7)
	tagSignature = trustlist.Tag(12)
	tagFileName  = trustlist.Tag(14)
	tagTimestamp = trustlist.Tag(15)
	tagVersion   = trustlist.Tag(28)
	tagRecord    = trustlist.Tag(1)
)

func (e *element) form(record bool) form {
	forms := map[trustlist.Tag]form{tagSignerID: formNumber, tagSigner: formName, tagSerial: formSerial, tagIssuer: formName, tagSigInfo: formNumber}
	if record {
		forms = map[trustlist.Tag]form{
			tagRecord: formNumber, trustlist.DNSName: formName, trustlist.SubjectName: formName, trustlist.Function: formRole, trustlist.IssuerName: formName,
			trustlist.SerialNumber: formSerial, trustlist.Certificate: formHash, trustlist.CertHash: formHash, trustlist.HashAlgorithm: formWord, trustlist.IPAddress: formWord,
		}
	}
	return forms[e.tag]
}

// hexOf returns the hex digits in front of a value, in lower case and without spaces.
func hexOf(value string) string {
	value, _, _ = strings.Cut(value, "(")
	return strings.ToLower(strings.Join(strings.Fields(value), ""))
}

// roleOf returns the role of the words for it.
func roleOf(value string) (trustlist.Role, bool) {
	for _, role := range []trustlist.Role{trustlist.SAST, trustlist.CCM, trustlist.CCMTFTP, trustlist.TFTP, trustlist.CAPF, trustlist.AppServer, trustlist.TVS} {
		if squeezed(role.String()) == squeezed(value) {
			return role, true
		}
	}
	return 0, false
}

// Element sizes in bytes.
const (
	overhead  = 3 // of an element: tag and length
	fixed     = overhead + 2
	maxPad    = 3
	digestLen = 20
)

func (l *List) warn(line int, format string, args ...any) {
	const most = 100
	if len(l.Warnings) < most {
		l.Warnings = append(l.Warnings, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
	}
}

// finish reads the values of the elements, and adds the lengths up.
func (l *List) finish() {
	for i := range l.header {
		l.headerValue(&l.header[i])
	}
	total := l.HeaderLength
	for i, record := range l.records {
		sum := fixed // RECORDLENGTH
		for j := range record {
			e := &record[j]
			if e.tag == tagRecord {
				l.Records[i].Length = number(strings.TrimSpace(e.value))
				continue
			}
			sum += overhead + e.length
			l.recordValue(&l.Records[i], e)
		}
		if r := &l.Records[i]; r.Length != sum {
			l.warn(l.lineOf(i), "record %d says %d bytes, and its elements have %d", i+1, r.Length, sum)
		}
		total += l.Records[i].Length
	}
	l.checkHeader()
	if l.lengthAt > 0 && total != l.Length {
		l.warn(l.lengthAt, "the file says %d bytes, and header and records have %d", l.Length, total)
	}
	for _, sum := range []struct {
		name, text string
		digits     int
	}{{"MD5", l.MD5, 32}, {"SHA1", l.SHA1, 40}} {
		if sum.text != "" && len(sum.text) != sum.digits {
			l.warn(l.Line, "the %s has %d digits, not %d", sum.name, len(sum.text), sum.digits)
		}
	}
}

// lineOf returns the line where a record begins.
func (l *List) lineOf(i int) int {
	if len(l.records[i]) > 0 {
		return l.records[i][0].line
	}
	return l.Line
}

// name reads a name, whose length counts a closing NUL.
func (l *List) name(e *element) string {
	if e.length == 0 {
		return e.value
	}
	e.value = e.spaced()
	if n := len(e.value); n != e.length-1 && !(n == 0 && e.length <= 2) {
		l.warn(e.line, "%s has %d characters, and its length of %d allows %d", e.name, n, e.length, e.length-1)
	}
	return e.value
}

// serial reads a serial number.
func (l *List) serial(e *element) string {
	text := strings.ToUpper(strings.Join(strings.Fields(e.value), ""))
	raw, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(raw) != e.length {
		l.warn(e.line, "%s %.60q is not %d bytes", e.name, text, e.length)
		return text
	}
	return trustlist.FormatSerial(raw)
}

// hash reads a hash.
func (l *List) hash(e *element) string {
	digits := hexOf(e.value)
	if raw, err := hex.DecodeString(digits); e.value != "" && (err != nil || len(raw) != digestLen) {
		l.warn(e.line, "%s %.60q is not a SHA-1", e.name, digits)
		return ""
	}
	return digits
}

func (l *List) headerValue(e *element) {
	switch e.tag {
	case tagSigner:
		l.Signer.Name = l.name(e)
	case tagSerial:
		l.Signer.Serial = l.serial(e)
	case tagIssuer:
		l.Signer.Issuer = l.name(e)
	case tagSignature:
		l.SignatureLength = e.length
		if n := len(l.Signature); n > 0 && n != e.length {
			l.warn(e.line, "%s of %d bytes is printed with %d", e.name, e.length, n)
			l.Signature = nil
		}
	}
}

func (l *List) recordValue(r *listing.Record, e *element) {
	switch e.tag {
	case trustlist.DNSName:
		r.DNSName = l.name(e)
	case trustlist.SubjectName:
		r.Subject = l.name(e)
	case trustlist.IssuerName:
		r.Issuer = l.name(e)
	case trustlist.Function:
		role, ok := roleOf(e.value)
		if !ok {
			l.warn(e.line, "no role %.60q is known", e.value)
			return
		}
		r.Role, r.Function = int(role), role.String()
	case trustlist.SerialNumber:
		r.Serial = l.serial(e)
	case trustlist.PublicKey:
		r.PublicKeyLength = e.length
	case trustlist.Signature:
		r.SignatureLength = e.length
	case trustlist.Certificate:
		r.CertificateLength, r.CertificateSHA1 = e.length, l.hash(e)
		if e.length == 0 {
			r.CertificateSHA1 = ""
		}
	case trustlist.CertHash:
		r.CertHash = l.hash(e)
	case trustlist.IPAddress:
		if ip, err := netip.ParseAddr(e.value); err == nil {
			r.IPAddress = ip.String()
		}
	}
}

// checkHeader adds up the header.
func (l *List) checkHeader() {
	if l.HeaderLength == 0 || len(l.header) == 0 {
		return
	}
	sum := 2 * fixed // VERSION, HEADERLENGTH
	signer, inner := 0, 0
	var at *element
	for i := range l.header {
		e := &l.header[i]
		switch e.tag {
		case tagSignerID:
			at, signer = e, number(strings.TrimSpace(e.value))
			sum += overhead
		case tagSigner, tagSerial, tagIssuer:
			inner += overhead + e.length
			sum += overhead + e.length
		case tagSigInfo:
			sum += overhead + number(strings.TrimSpace(e.value))
		case tagSignature, tagFileName, tagTimestamp, tagVersion:
			sum += overhead + e.length
		}
	}
	if at != nil && signer != inner {
		l.warn(at.line, "%s says %d bytes, and what is in it has %d", at.name, signer, inner)
	}
	if pad := l.HeaderLength - sum; pad < 0 || pad > maxPad {
		l.warn(l.header[0].line, "the header says %d bytes, and its elements have %d", l.HeaderLength, sum)
	}
}

// SignerVersion reports whether the header has the element by which phones are invited to HTTPS.
func (l *List) SignerVersion() bool {
	for i := range l.header {
		if l.header[i].tag == tagVersion {
			return true
		}
	}
	return false
}
