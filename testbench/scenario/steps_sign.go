package scenario

import (
	"context"
	"encoding/pem"
	"fmt"
	"strings"

	"itlagent/platform/console"
	"itlagent/testbench/admin"
	"itlagent/testbench/cluster"
	"itlagent/testbench/pki"
)

// signStep has a CA sign a certificate of a node, and imports it with its chain: what an
// administrator types for that.
type signStep struct {
	At          place  `yaml:",inline"`
	Sign        string `yaml:"sign"`        // the unit
	On          string `yaml:"on"`          // its node; the publisher where ""
	MultiServer bool   `yaml:"multiServer"` // for every node
}

func (s *signStep) check(*names) error { return nil }

// caBits is the RSA key size of a scenario's CAs.
const caBits = 2048

// authority returns the CA of the scenario, with its root in the chain.
func (r *runner) authority(c *cluster.Cluster) (*pki.Identity, error) {
	if r.ca != nil {
		return r.ca, nil
	}
	var signer *pki.Identity
	for _, name := range []string{"Example Root CA", "Example Issuing CA"} {
		ca, err := pki.New(pki.Request{Subject: pki.Name{CN: name, O: "example"}, Bits: caBits, Usage: pki.Authority, From: c.Now(), Years: 20, Signer: signer})
		if err != nil {
			return nil, err
		}
		signer = ca
	}
	r.ca = signer
	return signer, nil
}

func (s *signStep) run(_ context.Context, r *runner, c *cluster.Cluster) error {
	n := c.Publisher()
	if s.On != "" {
		var err error
		if n, err = c.Node(s.On); err != nil {
			return err
		}
	}
	ca, err := r.authority(c)
	if err != nil {
		return err
	}
	typed := func(line, answer string) (string, error) {
		var printed strings.Builder
		r.say("%s %s%s", n.Name(), admin.Prompt, line)
		if code := admin.New(n, console.NewPlain(strings.NewReader(answer), &printed)).Run(line); code != admin.Done {
			return "", fmt.Errorf("%s: code %d: %s", line, code, printed.String())
		}
		return printed.String(), nil
	}
	generate := "set csr gen " + s.Sign
	if s.MultiServer {
		generate += " multi-server"
	}
	if _, err := typed(generate, "yes\n"); err != nil {
		return err
	}
	text, err := typed("show csr own "+s.Sign, "")
	if err != nil {
		return err
	}
	csr, err := pki.ParseCSR([]byte(text))
	if err != nil {
		return err
	}
	cert, err := ca.Issue(csr, c.Now(), 0)
	if err != nil {
		return err
	}
	unit, _, _ := strings.Cut(s.Sign, "-") // CallManager-ECDSA shares a store
	for _, above := range append(ca.Chain, ca.Certificate) {
		if _, err := typed("set cert import trust "+unit, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: above.Raw}))); err != nil {
			return err
		}
	}
	_, err = typed("set cert import own "+s.Sign, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	return err
}
