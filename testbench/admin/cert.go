package admin

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"itlagent/platform/console"
	"itlagent/testbench/cluster/operation"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/pki"
)

// The commands for certificates that come from outside.
var certCommands = []command{
	{words: "set csr gen", args: "UNIT [multi-server]", min: 1, max: 2, about: "make a new key and a CSR for a certificate of this node; with multi-server, which is this bench's own, for one that all nodes share", run: setCSRGen},
	{words: "set csr delete", args: "UNIT", min: 1, max: 1, about: "give up a CSR and its key", run: setCSRDelete},
	{words: "show csr own", args: "UNIT", min: 1, max: 1, about: "a CSR of this node", run: showCSR},
	{words: "show csr list", args: "[own]", max: 1, about: "the CSRs of this node that wait for their certificates", run: showCSRList},
	{words: "set cert import own", args: "UNIT [CA]", min: 1, max: 2, about: "put the certificate that a CA has signed, pasted in PEM form, in the place of one of this node; CA is its issuer's, by a name of show cert list trust", run: setCertImportOwn},
	{words: "set cert import trust", args: "STORE", min: 1, max: 1, about: "put a certificate, pasted in PEM form, into a trust store: Phone-SAST-trust, or that of a unit", run: setCertImportTrust},
}

// unitOf returns the unit of a name, which may be that of a file: "tomcat/tomcat.csr".
func unitOf(among []profile.Unit, name string) (profile.Unit, error) {
	short, _, _ := strings.Cut(name, "/")
	if u, ok := profile.FindUnit(among, short); ok {
		return u, nil
	}
	var names []string
	for _, u := range among {
		names = append(names, string(u))
	}
	return "", usageError(fmt.Sprintf("%s is not a valid certificate name. There are: %s", name, strings.Join(names, ", ")))
}

// signable returns the unit of a name that a CA may sign for.
func (s *Session) signable(name string) (profile.Unit, error) {
	return unitOf(s.cluster.State().Release().Signable(), name)
}

func setCSRGen(s *Session, args []string) error {
	unit, err := s.signable(args[0])
	if err != nil {
		return err
	}
	allNodes := len(args) == 2
	if allNodes && args[1] != "multi-server" {
		return usageError(fmt.Sprintf("%s: multi-server, or nothing", args[1]))
	}
	if _, ok := s.Node.State().CSRs[unit]; ok {
		s.say("\nWARNING: Generating a new CSR for %s will overwrite the existing CSR", unit)
		if err := s.confirm("Proceed (yes|no)? "); err != nil {
			return err
		}
	}
	if err := s.cluster.Apply(operation.GenerateCSR(s.Node.Name(), unit, allNodes)); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	s.say("Successfully Generated CSR for %s", unit)
	return nil
}

func setCSRDelete(s *Session, args []string) error {
	unit, err := s.signable(args[0])
	if err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.DeleteCSR(s.Node.Name(), unit)); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	s.say("Successfully Deleted CSR for %s", unit)
	return nil
}

func showCSR(s *Session, args []string) error {
	unit, err := s.signable(args[0])
	if err != nil {
		return err
	}
	csr, ok := s.Node.State().CSRs[unit]
	if !ok {
		return fmt.Errorf("%w for %s", operation.ErrNoCSR, unit)
	}
	s.say("%s", strings.TrimRight(string(csr.Request.PEM()), "\n"))
	return nil
}

func showCSRList(s *Session, args []string) error {
	if len(args) == 1 && args[0] != "own" {
		return usageError(fmt.Sprintf("%s: own, or nothing", args[0]))
	}
	csrs := s.Node.State().CSRs
	for _, u := range s.cluster.State().Release().Signable() {
		csr, ok := csrs[u]
		switch {
		case !ok:
		case csr.AllNodes:
			s.say("%s/%s.csr: Multi-server(SAN)", u, u)
		default:
			s.say("%s/%s.csr", u, u)
		}
	}
	if len(csrs) == 0 {
		s.say("No CSR is outstanding")
	}
	return nil
}

// paste reads a certificate in PEM form up to its last line.
func (s *Session) paste() (*x509.Certificate, error) {
	errForm := errors.New("This is not a certificate in PEM form. Nothing was changed.")
	var text strings.Builder
	const maxLines = 200
	prompt := "Paste the Certificate and Hit Enter\n"
	for n := 0; ; n++ {
		line, err := s.io.Ask(prompt, console.Shown)
		if err != nil {
			return nil, err
		}
		prompt = ""
		if text.WriteString(line + "\n"); strings.HasPrefix(line, "-----END") {
			break
		}
		if n > maxLines || n == 0 && !strings.HasPrefix(line, "-----BEGIN CERTIFICATE") {
			return nil, errForm
		}
	}
	block, _ := pem.Decode([]byte(text.String()))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Bytes) > pki.MaxDER {
		return nil, errForm
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("This is not a certificate: %v. Nothing was changed.", err)
	}
	return cert, nil
}

func setCertImportTrust(s *Session, args []string) error {
	var names []string
	store := profile.Store("")
	for _, known := range profile.Stores() {
		if strings.EqualFold(string(known), args[0]) || strings.EqualFold(string(known), args[0]+"-trust") {
			store = known
		}
		names = append(names, string(known))
	}
	if store == "" {
		return usageError(fmt.Sprintf("%s is not a trust store. There are: %s", args[0], strings.Join(names, ", ")))
	}
	cert, err := s.paste()
	if err != nil {
		return err
	}
	if err := s.cluster.Apply(operation.Import(store, cert)); err != nil {
		return err
	}
	s.say("Import of trust certificate is successful\nYou must restart Cisco Trust Verification Service on every node for it to become active.")
	return nil
}

func setCertImportOwn(s *Session, args []string) error {
	unit, err := s.signable(args[0])
	if err != nil {
		return err
	}
	csr, ok := s.Node.State().CSRs[unit]
	if !ok {
		return fmt.Errorf("%w for %s. Nothing was changed.", operation.ErrNoCSR, unit)
	}
	var issuer *x509.Certificate
	if len(args) == 2 {
		if issuer, err = s.trusted(args[1]); err != nil {
			return err
		}
	}
	cert, err := s.paste()
	if err != nil {
		return err
	}
	if issuer != nil && cert.CheckSignatureFrom(issuer) != nil {
		return fmt.Errorf("%s has not signed this certificate. Nothing was changed.", args[1])
	}
	if err := s.cluster.Apply(operation.ImportSigned(s.Node.Name(), unit, cert)); err != nil {
		return fmt.Errorf("%w. Nothing was changed.", err)
	}
	s.say("Successfully imported certificate for %s.", unit)
	if names := nodeNames(s); csr.AllNodes {
		s.say("It is the certificate of every node: %s", strings.Join(names, ", "))
	}
	if !s.cluster.State().Release().Restarts {
		s.say("Please restart services related to %s for the new certificate to become active.", unit)
	}
	return nil
}

func nodeNames(s *Session) (names []string) {
	for _, n := range s.cluster.Nodes() {
		names = append(names, n.Name())
	}
	return names
}

// trusted returns a certificate by its name in show cert list trust.
func (s *Session) trusted(name string) (*x509.Certificate, error) {
	all := s.cluster.State().Trusted()
	at := slices.IndexFunc(trustNames(all), func(known string) bool {
		return strings.TrimSuffix(known, ".pem") == strings.TrimSuffix(name, ".pem")
	})
	if at < 0 {
		return nil, fmt.Errorf("There is no certificate %s", name)
	}
	return all[at].Certificate, nil
}
