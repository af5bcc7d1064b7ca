package listing_test

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"itlagent/agent/trustlist"
	"itlagent/testbench/listing"
	"itlagent/testbench/pki"
)

// A CTL as Cisco's documents print one of release 10.5: in columns, dated in the zone of
// the server.
func TestColumns(t *testing.T) {
	from := time.Date(2015, time.March, 1, 0, 0, 0, 0, time.UTC)
	id, err := pki.New(pki.Request{Subject: pki.Name{CN: "cucm-1051-a-pub", OU: "TAC", O: "Cisco", L: "Krakow", ST: "Malopolska", C: "PL"}, Bits: 1024, From: from})
	if err != nil {
		t.Fatal(err)
	}
	list, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.CTL, Digest: trustlist.SHA1, Time: time.Date(2015, time.March, 6, 20, 56, 7, 0, time.UTC),
		Records: []trustlist.RecordSpec{
			{Role: trustlist.SAST, Certificate: id.Certificate, Form: trustlist.Whole, DNSName: "cucm-1051-a-pub", IP: [4]byte{192, 0, 2, 1}},
			{Role: trustlist.CCMTFTP, Certificate: id.Certificate, Form: trustlist.Whole, DNSName: "cucm-1051-a-pub", IP: [4]byte{192, 0, 2, 1}},
		}}, id.SigningKey())
	if err != nil {
		t.Fatal(err)
	}
	f, err := trustlist.Parse(trustlist.CTL, list)
	if err != nil {
		t.Fatal(err)
	}
	warsaw, err := time.LoadLocation("Europe/Warsaw")
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	var out strings.Builder
	listing.Of(f, &yes).Write(&out, listing.Layout{Columns: true, Zone: warsaw})
	got := out.String()
	serial := trustlist.FormatSerial(f.Signer.Serial)
	sum := sha1.Sum(id.Certificate.Raw)
	for _, want := range []string{
		fmt.Sprintf("Length of CTL file: %d\nThe CTL File was last modified on Fri Mar 06 21:56:07 CET 2015\n\n", len(list)),
		"\n        Parse CTL File\n        ----------------\n\nVersion:        1.2\nHeaderLength:   336 (BYTES)\n\n",
		"BYTEPOS TAG             LENGTH  VALUE\n------- ---             ------  -----\n3       SIGNERID        2       149\n4       SIGNERNAME      62      CN=cucm-1051-a-pub;OU=TAC;O=Cisco;L=Krakow;ST=Malopolska;C=PL\n" +
			"5       SERIALNUMBER    16      " + serial + "\n6       CANAME          62      CN=",
		"\n8       DIGESTALGORTITHM        1\n9       SIGNATUREALGOINFO       2       8\n10      SIGNATUREALGORTITHM     1\n11      SIGNATUREMODULUS        1\n12      SIGNATURE       128\n",
		fmt.Sprintf("\n%-4x%-4x%-4x%-4x%-4x%-4x%-4x%x\n", f.Signature[0], f.Signature[1], f.Signature[2], f.Signature[3], f.Signature[4], f.Signature[5], f.Signature[6], f.Signature[7]),
		"\n14      FILENAME        12\n15      TIMESTAMP       4\n\n        CTL Record #:1\n          ----\nBYTEPOS TAG             LENGTH  VALUE\n------- ---             ------  -----\n1       RECORDLENGTH    2       1",
		"\n4       FUNCTION        2       System Administrator Security Token\n",
		fmt.Sprintf("\n9       CERTIFICATE     %d     % X (SHA1 Hash HEX)\n10      IPADDRESS       4", len(id.Certificate.Raw), sum),
		"\nThis etoken was used to sign the CTL file.\n\n        CTL Record #:2\n",
		"\n4       FUNCTION        2       CCM+TFTP\n",
		"\n\nThe CTL file was verified successfully.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}

	// The note's print has the same values, one blank apart.
	out.Reset()
	listing.Write(&out, f, &yes)
	for _, want := range []string{"\n3 SIGNERID 2 149\n", "\nParse CTL File\n----------------\n\nVersion: 1.2\nHeaderLength: 336 (BYTES)\n\nBYTEPOS TAG LENGTH VALUE\n", " Mar 06 20:56:07 UTC 2015\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
