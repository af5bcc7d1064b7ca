package main

import (
	"bufio"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
)

func runShow(e *env, args []string) int {
	f := e.flags("show")
	asJSON := f.Bool("json", false, "print one JSON object")
	installed := f.StringArray("installed", nil, "`LIST` to check a signed file with; at most one ITL and one CTL")
	certs := f.StringArray("cert", nil, "`PEM` certificate to check a signed file with")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	with, code := e.phoneState("show", *installed, *certs)
	if code != exitOK {
		return code
	}
	file, err := openTrustFile(f.Arg(0))
	if err != nil {
		return e.fail(exitNo, "%v", err)
	}
	check := ownCheck(file)
	if !file.Kind.IsList() && len(*installed)+len(*certs) > 0 {
		v := trust.Decide(with, trust.Candidate{Kind: file.Kind, Data: file.Bytes()})
		check = selfCheck{&v.Accepted, v.Reason, v.Offset}
	}
	if *asJSON {
		printJSON(e.stdout, describe(file, check))
	} else {
		w := bufio.NewWriter(e.stdout)
		printFile(w, file, check)
		w.Flush()
	}
	if check.verified != nil && !*check.verified {
		return e.fail(exitNo, "%s: offset %d: %s", f.Arg(0), check.offset, check.reason.Text())
	}
	return exitOK
}

// selfCheck is what a file alone tells of its signature.
type selfCheck struct {
	verified *bool // nil: it cannot tell
	reason   trust.Reason
	offset   int
}

func ownCheck(f *trustlist.File) selfCheck {
	yes, no := true, false
	if !f.Kind.IsList() {
		return selfCheck{reason: trust.UnknownSigner}
	}
	_, err := f.CheckOwn()
	switch {
	case err == nil:
		return selfCheck{&yes, trust.Accepted, 0}
	case errors.Is(err, trustlist.ErrNoSigner):
		return selfCheck{reason: trust.UnknownSigner}
	}
	// The decision on first use gives the reason in the words of a phone.
	v := trust.Decide(trust.State{}, trust.Candidate{Kind: f.Kind, Data: f.Bytes()})
	return selfCheck{&no, v.Reason, v.Offset}
}

// fileJSON is the object that `show --json` prints.
type fileJSON struct {
	Kind            string       `json:"kind"`
	Version         string       `json:"version"`
	HeaderLength    int          `json:"headerLength"`
	Length          int          `json:"length"`
	MD5             string       `json:"md5"`
	SHA1            string       `json:"sha1"`
	Digest          string       `json:"digest"`
	Signer          signerJSON   `json:"signer"`
	SignatureLength int          `json:"signatureLength"`
	FileName        string       `json:"fileName"`
	Timestamp       uint32       `json:"timestamp"`
	Records         []recordJSON `json:"records"`
	Verified        *bool        `json:"verified"`
	Reason          string       `json:"reason"`
}

type signerJSON struct {
	Name   string `json:"name"`
	Serial string `json:"serial"`
	Issuer string `json:"issuer"`
}

type recordJSON struct {
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
	SignedThisFile    bool   `json:"signedThisFile"`
}

func signerOf(s trustlist.Signer) signerJSON {
	return signerJSON{string(s.Name), trustlist.FormatSerial(s.Serial), string(s.Issuer)}
}

func describe(f *trustlist.File, check selfCheck) fileJSON {
	md, sha := md5.Sum(f.Bytes()), sha1.Sum(f.Bytes())
	out := fileJSON{
		Kind: f.Kind.String(), Version: f.Version.String(), HeaderLength: f.Length, Length: len(f.Bytes()),
		MD5: hex.EncodeToString(md[:]), SHA1: hex.EncodeToString(sha[:]), Digest: f.Digest.String(),
		Signer: signerOf(f.Signer), SignatureLength: len(f.Signature), FileName: string(f.FileName),
		Timestamp: f.Timestamp, Records: []recordJSON{}, Verified: check.verified, Reason: check.reason.String(),
	}
	for i := range f.Records {
		r := &f.Records[i]
		j := recordJSON{
			Length: r.Length(), Function: r.Role().String(), Role: int(r.Role()), Subject: string(r.Subject()),
			Issuer: string(r.Issuer()), Serial: trustlist.FormatSerial(r.Serial()), DNSName: string(r.DNS()),
			PublicKeyLength: len(r.Value(trustlist.PublicKey)), SignatureLength: len(r.Value(trustlist.Signature)),
			CertificateLength: len(r.Value(trustlist.Certificate)), CertHash: hex.EncodeToString(r.Value(trustlist.CertHash)),
			SignedThisFile: signed(f, r),
		}
		if der := r.Value(trustlist.Certificate); len(der) > 0 {
			sum := sha1.Sum(der)
			j.CertificateSHA1 = hex.EncodeToString(sum[:])
		}
		if ip := r.Value(trustlist.IPAddress); len(ip) > 0 {
			j.IPAddress = net.IP(ip).String()
		}
		out.Records = append(out.Records, j)
	}
	return out
}

// signed reports whether a record is the one that the header names as signer.
func signed(f *trustlist.File, r *trustlist.Record) bool {
	return r.Role() == trustlist.SAST && r.Is(f.Signer.Issuer, f.Signer.Serial)
}

// printFile prints what `show itl` prints, line for line. The misspelt names are
// those of the original.
func printFile(w io.Writer, f *trustlist.File, check selfCheck) {
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
	case check.verified == nil:
		fmt.Fprintf(w, "\nThe %s file does not hold its signer's certificate.\n", kind)
	case *check.verified:
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
	fmt.Fprintf(w, "4 SIGNERNAME %d %s\n", l.SignerName, printable(f.Signer.Name))
	fmt.Fprintf(w, "5 SERIALNUMBER %d %s\n", len(f.Signer.Serial), trustlist.FormatSerial(f.Signer.Serial))
	fmt.Fprintf(w, "6 CANAME %d %s\n", l.SignerIssuer, printable(f.Signer.Issuer))
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
	line(trustlist.DNSName, "DNSNAME", printable(r.DNS()))
	line(trustlist.SubjectName, "SUBJECTNAME", printable(r.Subject()))
	line(trustlist.Function, "FUNCTION", r.Role().String())
	line(trustlist.IssuerName, "ISSUERNAME", printable(r.Issuer()))
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
		if signed(f, r) {
			not = ""
		}
		fmt.Fprintf(w, "This etoken was %sused to sign the %v file.\n", not, f.Kind)
	}
}

// spacedHex writes upper-case hex pairs with spaces between them.
func spacedHex(b []byte) string { return strings.ReplaceAll(trustlist.FormatSerial(b), ":", " ") }

// printable keeps bytes of a file from steering the reader's terminal.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd' {
			return '?'
		}
		return r
	}, string(b))
}
