package operation

import (
	"errors"
	"fmt"

	"itlagent/agent/trustlist"
	"itlagent/testbench/cluster/profile"
	"itlagent/testbench/cluster/state"
	"itlagent/testbench/events"
	"itlagent/testbench/pki"
)

// ErrNoCTL: the cluster has no CTL to be renewed.
var ErrNoCTL = errors.New("CTL File not found. Please run CTLClient plugin or run the CLI - utils ctl.. to generate the CTL file.")

// tokenless is the release from which a cluster signs its CTL with its own keys.
// Earlier ones need the CTL client and hardware tokens, which are not here.
func tokenless(s *state.State) error {
	if !s.Release().Recovery {
		return errors.New("this release signs a CTL with hardware tokens only")
	}
	return nil
}

// SetMixedMode turns mixed mode on, or back off. The CTL of non-secure mode has
// blank CCM+TFTP records. Nodes serve it from the next start of TFTP.
func SetMixedMode(on bool) Operation {
	return func(s *state.State) error {
		if err := tokenless(s); err != nil {
			return err
		}
		s.Mixed = on
		if err := renewCTL(s, listSigner(s, s.Publisher())); err != nil {
			return err
		}
		mode := "non-secure"
		if on {
			mode = "mixed"
		}
		s.Event(s.Publisher(), appCCM, 6, "ClusterSecurityMode", "The cluster is in "+mode+" mode")
		return nil
	}
}

// UpdateCTL writes the CTL again from the present certificates.
func UpdateCTL() Operation {
	return func(s *state.State) error {
		if s.CTL == nil {
			return ErrNoCTL
		}
		return renewCTL(s, listSigner(s, s.Publisher()))
	}
}

// ResetCTL signs the CTL with the key that does not sign it ordinarily, as
// ResetITL does with the ITL. Active TFTP nodes serve it at once.
func ResetCTL() Operation {
	return func(s *state.State) error {
		if s.CTL == nil {
			return ErrNoCTL
		}
		signer := resetSigner(s)
		if !s.Profile.Fixed && shorter(s, signer) {
			return ErrKeyLength
		}
		current, err := trustlist.Parse(trustlist.CTL, s.CTL)
		if err != nil {
			return fmt.Errorf("the CTL: %w", err)
		}
		reset, err := trustlist.Resign(current, s.Now(), signer.SigningKey())
		if err != nil {
			return err
		}
		s.Effects.Why = "the CTL was reset, signed by " + signer.Certificate.Subject.CommonName
		for _, n := range s.Nodes {
			if n.Active(profile.TFTPService) {
				n.CTL = reset
			}
		}
		s.Event(s.Publisher(), appTFTP, 6, "CTLReset", "The CTL was reset", events.Tag{Key: "Signer", Value: signer.Certificate.Subject.CommonName})
		return nil
	}
}

func renewCTL(s *state.State, signer *pki.Identity) error {
	form := trustlist.Whole
	if !s.Mixed {
		form = trustlist.Blank
	}
	pub := s.Publisher()
	records := []trustlist.RecordSpec{
		{Role: trustlist.SAST, Certificate: pub.Units[profile.CallManager].Certificate},
		{Role: trustlist.SAST, Certificate: s.Recovery().Certificate},
		{Role: trustlist.CAPF, Certificate: pub.Units[profile.CAPF].Certificate},
	}
	for _, n := range s.Nodes {
		records = append(records, trustlist.RecordSpec{
			Role: trustlist.CCMTFTP, Certificate: n.Units[profile.CallManager].Certificate, Form: form, DNSName: n.Name})
	}
	ctl, err := trustlist.BuildList(trustlist.ListSpec{Kind: trustlist.CTL, Digest: s.Digest, Time: s.Now(), Records: records}, signer.SigningKey())
	if err != nil {
		return fmt.Errorf("build CTL: %w", err)
	}
	s.CTL = ctl
	return nil
}
