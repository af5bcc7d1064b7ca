// Package listing describes trust files: as text, the way the command lines of a cluster print
// them, misspelt names and all, and as an object for JSON.
//
//	listing.Write(os.Stdout, file, &verified)
//	json.NewEncoder(os.Stdout).Encode(listing.Of(file, &verified))
//
// Both come from one walk over the file. In the text, what the file says is made harmless to
// terminals. The functions are pure and safe for concurrent use. Source: the output of `show
// itl` in Cisco's note on ITL enhancements in release 10.0(1), and of `show ctl` in its
// guides.
package listing

import (
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"

	"itlagent/agent/trustlist"
)

// File is what there is to say of a trust file. Lengths are in bytes, hashes lower-case hex.
type File struct {
	Kind            string   `json:"kind"` // ITL, CTL, SGN, ENC
	Version         string   `json:"version"`
	HeaderLength    int      `json:"headerLength"`
	Length          int      `json:"length"`
	MD5             string   `json:"md5"`
	SHA1            string   `json:"sha1"`
	Digest          string   `json:"digest"` // SHA-1, SHA-256, SHA-512
	Signer          Signer   `json:"signer"`
	SignatureLength int      `json:"signatureLength"`
	FileName        string   `json:"fileName"`
	Timestamp       uint32   `json:"timestamp"` // Unix seconds
	Records         []Record `json:"records"`
	Verified        *bool    `json:"verified"` // nil where the file alone cannot tell
	Reason          string   `json:"reason"`   // of a verdict on it, for whoever has one

	modified time.Time // zero where the file has none
	header   []row
	content  int // bytes behind the header of what is no list
}

// Signer is who signed a file.
type Signer struct {
	Name   string `json:"name"`
	Serial string `json:"serial"` // upper-case hex pairs joined by ':'
	Issuer string `json:"issuer"`
}

// Record is what there is to say of a record.
type Record struct {
	Length            int    `json:"length"`
	Function          string `json:"function"`
	Role              int    `json:"role"`
	Subject           string `json:"subject"`
	Issuer            string `json:"issuer"`
	Serial            string `json:"serial"`
	DNSName           string `json:"dnsName"`
	PublicKeyLength   int    `json:"publicKeyLength"`
	SignatureLength   int    `json:"signatureLength"`
	CertificateLength int    `json:"certificateLength"`
	CertificateSHA1   string `json:"certificateSHA1"`
	CertHash          string `json:"certHash"`
	IPAddress         string `json:"ipAddress"`
	NotBefore         int64  `json:"notBefore"` // Unix seconds; 0 without a certificate
	NotAfter          int64  `json:"notAfter"`
	SignedThisFile    bool   `json:"signedThisFile"`

	lines []row // its elements
	token bool  // it is a SAST record: the text says whether it signed the file
}

// SignerOf describes who signed a file.
func SignerOf(s trustlist.Signer) Signer {
	return Signer{string(s.Name), trustlist.FormatSerial(s.Serial), string(s.Issuer)}
}

// Of describes a trust file. verified is what came of checking its signature, nil where
// nothing did.
func Of(f *trustlist.File, verified *bool) *File {
	md, sha := md5.Sum(f.Bytes()), sha1.Sum(f.Bytes())
	out := &File{
		Kind: f.Kind.String(), Version: f.Version.String(), HeaderLength: f.Length, Length: len(f.Bytes()),
		MD5: hex.EncodeToString(md[:]), SHA1: hex.EncodeToString(sha[:]), Digest: f.Digest.String(),
		Signer: SignerOf(f.Signer), SignatureLength: len(f.Signature), FileName: string(f.FileName),
		Timestamp: f.Timestamp, Records: []Record{}, Verified: verified, header: header(f),
	}
	out.modified = f.Time()
	if !f.Kind.IsList() {
		out.content = len(f.Content())
	}
	for i := range f.Records {
		out.Records = append(out.Records, record(f, &f.Records[i]))
	}
	return out
}

// element is an element of a record. put puts its value into what JSON shows, and returns
// what the text does.
type element struct {
	tag  trustlist.Tag
	name string // as `show itl` prints it
	put  func(out *Record, r *trustlist.Record, value []byte) string
}

// elements are those that a record may have, in the order of print.
var elements = []element{
	{trustlist.DNSName, "DNSNAME", func(out *Record, r *trustlist.Record, _ []byte) string {
		out.DNSName = string(r.DNS())
		return trustlist.Printable(r.DNS())
	}},
	{trustlist.SubjectName, "SUBJECTNAME", func(out *Record, r *trustlist.Record, _ []byte) string {
		out.Subject = string(r.Subject())
		return trustlist.Printable(r.Subject())
	}},
	{trustlist.Function, "FUNCTION", func(_ *Record, r *trustlist.Record, _ []byte) string { return r.Role().String() }},
	{trustlist.IssuerName, "ISSUERNAME", func(out *Record, r *trustlist.Record, _ []byte) string {
		out.Issuer = string(r.Issuer())
		return trustlist.Printable(r.Issuer())
	}},
	{trustlist.SerialNumber, "SERIALNUMBER", func(out *Record, r *trustlist.Record, _ []byte) string {
		out.Serial = trustlist.FormatSerial(r.Serial())
		return out.Serial
	}},
	{trustlist.PublicKey, "PUBLICKEY", func(out *Record, _ *trustlist.Record, value []byte) string {
		out.PublicKeyLength = len(value)
		return ""
	}},
	{trustlist.Signature, "SIGNATURE", func(out *Record, _ *trustlist.Record, value []byte) string {
		out.SignatureLength = len(value)
		return ""
	}},
	{trustlist.Certificate, "CERTIFICATE", putCertificate},
	{trustlist.IPAddress, "IPADDRESS", func(out *Record, _ *trustlist.Record, value []byte) string {
		if len(value) > 0 {
			out.IPAddress = net.IP(value).String()
		}
		return ""
	}},
	{trustlist.CertHash, "CERTHASH", func(out *Record, _ *trustlist.Record, value []byte) string {
		out.CertHash = hex.EncodeToString(value)
		return spacedHex(value)
	}},
	{trustlist.HashAlgorithm, "HASH ALGORITHM", func(_ *Record, _ *trustlist.Record, value []byte) string {
		if len(value) != 1 {
			return ""
		}
		return trustlist.Digest(value[0]).String()
	}},
}

func putCertificate(out *Record, r *trustlist.Record, value []byte) string {
	out.CertificateLength = len(value)
	sum := sha1.Sum(value)
	if len(value) > 0 {
		out.CertificateSHA1 = hex.EncodeToString(sum[:])
	}
	if cert, err := r.X509(); err == nil {
		out.NotBefore, out.NotAfter = cert.NotBefore.Unix(), cert.NotAfter.Unix()
	}
	return spacedHex(sum[:]) + " (SHA1 Hash HEX)"
}

// record describes one record.
func record(f *trustlist.File, r *trustlist.Record) Record {
	out := Record{Length: r.Length(), Function: r.Role().String(), Role: int(r.Role()), token: r.Role() == trustlist.SAST}
	out.SignedThisFile = out.token && r.Is(f.Signer.Issuer, f.Signer.Serial)
	for _, e := range elements {
		if r.Has(e.tag) {
			value := r.Value(e.tag)
			out.lines = append(out.lines, elementRow(int(e.tag), e.name, len(value), e.put(&out, r, value)))
		}
	}
	return out
}

// header returns the lines about a file's header.
func header(f *trustlist.File) (rows []row) {
	add := func(tag int, name string, values ...any) { rows = append(rows, elementRow(tag, name, values...)) }
	l := f.HeaderLengths()
	add(3, "SIGNERID", 2, l.SignerID)
	add(4, "SIGNERNAME", l.SignerName, trustlist.Printable(f.Signer.Name))
	add(5, "SERIALNUMBER", len(f.Signer.Serial), trustlist.FormatSerial(f.Signer.Serial))
	add(6, "CANAME", l.SignerIssuer, trustlist.Printable(f.Signer.Issuer))
	add(7, "SIGNATUREINFO", 2, 15)
	add(8, "DIGESTALGORTITHM", 1)
	add(9, "SIGNATUREALGOINFO", 2, 8)
	add(10, "SIGNATUREALGORTITHM", 1)
	add(11, "SIGNATUREMODULUS", 1)
	add(12, "SIGNATURE", len(f.Signature))
	const perLine = 8
	for at := 0; at < len(f.Signature); at += perLine {
		bytes := row{bytes: true}
		for _, b := range f.Signature[at:min(at+perLine, len(f.Signature))] {
			bytes.fields = append(bytes.fields, fmt.Sprintf("%x", b))
		}
		rows = append(rows, bytes)
	}
	if f.FileName != nil {
		add(14, "FILENAME", l.FileName)
	}
	if l.Timestamp != 0 {
		add(15, "TIMESTAMP", l.Timestamp)
	}
	if enc := f.Encryption; enc != nil {
		add(19, "IV", len(enc.IV))
		add(23, "KEYBITS", 2, enc.KeyBits)
		add(25, "WRAPPEDKEY", len(enc.WrappedKey))
		add(27, "PLAINTEXTHASH", len(enc.PlainHash), enc.PlainDigest)
	}
	if l.SignerVersion != 0 {
		add(28, "SIGNERVERSION", l.SignerVersion, f.SignerVersion)
	}
	return rows
}

// spacedHex writes upper-case hex pairs with spaces between them.
func spacedHex(b []byte) string { return strings.ReplaceAll(trustlist.FormatSerial(b), ":", " ") }
