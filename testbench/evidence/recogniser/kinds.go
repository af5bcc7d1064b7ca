package recogniser

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"itlagent/agent/printable"
	"itlagent/agent/settings"
	"itlagent/agent/trustlist"
	"itlagent/testbench/evidence/showtext"
)

func isLimit(err error) bool { return errors.Is(err, ErrLimit) }

var captureMagics = []string{"\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1", "\x0a\x0d\x0d\x0a"}

var (
	consoleLine = regexp.MustCompile(`(?m)(?:SECUREAPP-|SECD:|\bXXTP |dgetfile\(|downd-DDFORK|errcode \d+|ConfigManager |tftpClient:)`)
	statusLine  = regexp.MustCompile(`(?im)(?:trust list updat|trust list installed|\b[CI]TL (?:and ITL )?installed|CTL update failed|File (?:auth error|not found)|TFTP error|authenticated fail\. Reason|Erasing CTL)`)
	logLine     = regexp.MustCompile(`(?m)(?:DeviceTLInfo|%UC_[A-Z0-9]+-\d-|: %[A-Z_]+-\d-[A-Za-z]+:)`)
	phonesHead  = regexp.MustCompile(`(?i)^\W*"?(?:[^",;\t]*"?[,;\t]"?)*(?:device ?name|devicename|name|mac(?: ?address)?)"?[,;\t]`)
	certList    = regexp.MustCompile(`(?m)^\S+/\S+\.pem:`)
)

// streamed tells the kinds that are not read whole.
func streamed(head []byte) (Kind, string) {
	for _, magic := range captureMagics {
		if bytes.HasPrefix(head, []byte(magic)) {
			return Capture, map[bool]string{true: "a capture (pcapng)", false: "a capture (pcap)"}[magic == captureMagics[4]]
		}
	}
	if !text(head) || showtext.Looks(head) || bytes.Contains(head, []byte("-----BEGIN ")) || markup(head) {
		return "", ""
	}
	switch {
	case logLine.Match(head):
		return AlarmLog, "an application log or syslog"
	case consoleLine.Match(head):
		return ConsoleLog, "a phone's console log"
	case statusLine.Match(head):
		return ConsoleLog, "status messages of a phone"
	}
	return "", ""
}

func markup(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head, "\ufeff \t\r\n"), []byte("<"))
}

// text reports whether bytes are text, in UTF-8 or another code that extends ASCII.
func text(head []byte) bool {
	controls := 0
	for _, b := range head {
		switch {
		case b == 0:
			return false
		case b < ' ' && b != '\n' && b != '\r' && b != '\t' && b != 0x1b:
			controls++
		}
	}
	return len(head) > 0 && controls*50 <= len(head)
}

// recognise tells what is in Data.
func (it *Item) recognise(head []byte) {
	it.Kind = Unknown
	switch {
	case len(it.Data) == 0:
		it.Kind, it.About = Empty, "an empty file"
	case it.trustFile():
	case head[0] == 0x30 && it.der():
	case bytes.Contains(head, []byte("ITLVAULT")) && !text(head):
		it.Kind, it.About = VaultImage, "an image of a phone's flash"
	case !text(head):
		it.About = "binary, of no kind that is known"
	case bytes.Contains(head, []byte("-----BEGIN ")) && it.pem():
	case markup(head):
		it.markup(head)
	case showtext.Looks(head):
		it.listText()
	default:
		it.plainText(head)
	}
}

// trustFile tells a trust file: it begins with VERSION, of two bytes.
func (it *Item) trustFile() bool {
	if !bytes.HasPrefix(it.Data, []byte{1, 0, 2}) {
		return false
	}
	kind, err := trustlist.Recognise(it.Data)
	if err == nil {
		it.File, err = trustlist.Parse(kind, it.Data)
	}
	if err != nil {
		it.About, it.Err = "a trust file, damaged", err
		return true
	}
	it.Kind = TrustFile
	what := map[trustlist.Kind]string{trustlist.ITL: "an ITL", trustlist.CTL: "a CTL", trustlist.SGN: "a signed file", trustlist.ENC: "an encrypted and signed file"}[kind]
	if kind.IsList() {
		what += fmt.Sprintf(" of %d records", len(it.File.Records))
	} else if name := string(it.File.FileName); name != "" {
		what += ", " + printable.Clip(name, 60)
	}
	it.About = what + ", signed by " + printable.Clip(string(it.File.Signer.Name), 100)
	if kind == trustlist.SGN {
		if s, err := settings.Parse(it.File.Content()); err == nil {
			it.Settings = s
		}
	}
	return true
}

var oidData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}

// der tells certificates and PKCS#12 in DER.
func (it *Item) der() bool {
	if certs, err := x509.ParseCertificates(it.Data); err == nil && len(certs) > 0 {
		it.certificates(certs)
		return true
	}
	var pfx struct {
		Version int
		Content struct{ Type asn1.ObjectIdentifier }
	}
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(it.Data, &outer); err != nil || outer.Tag != asn1.TagSequence {
		return false
	}
	if rest, err := asn1.Unmarshal(outer.Bytes, &pfx.Version); err == nil && pfx.Version == 3 {
		var content asn1.RawValue
		if _, err := asn1.Unmarshal(rest, &content); err == nil {
			if _, err := asn1.Unmarshal(content.Bytes, &pfx.Content.Type); err == nil && pfx.Content.Type.Equal(oidData) {
				it.Kind, it.About = PKCS12, "a PKCS#12 file, under a password"
				return true
			}
		}
	}
	return false
}

func (it *Item) certificates(certs []*x509.Certificate) {
	it.Kind, it.Certificates = Certificates, certs
	it.About = "a certificate of " + printable.Clip(trustlist.FormatName(certs[0].Subject), 100)
	if len(certs) > 1 {
		it.About = fmt.Sprintf("%d certificates, the first of %s", len(certs), printable.Clip(trustlist.FormatName(certs[0].Subject), 100))
	}
}

// maxCertificates bounds those of one file.
const maxCertificates = 1000

// pem tells certificates in PEM, with whatever stands between them, as from `show cert`.
func (it *Item) pem() bool {
	var certs []*x509.Certificate
	key := false
	var bad error
	for rest := it.Data; len(certs) < maxCertificates; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		key = key || strings.HasSuffix(block.Type, "PRIVATE KEY")
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			bad = err
			continue
		}
		certs = append(certs, cert)
	}
	switch {
	case len(certs) > 0:
		it.certificates(certs)
		if key {
			it.About += ", with a private key"
		}
	case key:
		it.Kind, it.About = PrivateKey, "a private key, which is not shown"
	case bad != nil:
		it.About, it.Err = "a certificate, damaged", bad
	default:
		it.About = "PEM without a certificate"
	}
	return true
}

// markup tells XML and HTML.
func (it *Item) markup(head []byte) {
	lower := bytes.ToLower(head)
	has := func(s string) bool { return bytes.Contains(lower, []byte(s)) }
	switch {
	case has("<x-cisco-alarm"):
		it.Kind, it.About = AlarmLog, "an alarm of a phone"
	case has("<devicelog"), has("<deviceinformation"), has("<networkconfiguration"):
		it.Kind, it.About = Page, "a page of a phone (XML)"
	case has("<device") || has("<default"):
		s, err := settings.Parse(it.Data)
		if err != nil {
			it.About, it.Err = "a phone's configuration, damaged", err
			return
		}
		it.Kind, it.Settings, it.About = Configuration, s, "a phone's configuration"
		if s.Default {
			it.About = "the configuration of unknown phones"
		}
	case has("itl signature"), has("device information"), has("network setup"), has("status messages"), has("cisco unified ip phone"), has("cisco ip phone"):
		it.Kind, it.About = Page, "a page of a phone (HTML)"
	case has("selectcmdevice"), has("listphone"), has("cmdevices"):
		it.Kind, it.About = Phones, "phones, as RIS or AXL answers (XML)"
	case has("<html"):
		it.About = "an HTML page, but none of a phone"
	default:
		it.About = "XML, of no kind that is known"
	}
}

func (it *Item) listText() {
	lists, err := showtext.Read(it.Data)
	if err != nil {
		it.About, it.Err = "the print of a trust list, unusable", err
		return
	}
	it.Kind, it.Lists = ListText, lists
	it.About = fmt.Sprintf("what show %s prints, %d records, signed by %s", strings.ToLower(lists[0].Kind), len(lists[0].Records), printable.Clip(lists[0].Signer.Name, 100))
	if len(lists) > 1 {
		it.About = fmt.Sprintf("what show itl or show ctl prints, %d lists", len(lists))
	}
}

// plainText tells texts that are none of the above.
func (it *Item) plainText(head []byte) {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	switch {
	case bytes.HasPrefix(head, []byte(`{"`)) && (bytes.Contains(first, []byte(`"device":`)) || bytes.Contains(first, []byte(`"totals":`))):
		it.Kind, it.About = Audit, "what audit --json writes"
	case bytes.Contains(head, []byte("Active Master Version:")):
		it.Kind, it.About = VersionText, "what show version active prints"
	case bytes.Contains(head, []byte("[STARTED]")), bytes.Contains(head, []byte("[STOPPED]")):
		it.Kind, it.About = ServiceText, "what utils service list prints"
	case certList.Match(head):
		it.Kind, it.About = CertListText, "what show cert list prints"
	case phonesHead.Match(first):
		it.Kind, it.About = Phones, "phones, as exports of RIS or AXL list them (CSV)"
	default:
		lines := bytes.Count(bytes.TrimSuffix(it.Data, []byte("\n")), []byte("\n")) + 1
		it.About = fmt.Sprintf("text of %d lines, of no kind that is known", lines)
		if !utf8.Valid(it.Data) {
			it.About += ", not in UTF-8"
		}
	}
}
