package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/evidence"
	"itlagent/testbench/pki"
)

// certFlags are what the user wants of a certificate.
type certFlags struct {
	set                        *pflag.FlagSet
	output, signer, sign, from *string
	bits, years                *int
	ec, recovery, ca           *bool
}

// runCert makes a certificate with the names and extensions of a cluster's own, or a
// CA's, and its key, in one PEM file of mode 0600; or has a CA sign a CSR.
func runCert(e *env, args []string) int {
	set := e.flags("cert")
	f := certFlags{set: set,
		output:   set.StringP("output", "o", "", "`FILE` to write"),
		bits:     set.Int("bits", 2048, "RSA key size: 1024, 2048 or 4096"),
		ec:       set.Bool("ec", false, "an EC key on P-256, as HTTPS provisioning wants it"),
		recovery: set.Bool("recovery", false, "the extensions of an ITLRecovery certificate"),
		ca:       set.Bool("ca", false, "the certificate of a CA"),
		signer:   set.String("signer", "", "`FILE` of the CA that signs; without it the certificate is self-signed"),
		sign:     set.String("sign", "", "`CSR` to sign, in place of making a key for CN"),
		from:     set.String("from", "", "`TIME` from which on it is valid, like 2014-02-26T18:00:00Z; now where left out"),
		years:    set.Int("years", 5, "validity"),
	}
	if code, ok := e.parse(set, args, -1); !ok {
		return code
	}
	req, err := f.request()
	if err != nil {
		return e.usage("cert: %v", err)
	}
	if *f.signer != "" {
		if req.Signer, err = readIdentity(*f.signer, true); err != nil {
			return e.fail(exitNo, "cert: %v", plainPath(err))
		}
	}
	if *f.sign != "" {
		return e.signCSR(*f.sign, *f.signer, *f.output, req)
	}
	id, err := pki.New(req)
	if err != nil {
		return e.certFailed(*f.signer, err)
	}
	text, err := id.PEM(true)
	if err != nil {
		return e.fail(exitInfra, "cert: %v", err)
	}
	if err := writeFile(*f.output, text, 0o600); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	return exitOK
}

// request checks the flags.
func (f *certFlags) request() (req pki.Request, err error) {
	name := f.set.Arg(0)
	req = pki.Request{Subject: pki.Name{CN: name, OU: "bench", O: "itlagent"}, Bits: *f.bits, EC: *f.ec, From: time.Now(), Years: *f.years}
	switch {
	case *f.output == "":
		return req, errors.New("no -o FILE given")
	case *f.bits != 1024 && *f.bits != 2048 && *f.bits != 4096:
		return req, fmt.Errorf("RSA keys have 1024, 2048 or 4096 bits, not %d", *f.bits)
	case *f.years < 1 || *f.years > 100:
		return req, fmt.Errorf("validity of %d years", *f.years)
	case *f.sign != "" && (*f.signer == "" || name != "" || *f.ca || *f.recovery || *f.ec || f.set.Changed("bits")):
		return req, errors.New("--sign CSR takes --signer FILE; name, key and purposes are those of the CSR")
	case *f.sign == "" && (name == "" || len(name) > 64):
		return req, errors.New("a common name has 1 to 64 bytes")
	case *f.ca && *f.recovery:
		return req, errors.New("--ca and --recovery exclude each other")
	case *f.ca:
		req.Usage = pki.Authority
	case *f.recovery:
		req.Usage = pki.Recovery
	}
	if *f.from != "" {
		if req.From, err = time.Parse(time.RFC3339, *f.from); err != nil {
			return req, fmt.Errorf("--from %q is not like 2014-02-26T18:00:00Z", *f.from)
		}
		if req.From.Before(profile.MinClock) || req.From.After(profile.MaxClock) {
			return req, errors.New("--from: the years are 1970 to 2105")
		}
	}
	return req, nil
}

// signCSR has a CA sign a CSR. The certificate alone is written: there is no key in it.
func (e *env) signCSR(csr, signer, output string, req pki.Request) int {
	data, err := evidence.ReadFile(csr)
	if err != nil {
		return e.fail(exitNo, "cert: %v", plainPath(err))
	}
	request, err := pki.ParseCSR(data)
	if err != nil {
		return e.fail(exitNo, "cert: %s: %v", csr, err)
	}
	cert, err := req.Signer.Issue(request, req.From, req.Years)
	if err != nil {
		return e.certFailed(signer, err)
	}
	if err := writeOutput(output, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	return exitOK
}

// certFailed tells a file that is not a CA's from what the machine did.
func (e *env) certFailed(signer string, err error) int {
	if errors.Is(err, pki.ErrNoCA) {
		return e.fail(exitNo, "cert: %v", fmt.Errorf("%s: %w", signer, err))
	}
	return e.fail(exitInfra, "cert: %v", err)
}
