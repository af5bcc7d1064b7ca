package main

import (
	"bufio"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"net"

	"itlagent/agent/trust"
	"itlagent/agent/trustlist"
	"itlagent/testbench/listing"
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
		listing.Write(w, file, check.verified)
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
			SignedThisFile: listing.Signed(f, r),
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
