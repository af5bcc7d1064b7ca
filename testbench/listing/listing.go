// Package listing prints trust files the way the command lines of a cluster do,
// misspelt names and all.
//
//	listing.Write(os.Stdout, file, &verified)
//
// Text of a file is made harmless to terminals. The functions are pure and safe
// for concurrent use. Source: the output of `show itl` in Cisco's note on ITL
// enhancements in release 10.0(1), and of `show ctl` in its guides.
package listing

import (
	"crypto/md5"
	"crypto/sha1"
	"fmt"
	"io"
	"strings"

	"itlagent/agent/trustlist"
)

// Signed reports whether a record is the one that the header names as signer.
func Signed(f *trustlist.File, r *trustlist.Record) bool {
	return r.Role() == trustlist.SAST && r.Is(f.Signer.Issuer, f.Signer.Serial)
}

// Write prints a trust file as `show itl` prints one, line for line. verified is
// what came of checking its signature, nil where nothing did.
func Write(w io.Writer, f *trustlist.File, verified *bool) {
	kind := f.Kind.String()
	md, sha := md5.Sum(f.Bytes()), sha1.Sum(f.Bytes())
	fmt.Fprintf(w, "The checksum value of the %s file:\n%x(MD5)\n%x(SHA1)\n\n", kind, md, sha)
	fmt.Fprintf(w, "Length of %s file: %d\n\n", kind, len(f.Bytes()))
	if t := f.Time(); !t.IsZero() {
		fmt.Fprintf(w, "The %s File was last modified on %s\n\n", kind, t.Format("Mon Jan _2 15:04:05 MST 2006"))
	}
	fmt.Fprintf(w, "Parse %s File\n----------------\n\nVersion: %v\nHeaderLength: %d (BYTES)\n\n", kind, f.Version, f.Length)
	printHeader(w, f)
	for i := range f.Records {
		printRecord(w, f, i)
	}
	if !f.Kind.IsList() {
		fmt.Fprintf(w, "\nContent: %d bytes\n", len(f.Content()))
	}
	switch {
	case verified == nil:
		fmt.Fprintf(w, "\nThe %s file does not hold its signer's certificate.\n", kind)
	case *verified:
		fmt.Fprintf(w, "\nThe %s file was verified successfully.\n", kind)
	default:
		fmt.Fprintf(w, "\nVerification of the %s file failed.\n", kind)
	}
}

const columns = "BYTEPOS TAG LENGTH VALUE\n------- --- ------ -----\n"

func printHeader(w io.Writer, f *trustlist.File) {
	l := f.HeaderLengths()
	fmt.Fprint(w, columns)
	fmt.Fprintf(w, "3 SIGNERID 2 %d\n", l.SignerID)
	fmt.Fprintf(w, "4 SIGNERNAME %d %s\n", l.SignerName, trustlist.Printable(f.Signer.Name))
	fmt.Fprintf(w, "5 SERIALNUMBER %d %s\n", len(f.Signer.Serial), trustlist.FormatSerial(f.Signer.Serial))
	fmt.Fprintf(w, "6 CANAME %d %s\n", l.SignerIssuer, trustlist.Printable(f.Signer.Issuer))
	fmt.Fprint(w, "7 SIGNATUREINFO 2 15\n8 DIGESTALGORTITHM 1\n9 SIGNATUREALGOINFO 2 8\n10 SIGNATUREALGORTITHM 1\n11 SIGNATUREMODULUS 1\n")
	fmt.Fprintf(w, "12 SIGNATURE %d\n", len(f.Signature))
	const perLine = 8
	for i, b := range f.Signature {
		end := " "
		if i%perLine == perLine-1 || i == len(f.Signature)-1 {
			end = "\n"
		}
		fmt.Fprintf(w, "%x%s", b, end)
	}
	if f.FileName != nil {
		fmt.Fprintf(w, "14 FILENAME %d\n", l.FileName)
	}
	if l.Timestamp != 0 {
		fmt.Fprintf(w, "15 TIMESTAMP %d\n", l.Timestamp)
	}
	if enc := f.Encryption; enc != nil {
		fmt.Fprintf(w, "19 IV %d\n23 KEYBITS 2 %d\n25 WRAPPEDKEY %d\n27 PLAINTEXTHASH %d %v\n",
			len(enc.IV), enc.KeyBits, len(enc.WrappedKey), len(enc.PlainHash), enc.PlainDigest)
	}
	if l.SignerVersion != 0 {
		fmt.Fprintf(w, "28 SIGNERVERSION %d %v\n", l.SignerVersion, f.SignerVersion)
	}
}

func printRecord(w io.Writer, f *trustlist.File, i int) {
	r := &f.Records[i]
	fmt.Fprintf(w, "\n%v Record #:%d\n----\n%s", f.Kind, i+1, columns)
	fmt.Fprintf(w, "1 RECORDLENGTH 2 %d\n", r.Length())
	line := func(tag trustlist.Tag, name, value string) {
		if r.Has(tag) {
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%d %s %d %s", tag, name, len(r.Value(tag)), value), " "))
		}
	}
	line(trustlist.DNSName, "DNSNAME", trustlist.Printable(r.DNS()))
	line(trustlist.SubjectName, "SUBJECTNAME", trustlist.Printable(r.Subject()))
	line(trustlist.Function, "FUNCTION", r.Role().String())
	line(trustlist.IssuerName, "ISSUERNAME", trustlist.Printable(r.Issuer()))
	line(trustlist.SerialNumber, "SERIALNUMBER", trustlist.FormatSerial(r.Serial()))
	line(trustlist.PublicKey, "PUBLICKEY", "")
	line(trustlist.Signature, "SIGNATURE", "")
	sum := sha1.Sum(r.Value(trustlist.Certificate))
	line(trustlist.Certificate, "CERTIFICATE", spacedHex(sum[:])+" (SHA1 Hash HEX)")
	line(trustlist.IPAddress, "IPADDRESS", "")
	line(trustlist.CertHash, "CERTHASH", spacedHex(r.Value(trustlist.CertHash)))
	if h := r.Value(trustlist.HashAlgorithm); len(h) == 1 {
		line(trustlist.HashAlgorithm, "HASH ALGORITHM", trustlist.Digest(h[0]).String())
	} else {
		line(trustlist.HashAlgorithm, "HASH ALGORITHM", "")
	}
	if r.Role() == trustlist.SAST {
		not := "not "
		if Signed(f, r) {
			not = ""
		}
		fmt.Fprintf(w, "This etoken was %sused to sign the %v file.\n", not, f.Kind)
	}
}

// spacedHex writes upper-case hex pairs with spaces between them.
func spacedHex(b []byte) string { return strings.ReplaceAll(trustlist.FormatSerial(b), ":", " ") }
