package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"itlagent/agent/printable"
	"itlagent/agent/trustlist"
	"itlagent/platform/console"
	"itlagent/testbench/audit"
	"itlagent/testbench/evidence"
	"itlagent/testbench/lockout"
	"itlagent/testbench/pki"
)

// keyUse is what the cluster knows of a saved recovery key.
type keyUse struct {
	served bool // a list that is served now has it as SAST
	once   bool // one that was served has
	phones int  // that have reported such a list last
}

// checkKey shows whose a saved key is where it is not that of a list that is served, and
// asks where it is not valid now: any key that the security password opens would else sign
// what every phone refuses. A key that no list ever had is used only when its name is
// typed.
func (s *Session) checkKey(id *pki.Identity) error {
	cert := id.Certificate
	switch key := id.Key.Public().(type) {
	case *ecdsa.PublicKey:
		return fmt.Errorf("the file has an EC key (%s): trust lists are signed with RSA keys", key.Curve.Params().Name)
	case ed25519.PublicKey:
		return errors.New("the file has an Ed25519 key: trust lists are signed with RSA keys")
	}
	use, err := s.useOf(cert)
	if err != nil {
		return err
	}
	now := s.cluster.Now()
	current := !now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
	if use.served && current {
		return nil
	}
	name := printable.Text(cert.Subject.CommonName)
	s.say("The file has the key of %q, serial %s,\nRSA %d bits, valid from %s to %s.", name, trustlist.FormatSerial(cert.SerialNumber.Bytes()),
		pki.Bits(id), cert.NotBefore.In(s.zone()).Format(time.DateOnly), cert.NotAfter.In(s.zone()).Format(time.DateOnly))
	s.say("A list that is served has it: %s. Phones that have reported such a list: %d.", yesNo(use.served), use.phones)
	if !current {
		s.say("It is not valid now: phones do not look at that.")
	}
	switch {
	case use.once && current:
		return nil // of an earlier list, which phones may hold: what the command is for
	case use.once:
		return s.confirm("Do you want to sign with this key? (y/n):")
	case name == "":
		return errors.New("No list of this cluster ever had this key, and it has no name to confirm it by: every phone would refuse what it signs.")
	}
	answer, err := s.io.Ask("No list of this cluster ever had this key: phones will refuse what it signs. Type its name to use it all the same :", console.Shown)
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != name {
		return errors.New("Operation cancelled.")
	}
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// useOf looks for a certificate in the lists that are served and were, and among what
// phones have reported.
func (s *Session) useOf(cert *x509.Certificate) (use keyUse, err error) {
	with := make(map[string]bool) // lists that have it
	has := func(data []byte) bool {
		list, err := trustlist.Parse(trustlist.ITL, data)
		if err != nil {
			return false
		}
		for i := range list.Records {
			if r := &list.Records[i]; r.Role() == trustlist.SAST && r.MatchesCertificate(cert) {
				return true
			}
		}
		return false
	}
	for _, old := range s.cluster.State().Lists() {
		data, err := s.cluster.List(old.SHA1)
		if err != nil || old.Kind != trustlist.ITL || !has(data) {
			continue
		}
		with[old.SHA1], use.once = true, true
		use.served = use.served || old.Until.IsZero()
	}
	all, _, err := s.cluster.Events().Since(0)
	if err != nil || len(with) == 0 {
		return use, err
	}
	r := evidence.New()
	for i := range all {
		if err := r.AddEvent(&all[i]); err != nil {
			return use, err
		}
	}
	for p, err := range audit.NewJudge(context.Background(), lockout.World{s.cluster}).Phones(r) {
		if err != nil {
			return use, err
		}
		if with[p.ITL.String()] {
			use.phones++
		}
	}
	return use, nil
}
