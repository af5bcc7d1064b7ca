package main

import (
	"time"

	"itlagent/testbench/pki"
)

// runCert makes a self-signed certificate with the names and extensions of a
// cluster's own, and its key, in one PEM file of mode 0600.
func runCert(e *env, args []string) int {
	f := e.flags("cert")
	output := f.StringP("output", "o", "", "`FILE` to write")
	bits := f.Int("bits", 2048, "RSA key size: 1024, 2048 or 4096")
	ec := f.Bool("ec", false, "an EC key on P-256, as HTTPS provisioning wants it")
	recovery := f.Bool("recovery", false, "the extensions of an ITLRecovery certificate")
	years := f.Int("years", 5, "validity")
	if code, ok := e.parse(f, args, 1); !ok {
		return code
	}
	switch {
	case *output == "":
		return e.usage("cert: no -o FILE given")
	case *bits != 1024 && *bits != 2048 && *bits != 4096:
		return e.usage("cert: RSA keys have 1024, 2048 or 4096 bits, not %d", *bits)
	case *years < 1 || *years > 100:
		return e.usage("cert: validity of %d years", *years)
	case f.Arg(0) == "" || len(f.Arg(0)) > 64:
		return e.usage("cert: a common name has 1 to 64 bytes")
	}
	req := pki.Request{
		Subject: pki.Name{CN: f.Arg(0), OU: "bench", O: "itlagent"}, Bits: *bits, EC: *ec, From: time.Now(), Years: *years,
	}
	if *recovery {
		req.Usage = pki.Recovery
	}
	id, err := pki.New(req)
	if err != nil {
		return e.fail(exitInfra, "cert: %v", err)
	}
	pem, err := id.PEM(true)
	if err != nil {
		return e.fail(exitInfra, "cert: %v", err)
	}
	if err := writeFile(*output, pem, 0o600); err != nil {
		return e.fail(exitInfra, "%v", err)
	}
	return exitOK
}
